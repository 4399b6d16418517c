# Writes the report, whole or not at all.
set -eu
assignment=$(cat)
mkdir -p out
{
    echo '# Invoices and purchase orders'
    printf '\n## In order\n\n'
    printf '%s' "$assignment" | "$REJOIN_BIN" pick input.matches --lines | sed 's/^/- /'
    printf '\n## To be looked at\n\n'
    # Fields come by the names that they have: invoice, kind, text.
    printf '%s' "$assignment" | "$REJOIN_BIN" pick input.discrepancies --lines | awk -F'\t' '{ printf "- %s, %s: %s\n", $1, $2, $3 }'
} > out/report.md.$$
mv out/report.md.$$ out/report.md
echo '{"result": {"path": "out/report.md"}}'
