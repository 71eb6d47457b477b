#!/usr/bin/env bash
# kill -9 at random moments, and a rerun each time: in the end the table is that of an undisturbed run, and nothing that
# was committed as paid or failed was asked about again.  SPOOL_SOAK=1: the long version.
. "$(dirname "$0")/lib.sh"
if [ -n "${SPOOL_SOAK:-}" ]; then kills=10 n=20000; else kills=4 n=4000; fi
generate $n > in.jsonl
seed=${SPOOL_TEST_SEED:-$RANDOM}
echo "seed: SPOOL_TEST_SEED=$seed"
RANDOM=$seed

serve undisturbed --latency 20-40 --fail-rate 0.05
run 0 --api "$url" --workers 200 --retries 12 --db sqlite:undisturbed.db in.jsonl
db=undisturbed.db facts > expected
kill "$server"
serve killed --latency 20-40 --fail-rate 0.05

settled() { sql "select order_id from orders where state in ('paid', 'failed')" 2> /dev/null | sort; }
requests_reach() { [ "$(wc -l < killed.log)" -ge "$1" ]; }

: > settled.before
for ((i = 1; i <= kills; i++)); do
    logged=$(wc -l < killed.log)
    # The moment: when the server has had so many more requests.
    moment=$((RANDOM % (n / kills) + 1))
    "$orders" --api "$url" --workers 200 --retries 12 --quiet in.jsonl &
    run=$!
    pids+=("$run")
    until_true 60 requests_reach $((logged + moment))
    kill -9 "$run"
    wait "$run" 2> /dev/null
    tail -n +$((logged + 1)) killed.log | sed 's|.*/orders/\([^ ]*\) .*|\1|' | sort -u > asked
    comm -12 asked settled.before > asked.again
    [ -s asked.again ] && fail "settled and asked again: $(head -n 3 asked.again | paste -sd' ')"
    settled > settled.now
    [ -z "$(comm -23 settled.before settled.now)" ] || fail "a committed row got lost"
    mv settled.now settled.before
    echo "kill $i after $moment requests: $(wc -l < settled.before) settled"
done
logged=$(wc -l < killed.log)
run 0 --api "$url" --workers 200 --retries 12 in.jsonl
tail -n +$((logged + 1)) killed.log | sed 's|.*/orders/\([^ ]*\) .*|\1|' | sort -u > asked
[ -z "$(comm -12 asked settled.before)" ] || fail "settled and asked again by the last run"
facts | cmp - expected || fail "the table differs from that of an undisturbed run"
same integrity ok "$(sql 'pragma integrity_check')"
