# Looks up orders, and pays back: once, however often it is asked with the same key.
set -eu
assignment=$(cat)
pick() { printf '%s' "$assignment" | "$REJOIN_BIN" pick "$1"; }
order=$(pick input.order)
case $(pick job) in
    look-up)
        awk -F, -v order="$order" '
            $1 == order { printf "{\"result\": {\"item\": \"%s\", \"paid\": %d, \"days\": %d}}\n", $2, $3, $4; found = 1 }
            END { if (!found) print "{\"error\": {\"code\": \"unknown-order\", \"message\": \"no such order\"}}" }' data/orders.csv
        ;;
    pay-back)
        mkdir -p out
        touch out/refunds.csv
        grep -q "^$REJOIN_KEY," out/refunds.csv || echo "$REJOIN_KEY,$order,$(pick input.sum)" >> out/refunds.csv
        echo "{\"result\": {\"receipt\": \"R-$order\"}}"
        ;;
esac
