#!/usr/bin/env bash
# Malformed lines, rejected orders, duplicates, standard input, long lines, numbers that fit nowhere.
. "$(dirname "$0")/lib.sh"
serve api --latency 0

{
    order A-1
    echo 'nonsense'
    echo
    order A-1
    echo '{"order_id":"A-2","customer":"nobody","currency":"USD","lines":[]}'
    echo '{"order_id":"A-3","order_id":"A-3"}'
    echo '{"order_id":"A/4"}'
    order A-5 ',"unknown":{"a":[1,2]},"number":1e999'
    head -c 1048577 /dev/zero | tr '\0' x
    echo
    order A-6 '' 99999999999999999999
    order UNKNOWN-7
    order A-5
    order A-2
    printf '%s' "$(order A-8)"
} > in.jsonl
run 3 --api "$url" --json in.jsonl
same orders 6 "$(number orders)"
same answered 3 "$(($(number paid) + $(number pending) + $(number failed)))"
for count in rejected=3 duplicates=3 malformed=5 unreachable=0 skipped=0; do
    same "${count%=*}" "${count#*=}" "$(number "${count%=*}")"
done
for at in 2 3 6 7 9; do
    grep -q "^in.jsonl:$at: ." err || fail "line $at is not reported"
done
for at in 4 12 13; do
    grep -q "^in.jsonl:$at: duplicate" err || fail "line $at is not reported as a duplicate"
done
same rejected "A-2|0,A-6|0,UNKNOWN-7|1" \
    "$(sql "select order_id, attempts from orders where state = 'rejected' order by 1" | paste -sd,)"
same reasons 3 "$(sql "select count(*) from orders where reason <> '' and state = 'rejected'")"
grep -q -e A-2 -e A-6 api.log && fail "a rejected order was asked about"

# The same through a pipe, one order at a time; nothing of the rows may differ.
facts > before
run 3 --api "$url" --mode sequential --db sqlite:pipe.db - < <(cat in.jsonl)
db=pipe.db facts | cmp - before || fail "standard input differs from a file"
grep -q '^standard input:2: ' err || fail "standard input is not named"

# An empty input is fine.
: > empty.jsonl
run 0 --api "$url" --json --db sqlite:empty.db empty.jsonl
same empty 0 "$(number orders)"

# Progress, also when it goes into a file.
generate 300 > some.jsonl
run 0 --api "$url" --progress --db sqlite:progress.db some.jsonl
grep -q '/300 orders, .* in flight, 0 errors' err || fail "no progress line"
