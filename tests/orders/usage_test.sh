#!/usr/bin/env bash
# What must be refused: the status, one clear sentence, and nothing half written.
. "$(dirname "$0")/lib.sh"

# refused STATUS PATTERN ARGS...
refused() {
    local status=$1 pattern=$2
    shift 2
    run "$status" "$@"
    grep -q -- "$pattern" err || fail "no '$pattern' in what orders $* says"
    same "standard output of orders $*" "" "$(cat out)"
    [ -z "$(find . -name '*.db*')" ] || fail "orders $* made a database"
}

refused 2 'unrecognized option' --nonsense
refused 2 'too many' one two
refused 2 -- '--mode' --mode fast
for n in 0 1001 -1 x '' 1.5 99999999999999999999; do refused 2 -- '--workers must be' --workers "$n"; done
for n in 0 -1 x nan inf; do refused 2 -- '--timeout must be' --timeout "$n"; done
for n in -1 101 x; do refused 2 -- '--retries must be' --retries "$n"; done
for u in nonsense ftp://h http:// 'http://h?x'; do refused 2 -- '--api: ' --api "$u"; done
refused 2 'PostgreSQL is not' --db postgresql://localhost/x
for u in nonsense sqlite: mysql://h; do refused 2 'not a database' --db "$u"; done
refused 2 -- '--latency must be' serve --latency 20-10
refused 2 -- '--fail-rate must be' serve --fail-rate 2
refused 2 -- '--port must be' serve --port 65536
refused 1 'cannot write ' serve --log /nonexistent/log

refused 1 'cannot read missing.jsonl: ' missing.jsonl
refused 1 'cannot read /: ' /
refused 1 'no-rules.json' --discounts no-rules.json
mkdir folder
refused 1 'folder' --discounts folder
echo '{"rules":[{"name":"a","percent":101}]}' > bad.json
refused 1 'bad.json: rule 1: percent' --discounts bad.json
echo '{"rules":[' > cut.json
refused 1 'cut.json:' --discounts cut.json
refused 1 'cannot write to sqlite:/nonexistent/x: ' --db sqlite:/nonexistent/x
refused 1 'cannot write to sqlite:folder: ' --db sqlite:folder
echo 'this is no database, but it has the hundred bytes that SQLite wants to see before it says so' > text.file
refused 1 'cannot write to sqlite:text.file: ' --db sqlite:text.file
grep -q '^this is no database' text.file || fail "the file was written to"

# A table of that name with other columns is somebody else's.
sqlite3 other.file 'create table orders(a)'
refused 1 'cannot write to sqlite:other.file: ' --db sqlite:other.file

# Rules of a file, and what they save.
serve api --latency 0
echo '{"rules":[{"name":"half","percent":50}]}' > half.json
order D-1 > one.jsonl
run 0 --api "$url" --discounts half.json one.jsonl
same half "half|50" "$(sql 'select discount_rule, discount_cents from orders')"

run 0 --help
for option in api db mode workers timeout retries discounts json progress quiet; do
    grep -q -- "--$option" out || fail "--help does not name --$option"
done
run 0 serve --help
for option in port latency fail-rate seed log; do
    grep -q -- "--$option" out || fail "serve --help does not name --$option"
done
# Two servers cannot have one port.
refused_port=${url##*:}
"$orders" serve --port "$refused_port" > out 2> err && fail "two servers on one port"
grep -q 'cannot serve on' err || fail "no reason"

# A standard output that cannot be written.
status=0
"$orders" --api "$url" --json --db sqlite:full.db one.jsonl > /dev/full 2> err || status=$?
same "status with a full standard output" 1 "$status"
