# Keeps a draft that was not published, with the reason, whole or not at all.
set -eu
assignment=$(cat)
title=$(printf '%s' "$assignment" | "$REJOIN_BIN" pick input.title)
path=out/archive/$(printf '%s' "$title" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-').md
mkdir -p out/archive
{
    printf '# %s\n\nNot published: ' "$title"
    printf '%s' "$assignment" | "$REJOIN_BIN" pick input.reason
    echo
    printf '%s' "$assignment" | "$REJOIN_BIN" pick input.text
} > "$path.$$"
mv "$path.$$" "$path"
printf '{"result": {"path": "%s"}}\n' "$path"
