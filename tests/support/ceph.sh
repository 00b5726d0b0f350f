#!/usr/bin/env bash
# Starts the smallest Ceph that answers S3: one monitor, one in-memory OSD, one gateway.
#
#     ceph.sh DIR PORT      S3 on 127.0.0.1:PORT; PORT+1 .. PORT+39 are used as well
#
# The account is $S3SEAL_TEST_ACCESS_KEY / $S3SEAL_TEST_SECRET_KEY. The daemons leave their process
# ids in DIR/run/*.pid; ending them loses the data.
set -euo pipefail

DIR=$1
S3_PORT=$2
MON_PORT=$((S3_PORT + 1))
FSID=$(cat /proc/sys/kernel/random/uuid)
KEYRING=$DIR/keyring
export CEPH_CONF=$DIR/ceph.conf CEPH_ARGS=

# cephx stays on: with `auth client required = none` the gateway waits five minutes for the
# monitor's configuration. No manager runs, so the pool sizes are fixed here.
write_config() {
    cat >"$CEPH_CONF" <<C
[global]
fsid = $FSID
mon host = [v2:127.0.0.1:$MON_PORT]
keyring = $KEYRING
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = $((S3_PORT + 2))
ms bind port max = $((S3_PORT + 39))
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
run dir = $DIR/run
admin socket = $DIR/run/\$name.asok
log file = $DIR/log/\$name.log
pid file = $DIR/run/\$name.pid
mon cluster log file = $DIR/log/cluster.log
crash dir = $DIR/log
auth allow insecure global id reclaim = false
[mon]
mon data = $DIR/mon
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = $DIR/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class load list = *
osd class default list = *
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$S3_PORT
rgw data = $DIR/rgw
rgw thread pool size = 32
C
}

add_identity() { ceph-authtool "$KEYRING" --gen-key "$@" >/dev/null; }

write_keyring() {
    ceph-authtool --create-keyring "$KEYRING" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    add_identity -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    add_identity -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
    add_identity -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw'
}

start_monitor() {
    monmaptool --create --clobber --addv a "[v2:127.0.0.1:$MON_PORT]" --fsid "$FSID" "$DIR/monmap"
    ceph-mon --mkfs -i a --monmap "$DIR/monmap" --keyring "$KEYRING"
    ceph-mon -i a
}

start_osd() {
    local uuid
    uuid=$(cat /proc/sys/kernel/random/uuid)
    timeout 60 ceph osd new "$uuid"
    ceph-osd -i 0 --mkfs --osd-uuid "$uuid"
    ceph-osd -i 0
    until_true 30 osd_is_up
}

osd_is_up() { ceph osd stat 2>/dev/null | grep -q '1 up'; }
gateway_answers() { curl -s -o /dev/null "http://127.0.0.1:$S3_PORT/"; }

start_gateway() {
    timeout 120 radosgw -n client.rgw.a
    until_true 60 gateway_answers
    radosgw-admin user create --uid=proxy --display-name=proxy \
        --access-key="$S3SEAL_TEST_ACCESS_KEY" --secret-key="$S3SEAL_TEST_SECRET_KEY" >/dev/null
}

# until_true SECONDS COMMAND
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || { echo "gave up waiting: $*" >&2 && return 1; }
        sleep 0.2
    done
}

rm -rf "$DIR"
mkdir -p "$DIR"/{mon,osd,rgw,run,log}
write_config
write_keyring
start_monitor
start_osd
start_gateway
