# Copies the evidence of a period, whole or not at all, and says what it is, with checksums of the copies. What is empty proves nothing.
set -eu
period=$("$REJOIN_BIN" pick task | sed -n 's/.* \([0-9]*-Q[1-4]\)\..*/\1/p')
mkdir -p out/evidence
list=
for file in data/evidence/*_"$period".*; do
    [ -s "$file" ] || continue
    name=${file##*/}
    cp "$file" "out/evidence/.$name.$$"
    mv "out/evidence/.$name.$$" "out/evidence/$name"
    sum=$(cksum < "out/evidence/$name")
    list="$list${list:+, }{\"name\": \"$name\", \"checksum\": ${sum% *}, \"bytes\": ${sum#* }}"
done
printf '{"result": {"files": [%s]}}\n' "$list"
