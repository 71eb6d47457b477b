/* The last stage: rows in batches of 200, or of 0.2 s.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_WRITER_H
#define ORDERS_WRITER_H

#include <stddef.h>

#include "counts.h"
#include "order.h"
#include "store.h"

enum { WRITER_BATCH = 200 };

/* One thread only. */
struct writer {
    struct store *store;   /* lent */
    struct counts *counts; /* lent; a row counts once it is committed */
    struct order *batch[WRITER_BATCH];
    size_t n;
    double due; /* sp_monotonic() at which what is in the batch must be committed */
};

/* Take the order over; commits if the batch is full.  After a failure it only discards. */
void writer_add(struct writer *writer, struct order *order);
/* Commit what there is. */
void writer_flush(struct writer *writer);
/* Seconds until what is there must be flushed; SP_FOREVER: nothing is there. */
double writer_patience(const struct writer *writer);

#endif
