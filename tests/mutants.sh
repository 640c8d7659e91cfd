# Shows that the tests can fail: `tests/run --mutants [NAME...]`, which reads this file. `--mutants --check` only looks
# whether all mutants still apply, which takes a second.
#
# Each patch in tests/mutants takes one thing away on which the promise rests; the tests that it names must notice.
# It is applied to a copy of the tree in target/mutants, which has a target directory of its own, so that a
# second run compiles little. The working tree is never touched. A patch that no longer applies, does not compile, or
# names a test that is gone is a failure of this command, not a mutant killed.

mutants() { # [NAME...]
    local home=${CARGO_TARGET_DIR:-$PWD/target}/mutants patches=() name only_check=
    if [ "${1-}" = --check ]; then only_check=1 && shift; fi
    mkdir -p "$home"
    home=$(cd "$home" && pwd)
    tree=$home/tree log=$home/log
    for name in "$@"; do
        [ -e "tests/mutants/$name.patch" ] || die "there is no mutant $name"
        patches+=("tests/mutants/$name.patch")
    done
    [ $# -gt 0 ] || patches=(tests/mutants/*.patch)
    copy_tree
    check_patches "${patches[@]}"
    [ -z "$only_check" ] || { echo "graphhook mutants: ${#patches[@]} apply"; return; }
    take_dependencies "$home/target"
    export CARGO_TARGET_DIR=$home/target
    check_unchanged "${patches[@]}"
    kill_all "${patches[@]}"
}

# The tests that patches name: those of tests/it as they are, those of the library with a mark.
tests_of() { # PATCH...
    sed -n -e 's/^Test: //p' -e 's/^Unit: /unit:/p' "$@" | sort -u
}

# Makes the copy equal to the working tree. What differs becomes new: cargo goes by the time.
copy_tree() {
    local file
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard >"$scratch/files"
    while IFS= read -r -d '' file; do
        if [ -e "$file" ] && ! cmp -s "$file" "$tree/$file"; then
            mkdir -p "$(dirname "$tree/$file")"
            cp "$file" "$tree/$file"
        fi
    done <"$scratch/files"
    (cd "$tree" && find . -type f -printf '%P\0') | while IFS= read -r -d '' file; do
        [ -e "$file" ] || rm "$tree/$file"
    done
}

# In the copy, which is not to be taken for a part of the repository around it: git would pass over the patch.
apply() { # [OPTION...] PATCH
    (cd "$tree" && GIT_CEILING_DIRECTORIES=$(dirname "$tree") git apply "${@:1:$#-1}" "$OLDPWD/${!#}")
}

check_patches() { # PATCH...
    local patch test tests
    for patch in "$@"; do
        apply --check "$patch" || die "$patch does not apply any more: bring it up to date"
        tests=$(tests_of "$patch")
        [ -n "$tests" ] || die "$patch names no test"
        for test in $tests; do
            grep -rqw "${test##*:}" src tests/it || die "$patch names a test that is gone: $test"
        done
    done
}

# Compiles the copy, then runs these tests; the outcome is in the log. Fails if anything else than a test does.
run_tests() { # TEST...
    local name integration=() unit=()
    for name in "$@"; do
        case $name in
        unit:*) unit+=("${name#unit:}") ;;
        *) integration+=("$name") ;;
        esac
    done
    : >"$log"
    [ ${#unit[@]} = 0 ] || run_some --lib "${unit[@]}" || return 1
    [ ${#integration[@]} = 0 ] || run_some --test=it "${integration[@]}"
}

run_some() { # --lib|--test=it TEST...
    local status=0
    (cd "$tree" && cargo test --locked --no-run "$1") >"$log.part" 2>&1 || { cat "$log.part" >&2; return 1; }
    (cd "$tree" && timeout --kill-after=10 "$TESTS_WITHIN" cargo test --locked "$1" -- --exact "${@:2}") \
        </dev/null >"$log.part" 2>&1 || status=$?
    cat "$log.part" >>"$log"
    case $status in
    0 | 101) ;;
    *) tail -n 30 "$log.part" >&2; say "the tests ended with $status"; return 1 ;;
    esac
    grep -q "^running $(($# - 1)) tests\?$" "$log.part" ||
        { cat "$log.part" >&2; say "not all of these tests exist: ${*:2}"; return 1; }
}

failed_tests() {
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort -u
}

# Only a test that is green without a mutant says anything when it is red.
check_unchanged() { # PATCH...
    local named
    mapfile -t named < <(tests_of "$@")
    say "the tests of $# mutants without any: ${#named[@]}"
    run_tests "${named[@]}" || die "the tests cannot be run"
    if [ -n "$(failed_tests)" ]; then
        cat "$log" >&2
        die "red without a mutant: $(failed_tests | tr '\n' ' ')"
    fi
}

kill_all() { # PATCH...
    local patch named red begun killed=0 survived=0
    for patch in "$@"; do
        begun=$SECONDS
        mapfile -t named < <(tests_of "$patch")
        apply "$patch"
        run_tests "${named[@]}" || die "$patch: it must compile, and its tests must come to an end"
        apply --reverse "$patch"
        red=$(failed_tests | paste -sd ' ')
        if [ -n "$red" ]; then
            killed=$((killed + 1))
            printf 'killed    %-34s %3d s  by %s\n' "$(basename "$patch" .patch)" $((SECONDS - begun)) "$red"
        else
            survived=$((survived + 1))
            printf 'SURVIVED  %-34s %3d s  %s\n' "$(basename "$patch" .patch)" $((SECONDS - begun)) "${named[*]}"
        fi
    done
    echo "graphhook mutants: $killed killed, $survived survived"
    [ "$survived" = 0 ]
}

# Far more than any of them needs: a mutant may have a test wait to its bound.
TESTS_WITHIN=400
