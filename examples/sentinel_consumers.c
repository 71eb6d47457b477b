/* Producers fill a queue, consumers drain it, and one sentinel for each consumer ends the work: exercise 3 of "Threading
   and the GIL".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { PRODUCERS = 3, ITEMS = 200, CONSUMERS = 4, SENTINEL = 0 };

struct produce {
    sp_queue *queue;
    int first;
};
static sp_status produce(const struct produce *in, sp_none *ret)
{
    (void)ret;
    sp_status status = SP_OK;
    for (int item = in->first; item < in->first + ITEMS && status == SP_OK; item++)
        status = sp_put(in->queue, &item, SP_FOREVER);
    return status;
}
SP_TASK(produce, struct produce, sp_none);

static sp_status consume(sp_queue *const *queue, long *ret_sum)
{
    *ret_sum = 0;
    for (;;) {
        int item;
        sp_status status = sp_get(*queue, &item, SP_FOREVER);
        if (status != SP_OK || item == SENTINEL)
            return status;
        *ret_sum += item;
    }
}
SP_TASK(consume, sp_queue *, long);

int main(void)
{
    sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 10);
    sp_thread *producers[PRODUCERS], *consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = sp_start(consume, queue);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = sp_start(produce, .queue = queue, .first = 1 + i * ITEMS);

    for (int i = 0; i < PRODUCERS; i++) {
        if (sp_join(producers[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(producers[i]);
    }
    const int sentinel = SENTINEL; /* behind all items, now that nobody adds one */
    for (int i = 0; i < CONSUMERS; i++)
        if (sp_put(queue, &sentinel, SP_FOREVER) != SP_OK)
            return 1;

    long total = 0;
    for (int i = 0; i < CONSUMERS; i++) {
        long sum;
        if (sp_join(consumers[i], &sum, SP_FOREVER) != SP_OK)
            return 1;
        total += sum;
        sp_thread_release(consumers[i]);
    }
    printf("%d items, sum %ld, left in the queue: %zu\n", PRODUCERS * ITEMS, total, sp_queue_size(queue));
    return 0;
}
