# Writes an article to a file, whole or not at all, under a name that is made of its title.
set -eu
assignment=$(cat)
title=$(printf '%s' "$assignment" | "$REJOIN_BIN" pick input.title)
path=out/published/$(printf '%s' "$title" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-').md
mkdir -p out/published
{
    printf '# %s\n\n' "$title"
    printf '%s' "$assignment" | "$REJOIN_BIN" pick input.text
} > "$path.$$"
mv "$path.$$" "$path"
printf '{"result": {"path": "%s"}}\n' "$path"
