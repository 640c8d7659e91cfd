# Runs functions as tests, on the machine or beside it. Sourced.

RESULTS=${RESULTS:-/run/results}
name=$(basename "$0" .sh)
: >"$RESULTS/$name.passed"
: >"$RESULTS/$name.failed"

# Each in a shell of its own, with what it has said only if it fails.
try() { # FUNCTION [ARGUMENTS...]
    local begun=$SECONDS status=0 title=${*//_/ }
    # Not in a condition: there `set -e` would hold no more.
    set +e
    (set -euo pipefail && "$@") >"$RESULTS/$1.log" 2>&1
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        printf 'ok      %s (%d s)\n' "$title" $((SECONDS - begun))
        echo "$title" >>"$RESULTS/$name.passed"
    else
        printf 'FAILED  %s (%d s)\n' "$title" $((SECONDS - begun))
        echo "$title" >>"$RESULTS/$name.failed"
        tail -n 40 "$RESULTS/$1.log" | sed 's/^/        /'
        if [ "$RESULTS" = /run/results ] && [ -d /run/systemd/system ]; then
            journalctl -q --no-pager -n 30 -u 'graphhook*' -u image 2>/dev/null | sed 's/^/        journal: /' || true
        fi
    fi
}
