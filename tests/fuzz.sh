# Feeds the parsers bytes of any kind: `tests/run --fuzz [SECONDS] [TARGET...]`, which reads this file. Without SECONDS
# each target has a minute; without TARGET all run, as many at a time as there are processors. docs/fuzzing.md says what
# they read and what they assert.
#
# A stable toolchain does: libFuzzer comes with a crate, and rustc has the instrumentation that it wants. Everything is
# below target/fuzz: what was built, the log of each target, the inputs that were found worth keeping (the next run begins
# with them too), and in crashes/ those that a target failed on.

fuzz() { # [SECONDS] [TARGET...]
    local home=${CARGO_TARGET_DIR:-$PWD/target}/fuzz seconds=60 targets
    if [[ ${1-} =~ ^[1-9][0-9]*$ ]]; then seconds=$1 && shift; fi
    mapfile -t targets < <(known_targets)
    if [ $# -gt 0 ]; then check_known "$@" && targets=("$@"); fi
    build_targets "$home/target" "${targets[@]}"
    run_targets "$seconds" "${targets[@]}"
    report_targets "$seconds" "${targets[@]}"
}

known_targets() {
    basename --suffix=.rs fuzz/fuzz_targets/*.rs
}

check_known() { # TARGET...
    local target
    for target in "$@"; do
        [ -e "fuzz/fuzz_targets/$target.rs" ] ||
            die "usage: tests/run --fuzz [SECONDS] [TARGET...]; targets are $(known_targets | paste -sd ' ')"
    done
}

build_targets() { # TARGET-DIRECTORY TARGET...
    local programs=("${@:2}")
    mkdir -p "$home"
    take_dependencies "$1"
    # Incremental compilation would cut our code into so small pieces that it runs slowly.
    CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$1 RUSTC_WRAPPER=$PWD/fuzz/instrument \
        cargo build --locked --manifest-path fuzz/Cargo.toml "${programs[@]/#/--bin=}"
}

run_targets() { # SECONDS TARGET...
    local target
    for target in "${@:2}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
        say "$target, for $1 s"
        run_target "$1" "$target" &
    done
    wait
}

# One target, from the corpus in the repository and what was found before. Its log ends with its exit code.
run_target() { # SECONDS TARGET
    local target=$2 found=$home/corpus/$2 crashes=$home/crashes/$2 log=$home/logs/$2 status=0 options
    mkdir -p "$found" "$crashes" "$home/logs"
    options=(-max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$crashes/")
    if [ -e "fuzz/dictionaries/$target.dict" ]; then options+=(-dict="fuzz/dictionaries/$target.dict"); fi
    "$home/target/debug/$target" "${options[@]}" "$found" "fuzz/corpus/$target" </dev/null >"$log" 2>&1 || status=$?
    echo "exit code: $status" >>"$log"
}

# libFuzzer counts the edges of the program that were taken (cov) and, finer, how often and after which comparison (ft).
report_targets() { # SECONDS TARGET...
    local target log executions outcome sum=0 failed=()
    printf '\n%-14s %12s %6s %6s %7s %6s  %s\n' target executions cov ft corpus new outcome
    for target in "${@:2}"; do
        log=$home/logs/$target
        executions=$(last 'stat::number_of_executed_units: *' "$log")
        outcome=$(last 'exit code: ' "$log")
        if [ "$outcome" = 0 ] && [ "$executions" -gt 0 ]; then
            outcome=ok
        else
            outcome="FAILED with exit code $outcome"
            failed+=("$target")
        fi
        sum=$((sum + executions))
        printf '%-14s %12s %6s %6s %7s %6s  %s\n' "$target" "$executions" "$(last '.* cov: ' "$log")" \
            "$(last '.* ft: ' "$log")" "$(last '.* corp: ' "$log")" "$(last 'stat::new_units_added: *' "$log")" "$outcome"
    done
    for target in "${failed[@]}"; do tell_failure "$target"; done
    echo "graphhook fuzzing: $(($# - 1)) targets, $1 s each, $sum executions, ${#failed[@]} failed"
    [ ${#failed[@]} = 0 ]
}

# The last number behind some words in a log; 0 if there is none.
last() { # WORDS LOG
    local number
    number=$(sed -n "s/^$1\([0-9]\+\).*/\1/p" "$2" | tail -n 1)
    echo "${number:-0}"
}

# What it said, and where the input is.
tell_failure() { # TARGET
    printf '\n%s failed; its log is %s\n' "$1" "$home/logs/$1"
    grep -a -A 3 -e '^thread .* panicked' -e '^==.*ERROR' "$home/logs/$1" | head -n 12 || true
    sed -n 's/.*Test unit written to /the input is kept: /p' "$home/logs/$1"
}
