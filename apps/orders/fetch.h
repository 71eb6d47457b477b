/* Asking the payment API about orders, as often as it takes.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_FETCH_H
#define ORDERS_FETCH_H

#include <stdbool.h>

#include <spool.h>

#include "counts.h"
#include "order.h"

struct fetch_settings {
    const char *api;
    double timeout;   /* seconds, of one request */
    unsigned retries; /* after the first attempt */
};

struct fetcher; /* one thread only */

/* Settings and counts are lent.  NULL: no memory. */
struct fetcher *fetcher_open(const struct fetch_settings *settings, struct counts *counts);
void fetcher_close(struct fetcher *fetcher);

/* Ask until there is an answer or none is to be hoped for, waiting in between.  False: stop came first, the order has
   nothing to be written. */
bool fetch_one(struct fetcher *fetcher, struct order *order);

/* Take orders from `in` to its end, give them to `out` when they are fetched; those that must be asked again do not
   hold up the others.  After a stop what has no answer is discarded and counted as left. */
void fetch_all(struct fetcher *fetcher, sp_queue *in, sp_queue *out);

#endif
