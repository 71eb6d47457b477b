/* Where rows go.  SQLite for now; another database is one more driver.

   A handle serves one thread at a time; the reader and the writer have one each.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_STORE_H
#define ORDERS_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "order.h"

struct store;

/* Is there a driver for such a URL?  If not, why is in error. */
bool store_knows(const char *url, char *error, size_t error_size);
/* Open it for writing, making the table if there is none.  NULL: why is in error. */
struct store *store_open(const char *url, char *error, size_t error_size);
/* Has the order a row that will not change any more, `paid` or `failed`?  False: store_error(). */
bool store_is_final(struct store *store, const char *order_id, bool *ret_final);
/* Write one row for each order in one transaction: all or, on false, none.

   An order that has a row already: attempts are added up; the rest is replaced, unless the row is `paid` or `failed`.
   */
bool store_write(struct store *store, struct order *const *orders, size_t n);
/* Why the last call failed. */
const char *store_error(const struct store *store);
void store_close(struct store *store);

/* For drivers. */
struct store {
    const struct store_driver *driver;
};

struct store_driver {
    const char *scheme; /* what the URL begins with */
    struct store *(*open)(const char *rest_of_url, char *error, size_t error_size);
    bool (*is_final)(struct store *store, const char *order_id, bool *ret_final);
    bool (*write)(struct store *store, struct order *const *orders, size_t n);
    const char *(*error)(const struct store *store);
    void (*close)(struct store *store);
};

extern const struct store_driver store_sqlite;

#endif
