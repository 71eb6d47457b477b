#!/usr/bin/env bash
# Ctrl-C: what is in flight is finished and committed, the rest is said to be left, and a rerun does it.
. "$(dirname "$0")/lib.sh"
serve api --latency 30-60
generate 3000 > in.jsonl

rows_at_least() { [ "$(sql 'select count(*) from orders' 2> /dev/null || echo 0)" -ge "$1" ]; }

# interrupted ARGS...: start a run, press Ctrl-C when rows are there, check what it says.
interrupted() {
    "$orders" --api "$url" "$@" in.jsonl > out 2> err &
    local run=$! status=0
    pids+=("$run")
    until_true 60 rows_at_least "$rows"
    kill -INT "$run"
    wait "$run" || status=$?
    same "status after Ctrl-C" 130 "$status"
    local left rows_now
    left=$(sed -n 's/^orders: interrupted at in.jsonl:[0-9]*, \([0-9]*\) orders are left.*/\1/p' err)
    rows_now=$(sql 'select count(*) from orders')
    same "rows and what is left" 3000 "$((rows_now + left))"
    # Every request that was begun is in a row: nothing in flight was thrown away.
    same "requests and attempts" "$(wc -l < api.log)" "$(sql 'select sum(attempts) from orders')"
}
rows=100 interrupted --workers 16 --json
same "JSON after Ctrl-C" "$(sql 'select count(*) from orders')" "$(number orders)"
# One at a time: the rows of the first run are there, so wait for a new one.
settled=$(sql "select count(*) from orders where state in ('paid', 'failed')")
before=$(sql 'select count(*) from orders')
rows=$((before + 3)) interrupted --mode sequential
[ "$(sql "select count(*) from orders where state in ('paid', 'failed')")" -ge "$settled" ] ||
    fail "settled rows got lost"

run 0 --api "$url" --workers 100 in.jsonl
same rows 3000 "$(sql 'select count(*) from orders')"
same "answers" 0 "$(sql "select count(*) from orders where state not in ('paid', 'pending', 'failed')")"

# A reader that waits for a silent pipe wakes up.
mkfifo silent
"$orders" --api "$url" --db sqlite:pipe.db - < silent > out 2> err &
run=$!
pids+=("$run")
exec 3> silent
order PIPE-1 >&3
db=pipe.db until_true 60 rows_at_least 1
kill -TERM "$run"
status=0
wait "$run" || status=$?
exec 3>&-
same "status after SIGTERM" 130 "$status"
grep -q 'interrupted at standard input:1, 0 orders read' err || fail "it does not say what is left"

# A second Ctrl-C does not wait for the request in flight.
serve slow --latency 30000
begin=$SECONDS
"$orders" --api "$url" --timeout 60 --db sqlite:slow.db in.jsonl > out 2> err &
run=$!
pids+=("$run")
until_true 60 grep -q GET slow.log
kill -INT "$run"
until_true 60 grep -q 'Ctrl-C again' err
kill -INT "$run"
status=0
wait "$run" || status=$?
same "status after two Ctrl-C" 130 "$status"
[ $((SECONDS - begin)) -lt 25 ] || fail "the second Ctrl-C waited"

# The server ends in good order, answers that wait included.
kill -INT "$server"
status=0
wait "$server" || status=$?
same "status of the server" 0 "$status"

# A run that waits to ask again, for 50 s here, wakes up too; its order is left, in both modes.
start_hostile
order LATER50-1 > one.jsonl
for mode in threads sequential; do
    : > hits.log
    begin=$SECONDS
    "$orders" --api "$url" --mode $mode --db sqlite:wait.db one.jsonl > out 2> err &
    run=$!
    pids+=("$run")
    until_true 60 grep -q LATER50 hits.log
    kill -INT "$run"
    status=0
    wait "$run" || status=$?
    same "status of a run that waits" 130 "$status"
    [ $((SECONDS - begin)) -lt 40 ] || fail "it waited to ask again"
    grep -q ', 1 orders are left' err || fail "it does not say that its order is left"
    same "rows of a run that waits" 0 "$(db=wait.db sql 'select count(*) from orders')"
done
