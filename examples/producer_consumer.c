/* A producer, a bounded queue, and consumers that work until the queue is shut down.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { ITEMS = 1000, CONSUMERS = 3 };

static sp_queue *queue;

static sp_status consume(const sp_none *in, long *ret_sum)
{
    (void)in;
    *ret_sum = 0;
    for (int item; sp_get(queue, &item, SP_FOREVER) == SP_OK;) {
        *ret_sum += item;
        if (sp_queue_task_done(queue) != SP_OK)
            return sp_raise(SP_RUNTIME_ERROR, "done more often than put");
    }
    return SP_OK;
}
SP_TASK(consume, sp_none, long);

int main(void)
{
    queue = sp_queue_of(int, .maxsize = 100);
    sp_thread *consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = sp_start(consume);
    for (int item = 1; item <= ITEMS; item++)
        if (sp_put(queue, &item, SP_FOREVER) != SP_OK)
            return 1;
    sp_queue_join(queue, SP_FOREVER);
    sp_queue_shutdown(queue, false);
    long total = 0;
    for (int i = 0; i < CONSUMERS; i++) {
        long sum;
        if (sp_join(consumers[i], &sum, SP_FOREVER) != SP_OK)
            return 1;
        total += sum;
        sp_thread_release(consumers[i]);
    }
    sp_queue_release(queue);
    printf("%d items, sum %ld\n", ITEMS, total);
    return 0;
}
