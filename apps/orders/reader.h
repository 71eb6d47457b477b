/* The first stage: from lines to orders.

   For each line, in this order: malformed lines are reported; an id that this input has had is reported as a
   duplicate; an order whose row is `paid` or `failed` is skipped; the rest is given out, valid or rejected.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_READER_H
#define ORDERS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counts.h"
#include "lines.h"
#include "order.h"
#include "seen.h"
#include "store.h"

/* One thread at a time. */
struct reader {
    struct lines lines;
    const char *name; /* in messages; lent */
    int descriptor;   /* -1: the sample */
    uint64_t line_number;
    struct seen *seen;
    struct store *store;   /* lent */
    struct counts *counts; /* lent */
};

/* Open the input: a path, "-" for standard input, NULL for the sample.  False: why is in error. */
bool reader_open(struct reader *reader, const char *path, char *error, size_t error_size);
void reader_close(struct reader *reader);

/* How many lines the input has; false: it cannot be known beforehand. */
bool reader_total(const struct reader *reader, uint64_t *ret_lines);

/* The next order to work on, the caller's; NULL: the input has ended, or stop was requested, or the run has failed. */
struct order *reader_next(struct reader *reader);

/* After a stop: how many lines were never looked at; false: it cannot be known. */
bool reader_rest(struct reader *reader, uint64_t *ret_lines);

#endif
