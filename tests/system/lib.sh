# What tests use on the machine. Sourced there.

# An authority that the machine trusts.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=Machine authority' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -keyout /root/authority/ca-key.pem -out /root/authority/ca.pem 2>/dev/null
    install -m 644 /root/authority/ca.pem /usr/local/share/ca-certificates/machine-authority.crt
    update-ca-certificates >/dev/null 2>&1
}

# Puts fullchain.pem and privkey.pem for a name into a directory.
issue() { # NAME DIRECTORY [DAYS]
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$2/privkey.pem" -out "$2/request.pem" 2>/dev/null
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$1" >"$2/extensions"
    openssl x509 -req -in "$2/request.pem" -CA /root/authority/ca.pem -CAkey /root/authority/ca-key.pem -CAcreateserial \
        -days "${3:-30}" -extfile "$2/extensions" -out "$2/fullchain.pem" 2>/dev/null
    rm "$2/request.pem" "$2/extensions"
}

fail() { echo "$*" >&2; return 1; }

# Whether what comes has such a line. Reads to the end, for with pipefail a writer cut off would count as a failure.
has() { grep "$@" >/dev/null; }

# Waits until a command succeeds, for half a minute.
eventually() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    fail "in vain: $*"
}

is() { # FOUND WANTED
    [ "$1" = "$2" ] || fail "found '$1' and not '$2'"
}

status_json() { curl -fsS http://127.0.0.1:9464/status; }
is_ready() { [ "$(curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:9464/readyz)" = 200 ]; }
has_broker() { curl -fsS http://127.0.0.1:9464/metrics | has -x 'graphhook_amqp_connection_up 1'; }
serves() { is_ready && has_broker; }

one_notification() { # ID
    jq -nc --arg id "$1" --rawfile secret /etc/graphhook/secrets/mail '{value: [{id: $id, subscriptionId: "machine", changeType: "created",
        clientState: ($secret | rtrimstr("\n")), resource: "users/1/messages/1",
        resourceData: {"@odata.type": "#Microsoft.Graph.Message"}}]}'
}

# Sends a notification and prints the status of the answer; 000 when there was none.
post() { # ID [PORT]
    one_notification "$1" | curl -sS -m 10 -o /dev/null -w '%{http_code}' --data-binary @- \
        "https://hooks.example.com:${2:-8443}/graph/notifications" || true
}

# RabbitMQ's management, as its guest, who may come from this machine only.
rabbit() { # METHOD PATH [CURL-ARGUMENTS...]
    curl -fsS -u guest:guest -X "$1" -H 'content-type: application/json' "${@:3}" "http://127.0.0.1:15672/api/$2"
}

# Takes everything out of the queue and prints the ids.
take_ids() {
    rabbit POST 'queues/%2f/graph.notifications/get' -d '{"count":100000,"ackmode":"ack_requeue_false","encoding":"auto"}' |
        jq -r '.[].payload | fromjson | .id'
}

has_arrived() { # ID...
    take_ids >>/run/arrived
    local id
    for id in "$@"; do grep -qxF "$id" /run/arrived || return 1; done
}
