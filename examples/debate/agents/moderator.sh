# Weighs what was said: whichever side has more reasons has the verdict, and the figures come last.
set -eu
"$REJOIN_BIN" pick task | sed 's/[\\"]//g' | awk '
    function reasons(text) { return gsub(/[.]( |$)/, "", text) }
    NR == 1 { topic = $0; sub(/^[^:]*: /, "", topic) }
    /^for: /     { pro = substr($0, 6) }
    /^against: / { contra = substr($0, 10) }
    /^figures: / { figures = substr($0, 10) }
    END {
        more = reasons(pro) - reasons(contra)
        verdict = more > 0 ? "for" : more < 0 ? "against" : "open"
        text = "On " topic ": what speaks for it is this. " pro " Against it stands this. " contra " What is known: " figures
        printf "{\"result\": {\"verdict\": \"%s\", \"text\": \"%s\"}}\n", verdict, text
    }'
