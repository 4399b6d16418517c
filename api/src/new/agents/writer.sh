# Writes a note. What it is to do comes in as JSON, and what it has done goes out as JSON, a line each; a model would do the same.
set -eu
task=$("$REJOIN_BIN" pick task)
echo '{"progress": "thinking"}'
topic=${task#Write a note about }
# A text in JSON has \ before \ and ".
topic=$(printf '%s' "${topic%.}" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g')
printf '{"result": {"text": "There is much to be said about %s."}}\n' "$topic"
