# Ranks what was found by revenue, and writes it to a file, whole or not at all.
set -eu
mkdir -p out
# Fields come by the names that they have: best_month, orders, region, revenue.
"$REJOIN_BIN" pick input.surveys --lines | LC_ALL=C sort -t"$(printf '\t')" -k4,4nr -k3,3 > "$TMPDIR/sorted"
{
    echo 'place,region,revenue,orders,best month'
    awk -F'\t' '{ printf "%d,%s,%.2f,%d,%s\n", NR, $3, $4, $2, $1 }' "$TMPDIR/sorted"
} > out/ranking.csv.$$
mv out/ranking.csv.$$ out/ranking.csv
awk -F'\t' '
    { printf "%s{\"region\": \"%s\", \"revenue\": %.2f}", (NR == 1 ? "{\"result\": [" : ", "), $3, $4 }
    END { print (NR ? "]}" : "{\"result\": []}") }' "$TMPDIR/sorted"
