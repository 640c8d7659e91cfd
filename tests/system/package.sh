#!/usr/bin/env bash
# The package on the machine, from its installation to its purge; between them systemd (service.sh). In a chroot, where no
# machine can boot, only its files.
set -euo pipefail
. /mnt/lib.sh
. /mnt/suite.sh

part=$1
package=(/root/package/*.deb)
next=(/root/next/*.deb)
version=$(dpkg-deb -f "${package[0]}" Version)

apt_install() { # FILE
    apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends --allow-downgrades "${@:2}" install "$1"
}
owner_and_mode() { stat -c '%U:%G %a' "$1"; }

the_package_installs_on_a_bare_machine() {
    apt_install "${package[0]}"
    is "$(dpkg-query -W -f '${Status}' graphhook)" 'install ok installed'
    graphhook --version | has -xF "graphhook ${version%-*}"
}

files_have_the_owners_and_modes_they_need() {
    is "$(owner_and_mode /usr/bin/graphhook)" 'root:root 755'
    is "$(owner_and_mode /etc/graphhook)" 'root:graphhook 750'
    is "$(owner_and_mode /etc/graphhook/tls)" 'root:graphhook 750'
    is "$(owner_and_mode /etc/graphhook/secrets)" 'root:graphhook 750'
    is "$(owner_and_mode /etc/graphhook/rich)" 'root:graphhook 750'
    is "$(owner_and_mode /etc/graphhook/config.toml)" 'root:graphhook 640'
    is "$(dpkg-query -W -f '${Conffiles}' graphhook | wc -w)" 2
    for file in /usr/lib/systemd/system/graphhook.{service,socket} /usr/share/graphhook/graph-addresses.txt \
        /usr/share/doc/graphhook/{README.md,copyright,changelog.gz,third-party-licenses.gz,docs/spool.md,examples/consume.py}; do
        is "$(owner_and_mode "$file")" 'root:root 644'
    done
    # Nothing of it is anybody's to write, nor somebody else's than root's.
    is "$(dpkg -L graphhook | xargs -d '\n' stat -c '%U %A %n' | grep -vE '^root .{5}[-r].{2}[-r]' || true)" ''
    is "$(dpkg -V graphhook)" ''
    # What it says of itself.
    is "$(gzip -dc /usr/share/man/man1/graphhook.1.gz | grep -c '^\.TH ')" 1
    for file in bash-completion/completions/graphhook zsh/vendor-completions/_graphhook fish/vendor_completions.d/graphhook.fish; do
        grep -q graphhook "/usr/share/$file"
    done
}

the_user_can_do_nothing_but_run_it() {
    is "$(getent passwd graphhook | cut -d : -f 6-)" /var/lib/graphhook:/usr/sbin/nologin
    is "$(id -gn graphhook)" graphhook
    [ "$(id -u graphhook)" -lt 1000 ]
    is "$(owner_and_mode /var/lib/graphhook)" 'graphhook:graphhook 700'
}

nothing_runs_after_the_installation() {
    is "$(systemctl is-active graphhook.service graphhook.socket | tr '\n' ' ')" 'inactive inactive '
    is "$(systemctl is-enabled graphhook.service graphhook.socket | tr '\n' ' ')" 'disabled disabled '
}

settings_without_a_secret_are_refused_without_restarts() {
    systemctl start graphhook 2>/dev/null && fail 'it started'
    is "$(systemctl show -p Result,ExecMainStatus,NRestarts graphhook | sort | paste -sd ' ')" 'ExecMainStatus=78 NRestarts=0 Result=exit-code'
    journalctl -u graphhook -o cat | has client_states
    systemctl reset-failed graphhook
}

# As docs/install.md does it, in short.
configured() {
    issue hooks.example.com /etc/graphhook/tls
    openssl rand -hex 32 >/etc/graphhook/secrets/mail
    echo 'amqps://guest:guest@rabbit.example.com:5671/%2f' >/etc/graphhook/secrets/broker-url
    chgrp graphhook /etc/graphhook/{tls,secrets}/*
    chmod 640 /etc/graphhook/{tls,secrets}/*
    cat >/etc/graphhook/config.toml <<'END'
# Kept by every upgrade.
[[client_states]]
name = "mail"
secret = { file = "/etc/graphhook/secrets/mail" }

[broker]
urls = [{ file = "/etc/graphhook/secrets/broker-url" }]
END
    runuser -u graphhook -- graphhook check
}

a_notification_arrives_in_the_queue() {
    systemctl enable --now graphhook
    eventually serves
    is "$(post first)" 202
    eventually has_arrived first
}

the_state_belongs_to_the_daemon_alone() {
    is "$(owner_and_mode /var/lib/graphhook)" 'graphhook:graphhook 700'
    is "$(owner_and_mode /var/lib/graphhook/spool)" 'graphhook:graphhook 700'
}

# Systemd holds the port from here on.
socket_activated() {
    mkdir -p /etc/systemd/system/graphhook.socket.d /etc/systemd/system/graphhook.service.d
    printf '[Socket]\nListenStream=\nListenStream=8443\n' >/etc/systemd/system/graphhook.socket.d/port.conf
    printf '[Service]\nSockets=graphhook.socket\n' >/etc/systemd/system/graphhook.service.d/socket.conf
    systemctl daemon-reload
    systemctl stop graphhook
    systemctl enable --now graphhook.socket
    systemctl start graphhook
    eventually serves
    is "$(post by-socket)" 202
    eventually has_arrived by-socket
    journalctl -u graphhook -o cat --output-fields=MESSAGE | has listening
}

# Sends one notification after the other, each on a connection of its own, until told to stop. Whatever is not answered is
# what this test is about.
sender() { # NAME
    local number=0
    while [ ! -e /run/load/stop ]; do
        number=$((number + 1))
        printf '%s %s\n' "$(post "$1-$number" 2>>"/run/load/$1.errors")" "$1-$number" >>"/run/load/$1"
    done
}
load() {
    rm -rf /run/load
    mkdir /run/load
    local name
    for name in a b c; do
        sender "$1-$name" </dev/null >/dev/null 2>&1 &
    done
}
# Ends the load: every answer was 202, and each notification is in the queue.
load_lost_nothing() {
    touch /run/load/stop
    wait
    cat /run/load/*.errors >&2
    is "$(cat /run/load/*-[abc] | grep -vc '^202 ' || true)" 0
    mapfile -t ids < <(cut -d ' ' -f 2 /run/load/*-[abc])
    [ "${#ids[@]}" -gt 20 ] || fail "only ${#ids[@]} notifications were sent: that is no load"
    eventually has_arrived "${ids[@]}"
    echo "${#ids[@]} notifications, one connection each" | tee -a /run/results/notes
}
main_pid() { systemctl show -p MainPID --value graphhook; }
has_sent() { [ "$(cat /run/load/*-[abc] | wc -l)" -ge "$1" ]; }

an_upgrade_under_load_refuses_no_connection_and_loses_nothing() {
    local before
    before=$(main_pid)
    load upgrade
    eventually has_sent 10
    apt_install "${next[0]}" -o Dpkg::Options::=--force-confold
    [ "$(main_pid)" != "$before" ]
    local sent
    sent=$(cat /run/load/*-[abc] | wc -l)
    eventually has_sent $((sent + 10))
    load_lost_nothing
    is "$(dpkg-query -W -f '${Version}' graphhook)" "$version+next"
}

edits_of_the_settings_are_kept() {
    grep -q 'Kept by every upgrade' /etc/graphhook/config.toml
    is "$(owner_and_mode /etc/graphhook/config.toml)" 'root:graphhook 640'
    grep -q 'only the next version' /etc/graphhook/config.toml.dpkg-dist
}

a_downgrade_under_load_loses_nothing_either() {
    load downgrade
    eventually has_sent 10
    apt_install "${package[0]}" -o Dpkg::Options::=--force-confold
    local sent
    sent=$(cat /run/load/*-[abc] | wc -l)
    eventually has_sent $((sent + 10))
    load_lost_nothing
    is "$(dpkg-query -W -f '${Version}' graphhook)" "$version"
}

an_upgrade_leaves_a_daemon_alone_whose_settings_it_would_refuse() {
    local before
    before=$(main_pid)
    cp -a /etc/graphhook/config.toml /run/config.kept
    echo 'no_such_key = 1' >>/etc/graphhook/config.toml
    apt_install "${next[0]}" -o Dpkg::Options::=--force-confold 2>&1 | tee /run/upgrade.log
    grep -q 'refuses the settings of graphhook.service' /run/upgrade.log
    is "$(main_pid)" "$before"
    is "$(post still-there)" 202
    cp -a /run/config.kept /etc/graphhook/config.toml
    apt_install "${package[0]}" -o Dpkg::Options::=--force-confold
    [ "$(main_pid)" != "$before" ]
    eventually serves
}

an_upgrade_starts_nothing_that_was_stopped() {
    systemctl stop graphhook.socket graphhook.service
    apt_install "${next[0]}" -o Dpkg::Options::=--force-confold
    is "$(systemctl is-active graphhook)" inactive
    apt_install "${package[0]}" -o Dpkg::Options::=--force-confold
    is "$(systemctl is-active graphhook)" inactive
    systemctl start graphhook
    eventually serves
}

# With the broker away, what Graph sends waits in the spool; then the package goes.
a_removal_keeps_spool_settings_and_secrets() {
    systemctl stop rabbitmq-server
    is "$(post spooled)" 202
    dpkg --remove graphhook
    is "$(systemctl is-active graphhook.service graphhook.socket | tr '\n' ' ')" 'inactive inactive '
    [ ! -e /usr/bin/graphhook ]
    [ -s /var/lib/graphhook/spool/spool.db ]
    for file in config.toml secrets/mail secrets/broker-url tls/privkey.pem; do
        [ -s "/etc/graphhook/$file" ]
    done
}

a_purge_keeps_the_spool_and_says_so() {
    dpkg --purge graphhook 2>&1 | tee /run/purge.log
    grep -q 'kept /var/lib/graphhook:' /run/purge.log
    grep -q '/etc/graphhook/secrets/mail' /run/purge.log
    [ -s /var/lib/graphhook/spool/spool.db ]
    [ ! -e /etc/graphhook/config.toml ]
    [ -s /etc/graphhook/secrets/mail ]
}

installed_again_it_delivers_what_the_spool_held() {
    systemctl start rabbitmq-server
    apt_install "${package[0]}"
    is "$(systemctl is-active graphhook)" inactive
    is "$(owner_and_mode /etc/graphhook/secrets)" 'root:graphhook 750'
    cp -a /run/config.kept /etc/graphhook/config.toml
    systemctl enable --now graphhook
    eventually serves
    eventually has_arrived spooled
}

a_purge_without_any_spool_leaves_nothing_of_its_own() {
    [ -e /etc/systemd/system/multi-user.target.wants/graphhook.service ]
    systemctl stop graphhook
    rm -r /var/lib/graphhook/*
    dpkg --purge graphhook 2>&1 | tee /run/purge.log
    is "$(grep -c 'kept /var/lib/graphhook' /run/purge.log || true)" 0
    [ ! -e /var/lib/graphhook ]
    [ ! -e /etc/graphhook/config.toml ]
    [ ! -e /usr/share/graphhook ]
    [ ! -e /usr/share/doc/graphhook ]
    is "$(find /etc/systemd/system -name 'graphhook.s*' -type l)" ''
    is "$(dpkg-query -W -f '${Status}' graphhook 2>/dev/null || true)" ''
    rm -r /etc/graphhook /etc/systemd/system/graphhook.*.d
    apt_install "${package[0]}"
}

# By systemd, which can do what a container's runtime does: another root that cannot be written, another user, no
# privilege, one volume.
the_image_of_a_container_runs_read_only_as_nobody() {
    # Nothing is in it that could be called but the program.
    is "$(find /root/image -path '*bin/*' -type f -printf '/%P ')" '/usr/bin/graphhook '
    is "$(stat -c %u:%a /root/image/var/lib/graphhook)" 65532:700
    # Systemd wants the number to have a name.
    adduser --system --group --uid 65532 --no-create-home --quiet image 2>/dev/null
    mkdir -p /run/image/settings /run/image/state
    install -m 644 /etc/graphhook/tls/*.pem /etc/graphhook/secrets/mail /run/image/settings/
    cat >/run/image/settings/config.toml <<'END'
[server]
listen = ["[::]:8446"]
[server.tls]
certificate = "/etc/graphhook/fullchain.pem"
private_key = "/etc/graphhook/privkey.pem"
[[client_states]]
name = "mail"
secret = { file = "/etc/graphhook/mail" }
[broker]
urls = ["amqps://guest:guest@rabbit.example.com:5671/%2f"]
[broker.tls]
ca_file = "/etc/graphhook/ca.pem"
[admin]
listen = "127.0.0.1:9466"
[log]
format = "text"
END
    install -m 644 /root/authority/ca.pem /run/image/settings/
    chown -R 65532:65532 /run/image
    systemd-run --quiet --unit=image -p RootDirectory=/root/image -p MountAPIVFS=yes -p User=65532 -p Group=65532 \
        -p ProtectSystem=strict -p NoNewPrivileges=yes -p CapabilityBoundingSet= -p BindReadOnlyPaths=/etc/hosts \
        -p BindReadOnlyPaths=/run/image/settings:/etc/graphhook -p BindPaths=/run/image/state:/var/lib/graphhook \
        /usr/bin/graphhook serve
    eventually eval '[ "$(curl -sS -o /dev/null -w "%{http_code}" http://127.0.0.1:9466/readyz)" = 200 ]'
    is "$(post by-the-image 8446)" 202
    eventually has_arrived by-the-image
    [ -e /run/image/state/spool ]
    systemctl stop image
    journalctl -q -u image -o cat | has 'graphhook has stopped'
}

a_removal_in_a_chroot_keeps_settings_and_a_purge_takes_them() {
    dpkg --remove graphhook
    [ -s /etc/graphhook/config.toml ]
    dpkg --purge graphhook
    [ ! -e /etc/graphhook ]
}

try the_package_installs_on_a_bare_machine
try files_have_the_owners_and_modes_they_need
try the_user_can_do_nothing_but_run_it
if [ "$part" = chroot ]; then
    try a_removal_in_a_chroot_keeps_settings_and_a_purge_takes_them
    exit 0
fi
try nothing_runs_after_the_installation
try settings_without_a_secret_are_refused_without_restarts
try configured
try a_notification_arrives_in_the_queue
try the_state_belongs_to_the_daemon_alone
if [ "$part" != package ]; then . /mnt/service.sh; fi
if [ "$part" != service ]; then try the_image_of_a_container_runs_read_only_as_nobody; fi
if [ "$part" != service ]; then
    try socket_activated
    try an_upgrade_under_load_refuses_no_connection_and_loses_nothing
    try edits_of_the_settings_are_kept
    try a_downgrade_under_load_loses_nothing_either
    try an_upgrade_leaves_a_daemon_alone_whose_settings_it_would_refuse
    try an_upgrade_starts_nothing_that_was_stopped
    try a_removal_keeps_spool_settings_and_secrets
    try a_purge_keeps_the_spool_and_says_so
    try installed_again_it_delivers_what_the_spool_held
    try a_purge_without_any_spool_leaves_nothing_of_its_own
fi
