# Adds up the sales of one region.
set -eu
region=$("$REJOIN_BIN" pick task | sed -n 's/^Survey \(.*\)\.$/\1/p')
if [ ! -f "data/regions/$region.csv" ]; then
    echo '{"error": {"code": "no-region", "message": "there are no sales of this region", "retryable": false}}'
    exit
fi
awk -F, -v region="$region" '
    NR > 1 { orders += $2; revenue += $3; if ($3 > most) { most = $3; best = $1 } }
    END { printf "{\"result\": {\"region\": \"%s\", \"orders\": %d, \"revenue\": %.2f, \"best_month\": \"%s\"}}\n", region, orders, revenue, best }
' "data/regions/$region.csv"
