#!/usr/bin/env bash
# A payment API that misbehaves must never condemn an order.
. "$(dirname "$0")/lib.sh"
start_hostile

kinds="PAID OTHER HTML TWICE LATIN R401 R302 R404TEXT R404JSON R500 LATER120 LATERDATE"
kinds+=" ONCE408 ONCE429 ONCEPAST LARGE STALL CLOSE"
for kind in $kinds; do order "$kind-1"; done > in.jsonl
run 3 --api "$url/" --retries 1 --timeout 1 --json in.jsonl
outcome() { sql "select state || ' ' || attempts from orders where order_id = '$1-1'"; }
same PAID "paid 1" "$(outcome PAID)"
for kind in ONCE408 ONCE429 ONCEPAST; do same $kind "paid 2" "$(outcome $kind)"; done
for kind in OTHER R401 R302 R404TEXT LATER120 LATERDATE; do same $kind "unreachable 1" "$(outcome $kind)"; done
for kind in HTML TWICE LATIN R500 LARGE STALL CLOSE; do same $kind "unreachable 2" "$(outcome $kind)"; done
same R404JSON "rejected 1" "$(outcome R404JSON)"
same reason "unknown to the payment API" "$(sql "select reason from orders where order_id = 'R404JSON-1'")"
same reasons 0 "$(sql "select count(*) from orders where state = 'unreachable' and coalesce(reason, '') = ''")"
same priced 0 "$(sql "select count(*) from orders where total_cents is null")"
same redirect 1 "$(grep -c '^/orders/PAID-1$' hits.log)"
for kind in $kinds; do
    same "requests of $kind" "$(outcome "$kind" | cut -d' ' -f2)" "$(grep -c "^/orders/$kind-1\$" hits.log)"
done

# A rerun asks again for everything but what is paid, and adds the attempts up.
run 3 --api "$url" --retries 0 --timeout 1 --json in.jsonl
same skipped 4 "$(number skipped)"
same R500 "unreachable 3" "$(outcome R500)"
same paid "paid 1" "$(outcome PAID)"

# A mistyped address: a path that is not there, a port that nobody listens on.
order PAID-2 > one.jsonl
run 3 --api "$url/v2" --db sqlite:path.db --retries 1 one.jsonl
run 3 --api "http://127.0.0.1:1" --db sqlite:port.db --retries 1 one.jsonl
same port "unreachable 2" "$(db=port.db sql "select state || ' ' || attempts from orders")"
run 0 --api "$url" --db sqlite:port.db one.jsonl
same mended "paid 3 " "$(db=port.db sql "select state || ' ' || attempts || ' ' || coalesce(reason, '') from orders")"
