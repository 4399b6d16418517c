# Looks up each statement of the notes on a topic in the list of facts: one that is not there, or is there with another figure, is doubtful.
set -eu
topic=$("$REJOIN_BIN" pick task | sed -n 's/^topic: //p')
notes=data/notes/$(printf '%s' "$topic" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-').txt
if [ ! -f "$notes" ]; then
    echo '{"error": {"code": "no-notes", "message": "there are no notes on this topic in data/notes", "retryable": false}}'
    exit
fi
awk '
    FNR == NR { known[$0] = 1; next }
    /^#/ || !NF { next }
    $0 in known { confirmed++; next }
    { gsub(/["\\]/, ""); doubtful = doubtful (doubtful == "" ? "" : ", ") "\"" $0 "\"" }
    END { printf "{\"result\": {\"confirmed\": %d, \"doubtful\": [%s]}}\n", confirmed, doubtful }
' data/facts.txt "$notes"
