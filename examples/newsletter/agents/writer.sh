# Writes a newsletter about the topics that were read most. It does not know them, so it asks: while the other workflow runs this
# program waits, and should it be killed, the next attempt finds the same result.
set -eu
week=$("$REJOIN_BIN" pick task | sed -n 's/.*week \([0-9A-Z-]*\)\..*/\1/p')
echo '{"progress": "asking what was read"}'
figures=$("$REJOIN_BIN" trigger analyze-engagement --input week="$week" --message "Focus on this week's posts" --timeout 5m)
printf '%s' "$figures" | "$REJOIN_BIN" pick topics --lines |
    awk -v week="$week" '
        { topics[NR] = $0 }
        END {
            body = "# What you read in " week "\\n"
            for (i = 1; i <= NR; i++) {
                split(topics[i], part, "\t")
                body = body sprintf("\\n## %s\\n\\n%d readers, %.1f minutes each.\\n", part[2], part[3], part[1])
            }
            first = NR ? topics[1] : ""
            split(first, part, "\t")
            printf "{\"result\": {\"title\": \"The week of %s\", \"body\": \"%s\"}}\n", (NR ? part[2] : "silence"), body
        }'
