/* A list that several threads append to, under a lock; and a queue, which needs none: the second pitfall of "Python
   Threading Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { THREADS = 4, ITEMS = 100 };

static sp_lock lock;
static int shared_list[THREADS * ITEMS], length; /* guarded by the lock */

static sp_status append_to_list(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    for (int i = 0; i < ITEMS; i++) {
        SP_HOLD(&lock);
        shared_list[length++] = i;
    }
    return SP_OK;
}
SP_TASK(append_to_list, sp_none, sp_none);

static sp_status append_to_queue(sp_queue *const *queue, sp_none *ret)
{
    (void)ret;
    sp_status status = SP_OK;
    for (int i = 0; i < ITEMS && status == SP_OK; i++)
        status = sp_put(*queue, &i, SP_FOREVER);
    return status;
}
SP_TASK(append_to_queue, sp_queue *, sp_none);

int main(void)
{
    sp_auto(sp_queue) shared_queue = sp_queue_of(int);
    sp_thread *threads[2 * THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[2 * i] = sp_start(append_to_list);
        threads[2 * i + 1] = sp_start(append_to_queue, shared_queue);
    }
    for (int i = 0; i < 2 * THREADS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }

    long sum = 0;
    for (int i = 0; i < length; i++)
        sum += shared_list[i];
    printf("list with a lock: %d items, sum %ld\n", length, sum);

    int n = 0;
    sum = 0;
    for (int item; sp_get(shared_queue, &item, SP_NOWAIT) == SP_OK; n++)
        sum += item;
    printf("queue: %d items, sum %ld\n", n, sum);
    return 0;
}
