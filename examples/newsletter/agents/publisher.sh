# Writes the newsletter to a file, whole or not at all.
set -eu
assignment=$(cat)
mkdir -p out
printf '%s' "$assignment" | "$REJOIN_BIN" pick input.body > out/newsletter.md.$$
mv out/newsletter.md.$$ out/newsletter.md
echo '{"result": {"path": "out/newsletter.md"}}'
