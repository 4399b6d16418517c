# Writes a draft from the notes on a topic, without the statements that it is told to leave out.
set -eu
assignment=$(cat)
task=$(printf '%s' "$assignment" | "$REJOIN_BIN" pick task)
topic=$(printf '%s\n' "$task" | sed -n 's/^topic: //p')
notes=data/notes/$(printf '%s' "$topic" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-').txt
if [ ! -f "$notes" ]; then
    echo '{"error": {"code": "no-notes", "message": "there are no notes on this topic in data/notes", "retryable": false}}'
    exit
fi
printf '%s\n' "$task" | sed -n 's/^leave out: //p' > "$TMPDIR/without"
# What is text in the answer must be JSON: no bare quotes and backslashes, and no bare ends of lines.
sed 's/[\\"]/\\&/g' "$TMPDIR/without" > "$TMPDIR/escaped"
sed 's/[\\"]/\\&/g' "$notes" | awk '
    FILENAME != "-" { without[$0] = 1; next }
    /^#/ { title = substr($0, 3); next }
    NF && !($0 in without) { text = text (text == "" ? "" : "\\n") $0 }
    END { printf "{\"result\": {\"title\": \"%s\", \"text\": \"%s\"}}\n", title, text }
' "$TMPDIR/escaped" -
