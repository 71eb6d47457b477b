/* SQLite with an empty name is a private database in an unnamed temporary file, gone with the handle or the process.

   SPDX-License-Identifier: MIT */
#include "seen.h"

#include <sqlite3.h>
#include <stdlib.h>

struct seen {
    sqlite3 *database;
    sqlite3_stmt *insert;
};

/* One transaction for ever and no journal: nobody else sees it and nothing of it is wanted after a crash. */
static const char set_up[] = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-256;"
                             "PRAGMA locking_mode=EXCLUSIVE;"
                             "CREATE TABLE seen(order_id TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN";

struct seen *seen_open(void)
{
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2("", &seen->database, flags, NULL) == SQLITE_OK &&
        sqlite3_exec(seen->database, set_up, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(seen->database, "INSERT OR IGNORE INTO seen VALUES (?1)", -1, &seen->insert, NULL) ==
            SQLITE_OK)
        return seen;
    seen_close(seen);
    return NULL;
}

bool seen_add(struct seen *seen, const char *order_id, bool *ret_new)
{
    sqlite3_bind_text(seen->insert, 1, order_id, -1, SQLITE_STATIC);
    int status = sqlite3_step(seen->insert);
    *ret_new = sqlite3_changes(seen->database) == 1;
    sqlite3_reset(seen->insert);
    return status == SQLITE_DONE;
}

const char *seen_error(struct seen *seen)
{
    return sqlite3_errmsg(seen->database);
}

void seen_close(struct seen *seen)
{
    if (seen == NULL)
        return;
    sqlite3_finalize(seen->insert);
    sqlite3_close(seen->database);
    free(seen);
}
