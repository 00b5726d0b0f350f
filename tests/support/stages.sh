# Runs named stages one after the other, keeps their logs, and closes with one line each. Sourced
# after common.sh. A stage NAME is a function stage_NAME; prepare_NAME, if there is one, runs before
# it in the calling shell, so that servers it starts serve later stages too.
#
# A failed stage does not stop the next one; summarise_stages fails if any failed.
#
# shellcheck shell=bash

STAGE_LINES=()
FAILED_STAGES=0
FAILED_TESTS='' # a line each
PASSED=0 FAILED=0 SKIPPED=0 # tests, over all stages

# run_stage NAME: `set -e` is off in whatever `if` or `||` tests, so the status of the stage is read
# from a plain pipeline.
run_stage() {
    local name=$1 log=$LOGS/stage-$1.log started=$SECONDS status
    say "$name"
    declare -F "prepare_$name" >/dev/null && "prepare_$name"
    set +e
    (
        set -e
        "stage_$name"
    ) 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    note_stage "$name" "$status" $((SECONDS - started)) "$log"
}

# note_stage NAME STATUS SECONDS LOG
note_stage() {
    local verdict=ok passed failed skipped counts='' name
    read -r passed failed skipped < <(count_tests "$4")
    [ $((passed + failed + skipped)) -gt 0 ] && counts="$passed passed, $failed failed, $skipped skipped"
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
    if [ "$2" -ne 0 ] || [ "$failed" -gt 0 ]; then
        verdict=FAILED
        FAILED_STAGES=$((FAILED_STAGES + 1))
    fi
    while IFS= read -r name; do FAILED_TESTS+="failed: $name"$'\n'; done < <(failed_tests "$4")
    STAGE_LINES+=("$(printf '%-14s %-7s %5d s   %s' "$1" "$verdict" "$3" "$counts")")
}

# count_tests LOG: passed, failed and skipped over all closing lines of cargo test and pytest.
count_tests() {
    awk '
        function number_before(word,   i, n) {
            n = 0
            for (i = 2; i <= NF; i++) if ($i ~ "^" word "[,;]?$") n += $(i - 1)
            return n
        }
        /^test result: / { passed += number_before("passed"); failed += number_before("failed"); skipped += number_before("ignored") }
        /^(=+ )?[0-9]+ (passed|failed|skipped|error|errors|deselected)(,.*)? in [0-9.]+s/ {
            passed += number_before("passed"); failed += number_before("failed") + number_before("errors?")
            skipped += number_before("skipped")
        }
        END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# failed_tests LOG: the names that cargo test and pytest give, with pytest's reason.
failed_tests() {
    sed -nE -e 's/^test (.*) \.\.\. FAILED$/\1/p' -e 's/^(FAILED|ERROR) (.*::.*)$/\2/p' "$1"
}

summarise_stages() {
    say "summary (logs in $LOGS)"
    printf '%s\n' "${STAGE_LINES[@]}"
    # At the very end, since whoever reads the output may see only that.
    printf '%s' "$FAILED_TESTS"
    [ $((PASSED + FAILED + SKIPPED)) -gt 0 ] && printf '\ntests: %d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
    [ "$FAILED_STAGES" -eq 0 ] || fail "$FAILED_STAGES stage(s) failed"
}
