#!/bin/sh
# A copy of Redis' data into the directory $1, named by the day; run where Redis runs, as its user.
# Not `redis-cli --rdb`: it attaches as a replica does, which gives the server a new replication id,
# and by that the ledger would lose its certificate for half a minute.
set -eu

cli() { redis-cli --user paper-operator --tls -h "$REDIS_HOST" -p "$REDIS_PORT" --cacert "$REDIS_CA" "$@"; }

before=$(cli LASTSAVE)
sleep 1                                   # LASTSAVE counts whole seconds
cli BGSAVE
until [ "$(cli LASTSAVE)" != "$before" ]; do sleep 1; done
cp "$REDIS_DIR/dump.rdb" "$1/$(date +%F).rdb.new"
mv "$1/$(date +%F).rdb.new" "$1/$(date +%F).rdb"
find "$1" -name '*.rdb' -mtime +14 -delete
