# Shared by tests/run and .ci/run: where things are, how a stage reports, who cleans up. Sourced.
#
# Everything the tests install, start and log lives in TEST_HOME, inside the git-ignored target
# folder unless S3SEAL_TEST_HOME says otherwise.
#
# shellcheck shell=bash

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TEST_HOME=${S3SEAL_TEST_HOME:-$REPO/target/test-home}
TARGET_DIR=${CARGO_TARGET_DIR:-$REPO/target}
VENV=$TEST_HOME/venv
LOGS=$TEST_HOME/logs
RUN=$TEST_HOME/run # data of the servers; emptied at every start
mkdir -p "$TEST_HOME" "$LOGS" "$RUN"

# Every started process is written down here and ended, by its id, when the script leaves.
STARTED_PIDS=()

say() { printf '\n==> %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    return 1
}

end_started_processes() {
    local pid
    for pid in "${STARTED_PIDS[@]:-}"; do
        [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null || true
    done
    STARTED_PIDS=()
}

# wait_for_http URL PID SECONDS [STATUS]: until URL answers (with STATUS, if given) or PID is gone.
wait_for_http() {
    local url=$1 pid=$2 deadline=$((SECONDS + $3)) wanted=${4:-} status
    while [ $SECONDS -lt $deadline ]; do
        status=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$url" || true)
        [ "$status" != 000 ] && { [ -z "$wanted" ] || [ "$status" = "$wanted" ]; } && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# free_ports COUNT: the first of COUNT consecutive free ports on loopback, below the ephemeral range.
free_ports() {
    python3 "$REPO/tests/support/free_ports.py" "$1"
}
