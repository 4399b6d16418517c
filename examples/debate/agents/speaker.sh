# Says what data/arguments.csv has on a topic and on the side that is given on the command line: for, against, or figure.
set -eu
side=$1
topic=$("$REJOIN_BIN" pick task | sed -n '1s/^[^:]*: //p')
TOPIC=$topic awk -F'|' -v side="$side" '
    NR > 1 && $1 == ENVIRON["TOPIC"] && $2 == side { text = text (text == "" ? "" : " ") $3 }
    END {
        if (text == "") text = "There is nothing to say about this."
        gsub(/["\\]/, "", text)
        printf "{\"result\": {\"role\": \"%s\", \"text\": \"%s\"}}\n", (side == "figure" ? "figures" : side), text
    }' data/arguments.csv
