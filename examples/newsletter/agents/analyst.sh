# Adds up what was read of each topic in a week, and names the three that were read most.
set -eu
week=$("$REJOIN_BIN" pick input.week)
echo '{"progress": "adding up"}'
awk -F, -v week="$week" '
    NR > 1 && $1 == week { views[$2] += $3; minutes[$2] += $4 }
    END {
        printf "{\"result\": {\"week\": \"%s\", \"topics\": [", week
        for (place = 1; place <= 3; place++) {
            best = ""
            for (topic in views)
                if (best == "" || views[topic] > views[best] || (views[topic] == views[best] && topic < best)) best = topic
            if (best == "") break
            printf "%s{\"topic\": \"%s\", \"views\": %d, \"minutes\": %.1f}", separator, best, views[best], minutes[best] / views[best]
            separator = ", "
            delete views[best]
        }
        print "]}}"
    }' data/engagement.csv
