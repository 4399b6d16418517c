# Understands what a customer wants. A model would do that better; what it makes of it decides nothing but the way.
set -eu
message=$("$REJOIN_BIN" pick input.message | tr '[:upper:]' '[:lower:]')
case $message in
    *refund* | *"money back"*) wants=refund ;;
    *person* | *human* | *somebody*) wants=person ;;
    *) wants=nothing ;;
esac
echo "{\"result\": {\"wants\": \"$wants\"}}"
