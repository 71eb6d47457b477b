/* A producer, a queue of at most 100 items, and a consumer that stops at a sentinel: the producer and consumer of
   "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { ITEMS = 1000, MAXSIZE = 100, SENTINEL = -1 };

static sp_status produce(sp_queue *const *queue, sp_none *ret)
{
    (void)ret;
    sp_status status = SP_OK;
    for (int i = 0; i < ITEMS && status == SP_OK; i++)
        status = sp_put(*queue, &i, SP_FOREVER); /* blocks while it is full */
    const int sentinel = SENTINEL;
    return status == SP_OK ? sp_put(*queue, &sentinel, SP_FOREVER) : status;
}
SP_TASK(produce, sp_queue *, sp_none);

struct consumed {
    int n, out_of_order;
    size_t most_queued;
};
static sp_status consume(sp_queue *const *queue, struct consumed *ret_consumed)
{
    *ret_consumed = (struct consumed){ 0 };
    for (;;) {
        size_t queued = sp_queue_size(*queue);
        if (queued > ret_consumed->most_queued)
            ret_consumed->most_queued = queued;
        int item;
        sp_status status = sp_get(*queue, &item, SP_FOREVER);
        if (status == SP_OK)
            status = sp_queue_task_done(*queue);
        if (status != SP_OK || item == SENTINEL)
            return status;
        if (item != ret_consumed->n++)
            ret_consumed->out_of_order++;
    }
}
SP_TASK(consume, sp_queue *, struct consumed);

int main(void)
{
    sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = MAXSIZE);
    sp_auto(sp_thread) producer = sp_start(produce, queue);
    sp_auto(sp_thread) consumer = sp_start(consume, queue);
    struct consumed consumed;
    if (sp_join(producer, NULL, SP_FOREVER) != SP_OK || sp_join(consumer, &consumed, SP_FOREVER) != SP_OK)
        return 1;
    printf("%d items, %d out of order\n", consumed.n, consumed.out_of_order);
    printf("more than %d in the queue: %s\n", MAXSIZE, consumed.most_queued > MAXSIZE ? "yes" : "never");
    return 0;
}
