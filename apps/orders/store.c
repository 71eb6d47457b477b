/* From URL to driver.

   SPDX-License-Identifier: MIT */
#include "store.h"

#include <stdio.h>
#include <string.h>

static const struct store_driver *const drivers[] = { &store_sqlite };

static const struct store_driver *find_driver(const char *url, const char **ret_rest)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        size_t length = strlen(drivers[i]->scheme);
        if (strncmp(url, drivers[i]->scheme, length) == 0 && url[length] != '\0') {
            *ret_rest = url + length;
            return drivers[i];
        }
    }
    return NULL;
}

bool store_knows(const char *url, char *error, size_t error_size)
{
    const char *rest;
    if (find_driver(url, &rest) != NULL)
        return true;
    if (strncmp(url, "postgresql://", 13) == 0)
        snprintf(error, error_size, "PostgreSQL is not in this version, use sqlite:FILE");
    else
        snprintf(error, error_size, "not a database: %s (it must be sqlite:FILE)", url);
    return false;
}

struct store *store_open(const char *url, char *error, size_t error_size)
{
    const char *rest;
    const struct store_driver *driver = find_driver(url, &rest);
    return driver != NULL ? driver->open(rest, error, error_size) : NULL;
}

bool store_is_final(struct store *store, const char *order_id, bool *ret_final)
{
    return store->driver->is_final(store, order_id, ret_final);
}

bool store_write(struct store *store, struct order *const *orders, size_t n)
{
    return store->driver->write(store, orders, n);
}

const char *store_error(const struct store *store)
{
    return store->driver->error(store);
}

void store_close(struct store *store)
{
    if (store != NULL)
        store->driver->close(store);
}
