# A machine of its own: Debian 12 with systemd, RabbitMQ and promtool, booted in a container that reaches nothing
# outside. Sourced by tests/system/run.

# What graphhook stands beside in the tests and in the manual.
PACKAGES=(systemd systemd-sysv dbus adduser ca-certificates curl haproxy iproute2 jq man-db openssl pebble procps
    prometheus rabbitmq-server)
SUITE=bookworm

# Everything lies here; roots are kept for the next time, machines are not.
ground=${CARGO_TARGET_DIR:-$PWD/target}/system
machine=
nspawn=
leader=

# A root with the packages, made once; its name tells what is in it. Prints its place.
base() {
    local root
    root=$ground/base-$(sha256sum <<<"$SUITE ${PACKAGES[*]} $(declare -f base furnish)" | cut -c 1-16)
    if [ ! -d "$root" ]; then
        say "making a root of Debian $SUITE (once)"
        # Whatever is left of others and of half a try.
        rm -rf "$ground"/base-*
        mkdir -p "$ground"
        debootstrap --variant=minbase "$SUITE" "$root.new" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$ground/base.log" 2>&1 &&
            furnish "$root.new" >>"$ground/base.log" 2>&1 ||
            { tail -n 20 "$ground/base.log" >&2; die "no root could be made; all of it is in $ground/base.log"; }
        mv "$root.new" "$root"
    fi
    echo "$root"
}

furnish() { # ROOT
    local root=$1
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    chroot "$root" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends install "${PACKAGES[@]}" || return
    chroot "$root" systemctl mask prometheus.service prometheus-node-exporter.service haproxy.service || return
    chroot "$root" rabbitmq-plugins enable --offline rabbitmq_management || return
    rm -r "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
}

# A fresh machine, before it boots: names, and a broker that speaks TLS with a certificate of an authority of its own.
fresh() {
    machine=$ground/machine-$$
    rm -rf "$machine"
    cp -a --reflink=auto "$(base)" "$machine"
    echo machine >"$machine/etc/hostname"
    printf '127.0.0.1 localhost machine hooks.example.com rabbit.example.com\n::1 localhost\n' >"$machine/etc/hosts"
    mkdir -p "$machine/root/authority" "$machine/etc/rabbitmq/tls"
    chroot "$machine" bash -euc "$(cat tests/system/lib.sh)
        authority
        issue rabbit.example.com /etc/rabbitmq/tls
        chown -R rabbitmq: /etc/rabbitmq/tls"
    cat >"$machine/etc/rabbitmq/rabbitmq.conf" <<'END'
listeners.ssl.default = 5671
ssl_options.cacertfile = /etc/rabbitmq/tls/fullchain.pem
ssl_options.certfile = /etc/rabbitmq/tls/fullchain.pem
ssl_options.keyfile = /etc/rabbitmq/tls/privkey.pem
END
}

boot() {
    setsid systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$machine" \
        --machine="graphhook-$$" --bind-ro="$PWD/tests/system:/mnt" --bind-ro="$PWD/docs:/srv" --boot --console=pipe \
        >"$ground/console.log" 2>&1 </dev/null &
    nspawn=$!
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        leader=$(pgrep -P "$nspawn" | head -n 1) || true
        if [ -n "$leader" ] && inside test -S /run/systemd/private 2>/dev/null; then
            inside bash -c 'systemctl is-system-running --wait' >"$ground/booted" || true
            case $(cat "$ground/booted") in
            running) return 0 ;;
            *) inside systemctl --failed --no-pager >&2 || true; return 1 ;;
            esac
        fi
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$ground/console.log" >&2
    return 1
}

# Runs a command on the machine, as root.
inside() {
    nsenter -t "$leader" -m -u -i -n -p -C --root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive sh -c 'cd /root && exec "$@"' sh "$@"
}

halt() {
    if [ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null; then
        if [ -n "$leader" ]; then inside systemctl poweroff >/dev/null 2>&1 || true; fi
        local tries
        for ((tries = 0; tries < 300; tries++)); do
            kill -0 "$nspawn" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$nspawn" 2>/dev/null || true
        wait "$nspawn" 2>/dev/null || true
    fi
    nspawn= leader=
    if [ -n "$machine" ]; then rm -rf "$machine"; fi
    machine=
}
