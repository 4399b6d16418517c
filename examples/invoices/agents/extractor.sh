# Reads the fields of an invoice out of a text that has come out of a PDF. A total is taken as it is written; told that this is no
# number, it takes the comma for the decimal point.
set -eu
assignment=$(cat)
file=$(printf '%s' "$assignment" | "$REJOIN_BIN" pick task | sed -n 's/^Read the invoice \(.*\)\.$/\1/p')
comma=0
if printf '%s' "$assignment" | "$REJOIN_BIN" pick complaint > /dev/null 2>&1; then comma=1; fi
sed 's/[\\"]//g' "$file" | awk -v comma="$comma" '
    function behind(line) { sub(/^[^:]*: */, "", line); sub(/ *$/, "", line); return line }
    { low = tolower($0) }
    NR == 1                                     { vendor = $0; sub(/^ */, "", vendor); sub(/ *$/, "", vendor) }
    low ~ /^ *(invoice (no|number)|rechnung nr)/ { number = behind($0) }
    low ~ /^ *(purchase order|your order|bestellung)/ { order = behind($0) }
    low ~ /^ *(total|amount) due|^ *gesamtbetrag/ { total = behind($0); gsub(/EUR| /, "", total) }
    END {
        if (comma) { gsub(/\./, "", total); sub(/,/, ".", total) }
        else if (total ~ /\.[0-9][0-9]$/) gsub(/,/, "", total)
        if (total !~ /^[0-9]+(\.[0-9]+)?$/) total = "\"" total "\""
        printf "{\"result\": {\"number\": \"%s\", \"vendor\": \"%s\", \"total\": %s, \"order\": \"%s\"}}\n", number, vendor, total, order
    }'
