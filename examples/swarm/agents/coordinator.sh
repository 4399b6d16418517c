# Has all regions surveyed at once, by itself: once for each of them.
set -eu
asked=$(cat)
told() { printf %s "$asked" | "$REJOIN_BIN" pick "$1"; }
if [ "$(told subagent)" = true ]; then
    "$REJOIN_BIN" trigger survey-region --input region="$(told task)"
    exit
fi
set --
for file in data/regions/*.csv; do
    region=${file##*/}
    region=${region%.csv}
    set -- "$@" "$region=$region"
done
# One that fails is the end of it: a ranking without a region would be wrong.
surveys=$("$REJOIN_BIN" subagents "$@")
printf '{"result": {"surveys": %s}}\n' "$surveys"
