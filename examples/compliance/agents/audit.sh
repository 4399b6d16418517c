# Asks for the evidence of a period, and compares it with the list of controls: a file proves the control that its name begins with.
set -eu
period=$("$REJOIN_BIN" pick task | sed -n 's/.* \([0-9]*-Q[1-4]\)\..*/\1/p')
# While the other workflow runs this program waits. Killed and started again, it finds what it has triggered.
files=$("$REJOIN_BIN" trigger collect-evidence --input period="$period" --message "for the audit of $period")
printf '%s' "$files" | "$REJOIN_BIN" pick --lines | awk -F'\t' '
    # Fields come by the names that they have: bytes, checksum, name.
    FILENAME == "-" { split($3, part, "_"); has[part[1]] = 1; files++; next }
    { split($0, row, ",") }
    FNR > 1 && (row[1] in has)  { proven = proven (proven == "" ? "" : ", ") "\"" row[1] "\"" }
    FNR > 1 && !(row[1] in has) { unproven = unproven (unproven == "" ? "" : ", ") "\"" row[1] "\"" }
    END { printf "{\"result\": {\"proven\": [%s], \"unproven\": [%s], \"files\": %d}}\n", proven, unproven, files }
' - data/controls.csv
