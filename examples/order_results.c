/* A table of results that several threads fill, under a lock: the threaded fetch of the lesson on the order pipeline.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 4 };

struct results {
    sp_lock lock;
    size_t n; /* both guarded by the lock */
    struct {
        const char *order_id, *status;
    } row[ORDERS];
};

/* Takes a tenth of the document's 400 to 600 ms. */
static const char *mock_payment_api_call(const char *order_id, double seconds)
{
    static const char *const statuses[][2] = { { "ORD-001", "paid" },
                                               { "ORD-002", "pending" },
                                               { "ORD-003", "failed" } };
    sp_sleep(seconds);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(statuses[i][0], order_id) == 0)
            return statuses[i][1];
    return "unknown";
}

struct fetch {
    const char *order_id;
    double seconds;
    struct results *results;
};
static sp_status fetch_and_store(const struct fetch *in, sp_none *ret)
{
    (void)ret;
    const char *status = mock_payment_api_call(in->order_id, in->seconds);
    SP_WITH(&in->results->lock)
    {
        size_t at = in->results->n++;
        in->results->row[at].order_id = in->order_id;
        in->results->row[at].status = status;
    }
    return SP_OK;
}
SP_TASK(fetch_and_store, struct fetch, sp_none);

int main(void)
{
    static const char *const order_ids[ORDERS] = { "ORD-001", "ORD-002", "ORD-003", "ORD-004" };
    struct results results = { .n = 0 };
    sp_thread *threads[ORDERS];
    double begin = sp_monotonic();
    for (int i = 0; i < ORDERS; i++)
        threads[i] = sp_start(fetch_and_store, .order_id = order_ids[i], .seconds = 0.04 + 0.02 * rand() / RAND_MAX,
                              .results = &results);
    for (int i = 0; i < ORDERS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    printf("Took %.2f seconds\n", sp_monotonic() - begin);
    for (size_t i = 0; i < results.n; i++) /* all threads have ended: nobody else writes */
        printf("%s: %s\n", results.row[i].order_id, results.row[i].status);
    return 0;
}
