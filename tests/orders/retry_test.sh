#!/usr/bin/env bash
# An API that fails a quarter of the time: every order ends, nothing is asked more often than it is counted.
. "$(dirname "$0")/lib.sh"
serve api --latency 0-2 --fail-rate 0.25 --seed 11
generate 600 > in.jsonl
run 0 --api "$url" --retries 12 --json in.jsonl
same orders 600 "$(number orders)"
same settled 600 "$(($(number paid) + $(number pending) + $(number failed)))"
same requests "$(wc -l < api.log)" "$(sql 'select sum(attempts) from orders')"
# Each order's attempts are those of the log, and its last answer is its state.
sql "select 'GET /orders/' || order_id || ' attempt=' || (attempts - 1) || ' answer=' || state from orders" |
    sort > last
sort api.log | comm -23 last - > missing
[ -s missing ] && fail "rows without the answer they claim: $(head -n 3 missing)"
same failures 1 "$(sql 'select max(attempts) > 1 from orders')"

# Without retries the same orders are unreachable; a rerun completes them, also one at a time.
serve again --latency 0 --fail-rate 0.25 --seed 11
head -n 40 in.jsonl > few.jsonl
run 3 --api "$url" --retries 0 --db sqlite:b.db few.jsonl
same unreachable 1 "$(db=b.db sql "select count(*) > 0 from orders
    where state = 'unreachable' and reason like '%in 1 attempts%'")"
run 0 --api "$url" --retries 12 --mode sequential --db sqlite:b.db few.jsonl
db=b.db facts > b
facts | grep -F -f <(cut -d'|' -f1 b) | cmp - b || fail "the rerun differs"
