/* SPDX-License-Identifier: MIT */
#include "writer.h"

#include <spool.h>

#include "stop.h"

static const double commit_after = 0.2;

static void count_and_free(struct writer *writer, bool committed)
{
    uint64_t rows[COUNT_KINDS] = { 0 };
    for (size_t i = 0; i < writer->n; i++) {
        rows[committed ? (unsigned)writer->batch[i]->state : (unsigned)COUNT_LEFT]++;
        order_free(writer->batch[i]);
    }
    for (unsigned kind = 0; kind < COUNT_KINDS; kind++) {
        if (rows[kind] > 0)
            counts_add(writer->counts, kind, rows[kind]);
    }
    writer->n = 0;
}

void writer_flush(struct writer *writer)
{
    if (writer->n == 0)
        return;
    /* After a failure nothing is tried again: the rerun does it. */
    bool committed = stop_failure() == NULL && store_write(writer->store, writer->batch, writer->n);
    if (!committed && stop_failure() == NULL)
        stop_fail("cannot write to the database: %s", store_error(writer->store));
    count_and_free(writer, committed);
}

void writer_add(struct writer *writer, struct order *order)
{
    if (writer->n == 0)
        writer->due = sp_monotonic() + commit_after;
    writer->batch[writer->n++] = order;
    if (writer->n == WRITER_BATCH)
        writer_flush(writer);
}

double writer_patience(const struct writer *writer)
{
    return writer->n == 0 ? SP_FOREVER : writer->due - sp_monotonic();
}
