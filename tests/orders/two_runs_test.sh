#!/usr/bin/env bash
# Two runs on one database at once, made at once: both succeed, every order has one row, settled rows stay settled.
. "$(dirname "$0")/lib.sh"
serve api --latency 1-5 --fail-rate 0.05
generate 3000 > in.jsonl
tac in.jsonl > reversed.jsonl
"$orders" --api "$url" --retries 12 --quiet --json in.jsonl > one.json 2> one.err &
one=$!
"$orders" --api "$url" --retries 12 --quiet --json reversed.jsonl > two.json 2> two.err &
two=$!
pids+=("$one" "$two")
for run in $one $two; do
    status=0
    wait "$run" || status=$?
    same "status of a run ($(cat one.err two.err))" 0 "$status"
done
same rows 3000 "$(sql 'select count(*) from orders')"
same "open rows" 0 "$(sql "select count(*) from orders where state not in ('paid', 'pending', 'failed')")"
same "requests and attempts" "$(wc -l < api.log)" "$(sql 'select sum(attempts) from orders')"
facts > before
run 0 --api "$url" --retries 12 --db sqlite:alone.db in.jsonl
db=alone.db facts | cmp - before || fail "the table differs from that of one run"

# A database that is gone ends the run with status 1 and loses nothing.
run 0 --api "$url" --retries 12 --json in.jsonl
same "nothing but the pending again" "$(sql "select count(*) from orders where state = 'pending'")" "$(number orders)"
sql "create trigger broken before insert on orders begin select raise(abort, 'disk on fire'); end"
generate 500 NEW > new.jsonl
run 1 --api "$url" --workers 8 new.jsonl
grep -q 'cannot write to the database: disk on fire' err || fail "no reason"
same "nothing of it" 3000 "$(sql 'select count(*) from orders')"
