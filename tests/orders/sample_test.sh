#!/usr/bin/env bash
# The ten sample orders, with everything at its default; a rerun; one at a time against threads.
. "$(dirname "$0")/lib.sh"

run 0 --json
same orders 10 "$(number orders)"
same rows 10 "$(sql 'select count(*) from orders')"
same states "failed|1,paid|8,pending|1" "$(sql 'select state, count(*) from orders group by 1' | paste -sd,)"
same welcome "2500|250|2250|welcome" \
    "$(sql "select subtotal_cents, discount_cents, total_cents, discount_rule from orders where order_id = 'ORD-001'")"
same bulk "16000|1875|14125|bulk" \
    "$(sql "select subtotal_cents, discount_cents, total_cents, discount_rule from orders where order_id = 'ORD-007'")"
same none "1745|0|1745|" \
    "$(sql "select subtotal_cents, discount_cents, total_cents, discount_rule from orders where order_id = 'ORD-010'")"
same attempts 1 "$(sql 'select distinct attempts from orders')"
same "processed_at" 10 "$(sql "select count(*) from orders where processed_at glob '20??-??-??T??:??:??.???Z'")"
threads=$(number seconds)
grep -q '^10 orders in ' err || fail "no summary"
same integrity ok "$(sql 'pragma integrity_check')"

# The JSON object: these keys, in this order, and one line.
keys=orders,paid,pending,failed,rejected,unreachable,duplicates,skipped,malformed
same keys "$keys,seconds,orders_per_second,fetch_p50_ms,fetch_p99_ms,max_rss_kib" \
    "$(sqlite3 :memory: "select key from json_each('$(cat out)')" | paste -sd,)"
same lines 1 "$(wc -l < out)"
same plausible 1 \
    "$(sqlite3 :memory: "select $(number fetch_p50_ms) between 400 and 800 and $(number max_rss_kib) > 1000")"

# A rerun asks for the pending one alone.
facts > before
run 0 --json --quiet
same skipped 9 "$(number skipped)"
same again 1 "$(number orders)"
same quiet "" "$(cat err)"
facts | cmp - before || fail "the rerun changed a row"
same attempts "ORD-002|2" "$(sql 'select order_id, attempts from orders where attempts > 1')"

run 0 --json --mode sequential --db sqlite:sequential.db
db=sequential.db facts | cmp - before || fail "the modes differ"
sequential=$(number seconds)
# On a loaded machine the threads may lose some; a fair share must stay.
echo "sequential $sequential s, threads $threads s"
same ratio 1 "$(sqlite3 :memory: "select $sequential / $threads >= ${ORDERS_MIN_RATIO:-7.5}")"
