# Turns a page of the manual into a script whose line N is the page's line N, so that whatever bash complains of has its
# place in the page: what stands in blocks marked sh remains, everything else becomes empty lines.
{
    line = $0
    sub(/\r$/, "", line)
    if (inside) {
        if (line ~ "^" indent "```[ \t]*$") { inside = 0; print ""; next }
        if (indent != "" && index(line, indent) == 1) line = substr(line, length(indent) + 1)
        print line
    } else if (other) {
        if (line ~ /^[ \t]*```[ \t]*$/) other = 0
        print ""
    } else if (line ~ /^[ \t]*```sh[ \t]*$/) {
        inside = 1
        indent = line
        sub(/```.*/, "", indent)
        print "block " FNR
    } else {
        if (line ~ /^[ \t]*```/) other = 1
        print ""
    }
}
END { if (inside || other) { print "echo the last block has no end >&2; exit 1" } }
