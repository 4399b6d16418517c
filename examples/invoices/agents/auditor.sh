# Compares invoices with purchase orders, and names what is wrong: no such order, another vendor, another amount, paid twice.
set -eu
# Fields come by the names that they have: file, number, order, paid, total, vendor.
"$REJOIN_BIN" pick input.invoices --lines | awk -F'\t' '
    function wrong(kind, text) {
        list = list (list == "" ? "" : ", ") \
            sprintf("{\"invoice\": \"%s\", \"kind\": \"%s\", \"text\": \"%s\"}", $2, kind, text)
        bad = 1
    }
    FILENAME != "-" { if (split($0, row, ",") >= 3 && FNR > 1) { vendor[row[1]] = row[2]; amount[row[1]] = row[3] } next }
    {
        bad = 0
        if ($3 == "") wrong("missing-order", "it names no order")
        else if (!($3 in amount)) wrong("missing-order", "there is no order " $3)
        else if (vendor[$3] != $6) wrong("other-vendor", $3 " went to " vendor[$3])
        else if ($5 + 0 != amount[$3] + 0) wrong("other-amount", sprintf("%.2f, and %s is over %.2f", $5, $3, amount[$3]))
        if ($4 != "" && ($2 in paid)) wrong("paid-twice", "again in " $1 ": on " paid[$2] " and on " $4)
        if ($4 != "") paid[$2] = $4
        if (!bad) matches = matches (matches == "" ? "" : ", ") "\"" $2 "\""
    }
    END { printf "{\"result\": {\"matches\": [%s], \"discrepancies\": [%s]}}\n", matches, list }
' data/purchase-orders.csv -
