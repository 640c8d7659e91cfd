# Holds receivers against one list of cases: `tests/run --receivers [NAME...]`, which reads this file. They are graphhook itself
# (`graphhook dev`) and those in examples/receivers, which were written with other tools; without NAME all of them.
#
# The program is $GRAPHHOOK, or else the debug build. Everything is below target/receivers: what was installed for each, a
# certificate that nobody else trusts, logs, and in results/ what `graphhook simulate conformance` found, as table, JSON and
# JUnit XML, with the versions of all that took part.
#
# What another receiver fails is a result, and no failure of this command. It fails when graphhook does not pass, or when a
# receiver could not be tried.

receivers() { # [NAME...]
    local names=(graphhook flask express) name status=0
    if [ $# -gt 0 ]; then check_receivers "$@" && names=("$@"); fi
    home=${CARGO_TARGET_DIR:-$PWD/target}/receivers program='' issuer='' issuer_origin='' receiver=''
    trap 'end "$receiver"; end "$issuer"; cleanup' EXIT
    export RECEIVER_CLIENT_STATE=
    choose_program
    mkdir -p "$home/results" "$home/logs" "$home/issuer"
    home=$(cd "$home" && pwd)
    make_identity
    install_flask
    install_express
    versions | tee "$home/results/versions.txt"
    serve_issuer </dev/null >"$home/logs/issuer" 2>&1 &
    issuer=$!
    issuer_origin=$(origin_of "$issuer" "$home/logs/issuer")
    for name in "${names[@]}"; do
        say "$name"
        rm -f "$home/results/$name".*
        try_receiver "$name" || status=1
        end "$receiver"
        receiver=
    done
    compare "${names[@]}" >"$home/results/compared.md"
    say "the results are in $home/results"
    return "$status"
}

check_receivers() { # NAME...
    local name
    for name in "$@"; do
        declare -F "serve_$name" >/dev/null ||
            die "usage: tests/run --receivers [NAME...]; receivers are graphhook, flask and express"
    done
}

choose_program() {
    if [ -n "${GRAPHHOOK-}" ]; then
        program=$(realpath "$GRAPHHOOK")
    else
        cargo build --locked
        program=$(realpath "${CARGO_TARGET_DIR:-target}/debug/graphhook")
    fi
    [ -x "$program" ] || die "$program is no program"
}

# An authority and what it says of this machine: a receiver shows the one, conformance believes the other.
make_identity() {
    local place=$home/tls
    rm -rf "$place"
    mkdir -p "$place"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Receivers of graphhook' \
        -addext 'keyUsage=critical,keyCertSign' -keyout "$place/ca-key.pem" -out "$place/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=127.0.0.1' \
        -keyout "$place/key.pem" -out "$place/request.pem" 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$place/extensions"
    openssl x509 -req -in "$place/request.pem" -CA "$place/ca.pem" -CAkey "$place/ca-key.pem" -CAcreateserial \
        -days 2 -extfile "$place/extensions" -out "$place/cert.pem" 2>/dev/null
}

install_flask() {
    install_python examples/receivers/flask/requirements.txt "$home/flask"
    cp examples/receivers/flask/receiver.py "$home/flask/"
}

install_express() {
    install_node examples/receivers/express "$home/express"
    cp examples/receivers/express/receiver.js "$home/express/"
}

versions() {
    "$program" --version
    (. /etc/os-release && echo "$PRETTY_NAME, $(uname -srm)")
    "$home/flask/bin/python" --version
    "$home/flask/bin/python" -m pip list --disable-pip-version-check --format freeze | grep -iE '^(flask|werkzeug)=='
    echo "Node.js $(node --version)"
    node -e 'for (const name of ["express", "body-parser", "jsonwebtoken", "jwks-rsa"])
        console.log(`${name} ${require(`${process.argv[1]}/node_modules/${name}/package.json`).version}`)' "$home/express"
    openssl version
}

# Each becomes the receiver itself, so that its process id is known. Port 0 is any that is free; each says which.
serve_issuer() { exec "$program" simulate issuer --directory "$home/issuer" --listen 127.0.0.1:0; }
serve_graphhook() { exec "$program" dev --listen 127.0.0.1:0; }
serve_flask() {
    cd "$home/flask" || exit
    PORT=0 TLS_CERTIFICATE=$home/tls/cert.pem TLS_KEY=$home/tls/key.pem exec bin/python receiver.py
}
# It is told of an issuer and has a key, so that resource data can be for it.
serve_express() {
    cd "$home/express" || exit
    export PORT=0 TLS_CERTIFICATE=$home/tls/cert.pem TLS_KEY=$home/tls/key.pem PRIVATE_KEY_PATH=$home/tls/key.pem
    export JWKS_URI=$issuer_origin/common/discovery/v2.0/keys NODE_EXTRA_CA_CERTS=$home/issuer/issuer-ca.pem
    export OAUTH_CLIENT_ID=$APP OAUTH_TENANT_ID=$TENANT SUBSCRIPTION_CLIENT_STATE=$RECEIVER_CLIENT_STATE
    exec node receiver.js
}
APP=925bff9f-f6e2-4a69-b858-f71ea2b9b6d0
TENANT=84bd8158-6d4d-4958-8b9f-9d6445542f95

# The paths that the originals have, and whom to believe: the certificate of `graphhook dev` is in no file.
try_graphhook() { conform graphhook "$1/graph/notifications" --insecure --lifecycle-url "$1/graph/lifecycle"; }
try_flask() { conform flask "$1/webhook" --ca "$home/tls/ca.pem"; }
try_express() {
    conform express "$1/listen" --ca "$home/tls/ca.pem" --lifecycle-url "$1/lifecycle" \
        --issuer "$home/issuer" --certificate "$home/tls/cert.pem" --app "$APP" --tenant "$TENANT"
}

# Leaves the table, the JSON and the JUnit XML, and says the sum. Only graphhook has to pass, and advice counts for it.
conform() { # NAME URL ARGUMENTS...
    local name=$1 results=$home/results/$1 code=0 strict=()
    if [ "$name" = graphhook ]; then strict=(--strict); fi
    NO_COLOR=1 "$program" simulate conformance "${@:2}" --client-state env:RECEIVER_CLIENT_STATE \
        --junit "$results.xml" --report "$results.json" "${strict[@]}" </dev/null >"$results.txt" || code=$?
    tail -n 1 "$results.txt"
    case $name,$code in
    *,0 | flask,1 | express,1) jq -e '.cases | length > 0' "$results.json" >/dev/null ;;
    *) say "$name: exit code $code" && return 1 ;;
    esac
}

# How many cases of each group each has passed and failed.
compare() { # NAME...
    local names=() name
    for name in "$@"; do
        if [ -e "$home/results/$name.json" ]; then names+=("$name"); fi
    done
    local files=("${names[@]/#/$home/results/}")
    [ ${#names[@]} -gt 0 ] || return 0
    jq -rn '
        def told: map(.result) | "\(map(select(. == "passed")) | length) / \(map(select(. == "failed")) | length)"
            + (map(select(. == "skipped")) | length | if . > 0 then " (\(.) skipped)" else "" end);
        [inputs.cases] as $all | $ARGS.positional as $names
        | "| group | \($names | join(" | ")) |", "|---|\($names | map("---|") | join(""))",
          ((reduce $all[0][].group as $group ([]; if index($group) then . else . + [$group] end))[] as $group
            | "| `\($group)` | \([$all[] | map(select(.group == $group)) | told] | join(" | ")) |"),
          "| all | \([$all[] | told] | join(" | ")) |"
    ' "${files[@]/%/.json}" --args "${names[@]}"
}

try_receiver() { # NAME
    local log=$home/logs/$1 origin
    RECEIVER_CLIENT_STATE=$(openssl rand -hex 32)
    "serve_$1" </dev/null >"$log" 2>&1 &
    receiver=$!
    origin=$(origin_of "$receiver" "$log") || return 1
    # `graphhook dev` draws one of its own.
    if [ "$1" = graphhook ]; then RECEIVER_CLIENT_STATE=$(awk '$1 == "clientState" { print $2 }' "$log"); fi
    "try_$1" "$origin"
}

# Waits until the receiver has said where it is and answers there, for half a minute.
origin_of() { # PID LOG
    local tries origin
    for ((tries = 0; tries < 300; tries++)); do
        origin=$(grep -oE 'https://127\.0\.0\.1:[0-9]+' "$2" | head -n 1 || true)
        if [ -n "$origin" ] && curl -sk -m 5 -o /dev/null "$origin/"; then
            echo "$origin"
            return
        fi
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    say "it does not serve:"
    cat "$2" >&2
    return 1
}

end() { # PID
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
