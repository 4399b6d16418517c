# Lists the invoices that have come in: the file of each, and the day on which it was paid, if it was.
set -eu
awk -F, '
    NR > 1 && NF { list = list (list == "" ? "" : ", ") sprintf("{\"file\": \"%s\", \"paid\": \"%s\"}", $1, $3) }
    END { printf "{\"result\": [%s]}\n", list }' data/invoices.csv
