/* SQLite: write-ahead log, so that the reader's look-ups and the writer's transactions do not wait for each other.

   synchronous=NORMAL: killing the process loses no committed row; a power cut may take the last commits, never the
   file. A write transaction begins IMMEDIATE, so that two runs queue up at its begin and never fail in its middle.

   SPDX-License-Identifier: MIT */
#include "store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <spool.h>

#include "stop.h"

enum { BUSY_MS = 60000, SET_UP_TRIES = 200 };

struct sqlite_store {
    struct store store;
    sqlite3 *database;
    sqlite3_stmt *is_final, *upsert, *add_attempts, *begin, *commit, *rollback;
    char error[256];
};

static const char set_up[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-512;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS orders(order_id TEXT PRIMARY KEY, state TEXT NOT NULL, customer TEXT, currency TEXT,"
    " subtotal_cents BIGINT, discount_cents BIGINT, total_cents BIGINT, discount_rule TEXT, reason TEXT,"
    " attempts INTEGER NOT NULL, processed_at TEXT NOT NULL);"
    "COMMIT";

static const char is_final_sql[] = "SELECT 1 FROM orders WHERE order_id = ?1 AND state IN ('paid', 'failed')";

/* The condition stands here and nowhere else: whoever commits first wins, whatever the reader saw. */
static const char upsert_sql[] =
    "INSERT INTO orders(order_id, state, customer, currency, subtotal_cents, discount_cents, total_cents,"
    " discount_rule, reason, attempts, processed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    " ON CONFLICT(order_id) DO UPDATE SET state = excluded.state, customer = excluded.customer,"
    " currency = excluded.currency, subtotal_cents = excluded.subtotal_cents,"
    " discount_cents = excluded.discount_cents, total_cents = excluded.total_cents, discount_rule = "
    "excluded.discount_rule, reason = excluded.reason,"
    " attempts = orders.attempts + excluded.attempts, processed_at = excluded.processed_at"
    " WHERE orders.state NOT IN ('paid', 'failed')";

static const char add_attempts_sql[] = "UPDATE orders SET attempts = attempts + ?2 WHERE order_id = ?1";

static struct sqlite_store *self_of(const struct store *store)
{
    return (struct sqlite_store *)store;
}

static bool fail(struct sqlite_store *self)
{
    snprintf(self->error, sizeof self->error, "%s", sqlite3_errmsg(self->database));
    return false;
}

/* Run a statement that gives no rows. */
static bool run(struct sqlite_store *self, sqlite3_stmt *statement)
{
    int status = sqlite3_step(statement);
    if (status != SQLITE_DONE)
        fail(self); /* before reset, which may forget the message */
    sqlite3_reset(statement);
    return status == SQLITE_DONE;
}

static bool prepare_all(struct sqlite_store *self)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } all[] = {
        { &self->is_final, is_final_sql },   { &self->upsert, upsert_sql }, { &self->add_attempts, add_attempts_sql },
        { &self->begin, "BEGIN IMMEDIATE" }, { &self->commit, "COMMIT" },   { &self->rollback, "ROLLBACK" }
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (sqlite3_prepare_v3(self->database, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].statement, NULL) !=
            SQLITE_OK)
            return false;
    }
    return true;
}

static void close_sqlite(struct store *store)
{
    struct sqlite_store *self = self_of(store);
    sqlite3_stmt *const all[] = { self->is_final, self->upsert, self->add_attempts,
                                  self->begin,    self->commit, self->rollback };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(self->database);
    free(self);
}

/* Two runs that make the same database at once: the change to WAL is refused, not queued up, while the other has it
   open half-way.  So it is tried again, for 10 s. */
static bool set_up_database(struct sqlite_store *self)
{
    int status = SQLITE_BUSY;
    for (int i = 0; i < SET_UP_TRIES && status == SQLITE_BUSY; i++) {
        if (i > 0 && sp_event_wait(stop_event(), 0.05))
            return false;
        status = sqlite3_exec(self->database, set_up, NULL, NULL, NULL);
    }
    return status == SQLITE_OK;
}

static struct store *open_sqlite(const char *path, char *error, size_t error_size)
{
    struct sqlite_store *self = calloc(1, sizeof *self);
    if (self == NULL) {
        snprintf(error, error_size, "no memory");
        return NULL;
    }
    self->store.driver = &store_sqlite;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &self->database, flags, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(self->database, BUSY_MS) == SQLITE_OK && set_up_database(self) && prepare_all(self))
        return &self->store;
    snprintf(error, error_size, "%s", self->database != NULL ? sqlite3_errmsg(self->database) : "no memory");
    close_sqlite(&self->store);
    return NULL;
}

static bool is_final_sqlite(struct store *store, const char *order_id, bool *ret_final)
{
    struct sqlite_store *self = self_of(store);
    sqlite3_bind_text(self->is_final, 1, order_id, -1, SQLITE_STATIC);
    int status = sqlite3_step(self->is_final);
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        fail(self);
    sqlite3_reset(self->is_final);
    *ret_final = status == SQLITE_ROW;
    return status == SQLITE_ROW || status == SQLITE_DONE;
}

static void bind_optional_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text == NULL || text[0] == '\0')
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static bool write_row(struct sqlite_store *self, const struct order *order, const char *now)
{
    sqlite3_stmt *upsert = self->upsert;
    sqlite3_clear_bindings(upsert);
    sqlite3_bind_text(upsert, 1, order->order_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(upsert, 2, order_state_name(order->state), -1, SQLITE_STATIC);
    if (order->valid) {
        sqlite3_bind_text(upsert, 3, order->customer, -1, SQLITE_STATIC);
        sqlite3_bind_text(upsert, 4, order->currency, -1, SQLITE_STATIC);
        sqlite3_bind_int64(upsert, 5, order->subtotal_cents);
        sqlite3_bind_int64(upsert, 6, order->discount_cents);
        sqlite3_bind_int64(upsert, 7, order->total_cents);
        bind_optional_text(upsert, 8, order->discount_rule);
    }
    bind_optional_text(upsert, 9, order->reason);
    sqlite3_bind_int64(upsert, 10, order->attempts);
    sqlite3_bind_text(upsert, 11, now, -1, SQLITE_STATIC);
    if (!run(self, upsert))
        return false;
    if (sqlite3_changes(self->database) == 1)
        return true;
    /* Another run was first: only what this one spent is noted. */
    sqlite3_bind_text(self->add_attempts, 1, order->order_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(self->add_attempts, 2, order->attempts);
    return run(self, self->add_attempts);
}

static void format_now(char *text, size_t size)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, size - length, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static bool write_sqlite(struct store *store, struct order *const *orders, size_t n)
{
    struct sqlite_store *self = self_of(store);
    char now[40];
    format_now(now, sizeof now);
    if (!run(self, self->begin))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!write_row(self, orders[i], now)) {
            sqlite3_step(self->rollback);
            sqlite3_reset(self->rollback);
            return false;
        }
    }
    if (run(self, self->commit))
        return true;
    sqlite3_step(self->rollback);
    sqlite3_reset(self->rollback);
    return false;
}

static const char *error_sqlite(const struct store *store)
{
    return self_of(store)->error;
}

const struct store_driver store_sqlite = { .scheme = "sqlite:",
                                           .open = open_sqlite,
                                           .is_final = is_final_sqlite,
                                           .write = write_sqlite,
                                           .error = error_sqlite,
                                           .close = close_sqlite };
