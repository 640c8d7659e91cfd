# What a real systemd and a real journald make of the daemon. Sourced by package.sh, with the daemon configured and running.

unit_shows() { systemctl show -p "$1" --value graphhook; } # PROPERTY

# Changes of this test to the unit, gone when it ends.
drop_in() { # LINE...
    mkdir -p /run/systemd/system/graphhook.service.d
    printf '%s\n' '[Service]' "$@" >/run/systemd/system/graphhook.service.d/test.conf
    systemctl daemon-reload
}
without_drop_in() {
    rm -rf /run/systemd/system/graphhook.service.d
    systemctl daemon-reload
    systemctl reset-failed graphhook 2>/dev/null || true
    systemctl restart graphhook
    eventually serves
}

systemd_hears_that_it_is_ready_and_what_it_does() {
    is "$(unit_shows ActiveState)" active
    is "$(unit_shows Type)" notify
    [ -n "$(unit_shows StatusText)" ]
    systemctl --no-pager status graphhook | grep -F "Status: \"$(unit_shows StatusText)\""
}

a_good_reload_is_taken_without_a_restart() {
    local before
    before=$(unit_shows MainPID)
    cp -a /etc/graphhook/config.toml /run/config.before
    printf '[log]\nlevel = "debug"\n' >>/etc/graphhook/config.toml
    systemctl reload graphhook
    eventually eval 'curl -fsS http://127.0.0.1:9464/metrics | has -x "graphhook_config_last_reload_successful 1"'
    is "$(post reloaded)" 202
    eventually eval 'journalctl -q -u graphhook -p debug -o cat | has "^answered"'
    cp -a /run/config.before /etc/graphhook/config.toml
    systemctl reload graphhook
    is "$(unit_shows MainPID)" "$before"
}

a_refused_reload_changes_nothing_and_is_told() {
    local before
    before=$(unit_shows MainPID)
    echo 'no_such_key = 1' >>/etc/graphhook/config.toml
    systemctl reload graphhook
    eventually eval 'systemctl show -p StatusText --value graphhook | has REFUSED'
    is "$(post after-a-refused-reload)" 202
    cp -a /run/config.before /etc/graphhook/config.toml
    systemctl reload graphhook
    eventually eval '! systemctl show -p StatusText --value graphhook | has REFUSED'
    is "$(unit_shows MainPID)" "$before"
}

refused_settings_fail_for_good() {
    echo 'no_such_key = 1' >>/etc/graphhook/config.toml
    systemctl restart graphhook 2>/dev/null && fail 'it started'
    is "$(unit_shows ActiveState)" failed
    is "$(unit_shows ExecMainStatus)" 78
    is "$(unit_shows NRestarts)" 0
    cp -a /run/config.before /etc/graphhook/config.toml
    systemctl reset-failed graphhook
    systemctl start graphhook
    eventually serves
}

killed_it_comes_back() {
    local before
    before=$(unit_shows MainPID)
    kill -KILL "$before"
    eventually eval "[ \"\$(systemctl show -p MainPID --value graphhook)\" != $before ] && serves"
    [ "$(unit_shows NRestarts)" -ge 1 ]
    is "$(post after-the-kill)" 202
    eventually has_arrived after-the-kill
}

# Stopped, the whole process tells nothing any more; systemd must notice by itself. Shorter than the unit's own, to be seen.
stuck_it_is_killed_and_comes_back() {
    [ -n "$(systemctl show -p WatchdogUSec --value graphhook | grep -v infinity || true)" ]
    drop_in WatchdogSec=2s RestartSec=100ms
    systemctl restart graphhook
    eventually serves
    local before
    before=$(unit_shows MainPID)
    kill -STOP "$before"
    eventually eval "[ \"\$(systemctl show -p MainPID --value graphhook)\" != $before ] && serves"
    journalctl -q -u graphhook -o cat | has -i 'watchdog timeout'
    without_drop_in
}

credentials_are_handed_over_by_systemd() {
    mkdir -m 700 /root/secrets
    install -m 600 /etc/graphhook/secrets/* /root/secrets/
    sed -i 's|{ file = "/etc/graphhook/secrets/\([a-z-]*\)" }|{ credential = "\1" }|' /etc/graphhook/config.toml
    drop_in LoadCredential=mail:/root/secrets/mail LoadCredential=broker-url:/root/secrets/broker-url
    systemctl restart graphhook
    eventually serves
    is "$(post by-credential)" 202
    eventually has_arrived by-credential
    cp -a /run/config.before /etc/graphhook/config.toml
    rm -r /root/secrets
    without_drop_in
}

ports_below_1024_take_the_capability_of_the_comment() {
    # As the unit's comment has it.
    mkdir -p /run/systemd/system/graphhook.service.d
    sed -n '/CAP_NET_BIND_SERVICE/,/PrivateUsers/s/^# *//p' /usr/lib/systemd/system/graphhook.service | grep -E '^[A-Z]' |
        sed '1i [Service]' >/run/systemd/system/graphhook.service.d/test.conf
    echo "Environment='GRAPHHOOK_SERVER__LISTEN=[\"[::]:443\"]'" >>/run/systemd/system/graphhook.service.d/test.conf
    systemctl daemon-reload
    systemctl restart graphhook
    eventually serves
    is "$(post at-443 443)" 202
    without_drop_in
}

instances_run_beside_it() {
    [ -e /usr/lib/systemd/system/graphhook@.service ]
    install -d -m 750 -g graphhook /etc/graphhook/second
    {
        cat /etc/graphhook/config.toml
        printf '[server]\nlisten = ["[::]:8444"]\n[admin]\nlisten = "127.0.0.1:9465"\n'
    } >/etc/graphhook/second/config.toml
    chgrp graphhook /etc/graphhook/second/config.toml
    systemctl start graphhook@second
    eventually eval '[ "$(curl -sS -o /dev/null -w "%{http_code}" http://127.0.0.1:9465/readyz)" = 200 ]'
    is "$(post by-the-second 8444)" 202
    eventually has_arrived by-the-second
    [ -d /var/lib/graphhook/second/spool ]
    systemctl stop graphhook@second
    rm -r /etc/graphhook/second
}

the_sandbox_is_judged_ok() {
    local unit
    for unit in /usr/lib/systemd/system/graphhook*.service; do
        unit=$(basename "$unit")
        # An instance has a name; the template alone cannot be judged.
        unit=${unit/@./@second.}
        systemd-analyze security --no-pager --threshold=20 "$unit" | tail -n 1
    done
    systemd-analyze verify /usr/lib/systemd/system/graphhook*.s* 2>&1 | grep graphhook && fail 'systemd finds fault with a unit'
    true
}

journald_gets_fields_and_no_secret() {
    one_notification forged | jq -c '.value[0].clientState = "wrong"' |
        curl -sS -o /dev/null --data-binary @- https://hooks.example.com:8443/graph/notifications
    eventually eval 'journalctl -q -u graphhook -p warning -o json | has mismatch'
    journalctl -q -u graphhook -p warning -o json | grep mismatch | tail -n 1 | tee /run/entry |
        jq -e '._SYSTEMD_UNIT == "graphhook.service" and .PRIORITY == "4" and ._TRANSPORT == "journal" and (keys | map(select(contains("REASON"))) | length) == 1'
    journalctl -q -o cat | grep -F "$(cat /etc/graphhook/secrets/mail)" && fail 'the clientState is in the journal'
    true
}

the_catalogue_explains_warnings() {
    journalctl --list-catalog | has graphhook
    journalctl -q -x -u graphhook -p warning --no-pager | has 'Defined-By: graphhook'
}

try systemd_hears_that_it_is_ready_and_what_it_does
try a_good_reload_is_taken_without_a_restart
try a_refused_reload_changes_nothing_and_is_told
try refused_settings_fail_for_good
try killed_it_comes_back
try credentials_are_handed_over_by_systemd
try ports_below_1024_take_the_capability_of_the_comment
try the_sandbox_is_judged_ok
try journald_gets_fields_and_no_secret
try stuck_it_is_killed_and_comes_back
try instances_run_beside_it
try the_catalogue_explains_warnings
