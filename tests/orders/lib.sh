# shellcheck shell=bash disable=SC2034
# What the black-box tests of orders share.  Their arguments: the program, and the hostile server.
#
# Every test runs in an empty folder of its own, ends only processes that it started, and waits for conditions, never
# for a time to pass.

set -u
orders=$(readlink -f "$1")
hostile=$(readlink -f "$2")
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
work=$(mktemp -d)
cd "$work" || exit 1
pids=()
trap 'kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; rm -rf "$work"' EXIT

fail() {
    echo "FAIL: $*" >&2
    for f in out err server.err; do [ -s "$f" ] && { echo "--- $f" >&2; tail -n 20 "$f" >&2; }; done
    exit 1
}

# until_true SECONDS COMMAND...: poll the condition until it holds, or fail.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -le $deadline ] || fail "never became true: $*"
        sleep 0.02
    done
}

# serve NAME ARGS...: start the simulator; its log is NAME.log, its URL is in $url, its pid in $server.
serve() {
    local name=$1
    shift
    : > "$name.url"
    "$orders" serve --log "$name.log" "$@" > "$name.url" 2>> server.err &
    server=$!
    pids+=("$server")
    until_true 30 grep -q ^http "$name.url"
    url=$(cat "$name.url")
}

# start_hostile: start the server that misbehaves; the paths it is asked for are in hits.log, its URL is in $url.
start_hostile() {
    : > hostile.url
    "$hostile" hits.log > hostile.url &
    pids+=($!)
    until_true 30 grep -q ^http hostile.url
    url=$(cat hostile.url)
}

# run STATUS ARGS...: run the program to its end; standard output is in `out`, standard error in `err`.
run() {
    local expected=$1 status=0
    shift
    "$orders" "$@" > out 2> err || status=$?
    [ "$status" -eq "$expected" ] || fail "exit status $status, not $expected: orders $*"
}

# same WHAT EXPECTED GOT
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

sql() {
    sqlite3 -cmd '.timeout 10000' "${db:-orders.db}" "$1"
}

# number KEY: of the JSON object in `out`.
number() {
    sqlite3 :memory: "select json_extract('$(cat out)', '\$.$1')"
}

# generate N [PREFIX]: N orders, always the same.
generate() {
    awk -v n="$1" -v prefix="${2:-GEN}" 'BEGIN {
        split("TEA-1 TEA-2 CUP-4 POT-1", sku, " ")
        for (i = 1; i <= n; i++) {
            coupon = i % 3 == 0 ? ",\"coupon\":\"WELCOME10\"" : ""
            printf "{\"order_id\":\"%s-%06d\",\"customer\":\"user%d@example.com\",\"currency\":\"USD\",", prefix, i, i
            printf "\"lines\":[{\"sku\":\"%s\",\"quantity\":%d,\"unit_cents\":%d}]%s}\n", sku[i % 4 + 1],
                i % 15 + 1, i * 37 % 5000, coupon
        }
    }'
}

# order ID [REST [CENTS]]: one line, valid unless the arguments make it another.
order() {
    printf '{"order_id":"%s","customer":"ada@example.com","currency":"USD",' "$1"
    printf '"lines":[{"sku":"A","quantity":1,"unit_cents":%s}]%s}\n' "${3:-100}" "${2:-}"
}

# What a rerun may not change.
facts() {
    sql "select order_id, state, customer, currency, subtotal_cents, discount_cents, total_cents, discount_rule, reason
         from orders order by order_id"
}
