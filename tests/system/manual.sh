#!/usr/bin/env bash
# Runs the manual on the machine: every block marked `sh` of every page, in order, as somebody would paste them into one
# shell. docs/install.md comes first, from a bare machine; every other page begins with what that one leaves. A page can
# have companions in tests/system/pages: for docs/a/b.md, a/b.before makes its fault, a/b.after looks whether it is cured.
set -euo pipefail
. /mnt/lib.sh
. /mnt/suite.sh

# For who works on the program, with its source and tools before them.
NOT_FOR_OPERATORS='^docs/(evidence|fuzzing|soak)\.md$'

# Runs a page; whatever it prints is shown if it fails.
page() { # PAGE
    local name directory=/root/page
    name=${1#docs/}
    name=${name%.md}
    awk -f /mnt/page.awk "/srv/${1#docs/}" >/run/page.script
    if ! grep -q '^block ' /run/page.script; then return 0; fi
    if [ -e "/mnt/pages/$name.before" ]; then companion "$name.before"; fi
    mkdir -p "$directory"
    echo 0 >/run/blocks
    local status=0
    # Under the page's own name, so that bash speaks of it.
    mkdir -p "/run/pages/$(dirname "$1")"
    cp /run/page.script "/run/pages/$1"
    (cd "$directory" && PAGE=$1 BASH_ENV=/mnt/page.sh timeout -k 5 180 \
        bash -euo pipefail "/run/pages/$1" "$1") </dev/null || status=$?
    cat /run/blocks >>/run/results/blocks
    [ "$status" = 0 ] || fail "$1 failed with $status"
    if [ -e "/mnt/pages/$name.after" ]; then companion "$name.after"; fi
}

companion() { # FILE
    (cd /root && BASH_ENV=/mnt/lib.sh bash -euo pipefail "/mnt/pages/$1") || fail "tests/system/pages/$1 failed"
}

# What a page may change, as docs/install.md left it.
KEPT=(etc/graphhook etc/systemd/system etc/default etc/prometheus etc/hosts etc/ca-certificates.conf usr/local)

remember() {
    systemctl stop graphhook
    tar -C / -cpf /var/tmp/kept.tar "${KEPT[@]}" var/lib/graphhook
    rabbit GET definitions >/var/tmp/definitions.json
    systemctl start graphhook
}

# Back to where docs/install.md ended.
reset() {
    systemctl stop graphhook.socket 'graphhook@*' graphhook >/dev/null 2>&1 || true
    # Whatever a page has started by systemd-run, and did not come to stop.
    local unit
    for unit in /run/systemd/transient/*.service; do
        if [ -e "$unit" ]; then systemctl stop "$(basename "$unit")"; fi
    done
    systemctl start rabbitmq-server
    find /root -mindepth 1 -maxdepth 1 ! -name package ! -name next ! -name authority -exec rm -rf {} +
    rm -rf /etc/graphhook /var/lib/graphhook* /var/lib/private/graphhook* /usr/local /etc/systemd/system
    mkdir -p /root/page
    tar -C / -xpf /var/tmp/kept.tar
    if [ "$(dpkg-query -W -f '${Status} ${Version}' graphhook)" != "install ok installed $version" ]; then
        dpkg --force-confold --force-downgrade -i /root/package/*.deb
    fi
    systemctl daemon-reload
    systemctl reset-failed
    local vhost
    rabbit GET queues | jq -r '.[] | [.vhost, .name] | map(@uri) | join("/")' | while read -r vhost; do rabbit DELETE "queues/$vhost"; done
    rabbit GET exchanges | jq -r '.[] | select(.name != "" and (.name | startswith("amq.") | not)) | [.vhost, .name] | map(@uri) | join("/")' |
        while read -r vhost; do rabbit DELETE "exchanges/$vhost"; done
    rabbit GET policies | jq -r '.[] | [.vhost, .name] | map(@uri) | join("/")' | while read -r vhost; do rabbit DELETE "policies/$vhost"; done
    rabbit POST definitions -d @/var/tmp/definitions.json
    systemctl start graphhook
    eventually serves
}

run_page() { # PAGE
    reset >/run/reset.log 2>&1 || { cat /run/reset.log; fail "no return to what docs/install.md leaves"; }
    page "$1"
}

install_page() {
    page docs/install.md
    eventually serves
    remember
    eventually serves
}

version=$(dpkg-deb -f /root/package/*.deb Version)
: >/run/results/blocks
try install_page
if [ -s /run/results/manual.failed ]; then exit 0; fi

if [ $# -gt 0 ]; then
    pages=("$@")
else
    mapfile -t pages < <(cd /srv && find . -name '*.md' -printf 'docs/%P\n' | sort | grep -vE "$NOT_FOR_OPERATORS" | grep -vx docs/install.md)
fi
for one in "${pages[@]}"; do
    try run_page "$one"
done
