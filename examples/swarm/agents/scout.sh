# Names the regions: there is a file for each.
set -eu
list=
for file in data/regions/*.csv; do
    name=${file##*/}
    list="$list${list:+, }\"${name%.csv}\""
done
printf '{"result": [%s]}\n' "$list"
