# Read by bash (BASH_ENV) before a page of the manual: where it is, and where it failed.

. /mnt/lib.sh
unset BASH_ENV
set -E

at=$1
blocks=0
block() { # LINE
    blocks=$((blocks + 1))
    at=$PAGE:$1
}
tell() {
    local status=$?
    echo "$blocks" >/run/blocks
    if [ "$status" != 0 ]; then echo "the block at $at failed, its exit code was $status" >&2; fi
}
trap 'echo "$PAGE:$LINENO: $BASH_COMMAND" >&2' ERR
trap tell EXIT
