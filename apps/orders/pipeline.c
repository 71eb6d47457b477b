/* Who closes what: the reader closes `fetching` when it ends; when all workers have ended `pricing` is closed, and
   when the pricer and the reader have, `writing`.  A closed queue is emptied before its readers end, so nothing is
   lost on the way.  The one exception: a worker that ends with an error makes the run fail, and `fetching` is
   discarded.

   SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include <stdlib.h>

#include "price.h"
#include "stop.h"

enum { FETCHING_MAX = 256, PRICING_MAX = 256, WRITING_MAX = 2 * WRITER_BATCH };

struct stages {
    const struct pipeline_parts *parts;
    sp_queue *fetching, *pricing, *writing; /* of struct order * */
};

/* The argument of every stage's task. */
struct stage {
    struct stages *stages;
};

static void drop_order(void *item)
{
    order_free(*(struct order **)item);
}

/* Give an order to the next stage.  The queue refuses it only when the run has failed. */
static void pass_on(sp_queue *queue, struct order *order)
{
    if (sp_put(queue, &order, SP_FOREVER) != SP_OK) {
        stop_fail("no memory to pass an order on");
        order_free(order);
    }
}

static sp_status read_orders(const struct stage *stage, sp_none *unused)
{
    (void)unused;
    struct stages *stages = stage->stages;
    struct order *order;
    while ((order = reader_next(stages->parts->reader)) != NULL)
        pass_on(order->valid ? stages->fetching : stages->writing, order);
    sp_queue_shutdown(stages->fetching, false);
    return SP_OK;
}
SP_TASK(read_orders, struct stage, sp_none);

static sp_status fetch_orders(const struct stage *stage, sp_none *unused)
{
    (void)unused;
    struct stages *stages = stage->stages;
    struct fetcher *fetcher = fetcher_open(stages->parts->fetch, stages->parts->counts);
    if (fetcher == NULL)
        return sp_raise(SP_MEMORY_ERROR, "no memory for a connection to the payment API");
    fetch_all(fetcher, stages->fetching, stages->pricing);
    fetcher_close(fetcher);
    return SP_OK;
}
SP_TASK(fetch_orders, struct stage, sp_none);

static sp_status price_orders(const struct stage *stage, sp_none *unused)
{
    (void)unused;
    struct stages *stages = stage->stages;
    struct order *order;
    while (sp_get(stages->pricing, &order, SP_FOREVER) == SP_OK) {
        price_order(stages->parts->discounts, order);
        pass_on(stages->writing, order);
    }
    return SP_OK;
}
SP_TASK(price_orders, struct stage, sp_none);

static sp_status write_orders(const struct stage *stage, sp_none *unused)
{
    (void)unused;
    struct stages *stages = stage->stages;
    struct writer *writer = stages->parts->writer;
    struct order *order;
    sp_status status;
    do {
        status = sp_get(stages->writing, &order, writer_patience(writer));
        if (status == SP_OK)
            writer_add(writer, order);
        if (writer_patience(writer) <= 0)
            writer_flush(writer);
    } while (status == SP_OK || status == SP_EMPTY);
    writer_flush(writer);
    return SP_OK;
}
SP_TASK(write_orders, struct stage, sp_none);

/* Wait for the workers; the first that fails ends the run. */
static void await_workers(struct stages *stages, sp_future *const *workers, unsigned n)
{
    sp_auto(sp_completion) done = sp_as_completed(workers, n, SP_FOREVER);
    for (sp_future *worker; (worker = sp_next(done)) != NULL;) {
        if (sp_result(worker, NULL, SP_NOWAIT) != SP_OK) {
            stop_fail("a worker has failed: %s", sp_future_error(worker)->message);
            sp_queue_shutdown(stages->fetching, true);
        }
    }
    if (sp_completion_status(done) == SP_OK)
        return;
    /* No memory to watch them: their end can be waited for all the same. */
    sp_queue_shutdown(stages->fetching, true);
    if (sp_wait(workers, n, SP_ALL_COMPLETED, SP_FOREVER) != SP_OK)
        stop_fail("cannot wait for the workers");
}

/* Read, and fetch with n workers, until both have ended.  Workers come last: if the system has not so many threads,
   those that there are do the work. */
static void read_and_fetch(struct stages *stages, unsigned n, sp_future **workers)
{
    sp_auto(sp_thread) reader = sp_start_with(SP_THREAD(.name = "reader"), read_orders, stages);
    if (reader == NULL) {
        stop_fail("cannot start a thread");
        return;
    }
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = n, .thread_name_prefix = "fetch");
    for (unsigned i = 0; i < n; i++)
        workers[i] = sp_submit(pool, fetch_orders, stages);
    await_workers(stages, workers, n);
    if (sp_join(reader, NULL, SP_FOREVER) != SP_OK)
        stop_fail("the reader has failed");
    sp_release_all(workers, n);
}

/* All stages; `workers` has room for n. */
static void run_stages(struct stages *stages, unsigned n, sp_future **workers)
{
    sp_auto(sp_thread) writer = sp_start_with(SP_THREAD(.name = "writer"), write_orders, stages);
    sp_auto(sp_thread) pricer = sp_start_with(SP_THREAD(.name = "pricer"), price_orders, stages);
    if (writer == NULL || pricer == NULL)
        stop_fail("cannot start a thread");
    else
        read_and_fetch(stages, n, workers);
    sp_queue_shutdown(stages->pricing, false);
    if (pricer != NULL && sp_join(pricer, NULL, SP_FOREVER) != SP_OK)
        stop_fail("the pricer has failed");
    sp_queue_shutdown(stages->writing, false);
    if (writer != NULL && sp_join(writer, NULL, SP_FOREVER) != SP_OK)
        stop_fail("the writer has failed");
}

void pipeline_threads(const struct pipeline_parts *parts, unsigned workers)
{
    sp_auto(sp_queue) fetching = sp_queue_of(struct order *, .maxsize = FETCHING_MAX, .drop = drop_order);
    sp_auto(sp_queue) pricing = sp_queue_of(struct order *, .maxsize = PRICING_MAX, .drop = drop_order);
    sp_auto(sp_queue) writing = sp_queue_of(struct order *, .maxsize = WRITING_MAX, .drop = drop_order);
    sp_future **futures = calloc(workers, sizeof *futures);
    if (fetching == NULL || pricing == NULL || writing == NULL || futures == NULL) {
        stop_fail("no memory for the queues");
    } else {
        struct stages stages = { .parts = parts, .fetching = fetching, .pricing = pricing, .writing = writing };
        run_stages(&stages, workers, futures);
    }
    free(futures);
}

void pipeline_sequential(const struct pipeline_parts *parts)
{
    struct fetcher *fetcher = fetcher_open(parts->fetch, parts->counts);
    if (fetcher == NULL) {
        stop_fail("no memory for a connection to the payment API");
        return;
    }
    struct order *order;
    while ((order = reader_next(parts->reader)) != NULL) {
        if (order->valid && !fetch_one(fetcher, order)) {
            counts_add(parts->counts, COUNT_LEFT, 1);
            order_free(order);
            break;
        }
        if (order->valid)
            price_order(parts->discounts, order);
        /* Committed at once: the next order may be a long time coming. */
        writer_add(parts->writer, order);
        writer_flush(parts->writer);
    }
    fetcher_close(fetcher);
}
