/* A consumer waits under a condition until the producer has added an item: the pair of "Python Threading Is... Weird".

   The wait is in a loop that asks for the item and not for the notification, so none is missed when the producer comes
   first.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { ITEMS = 5 };

static sp_lock lock;
static sp_condition added;
static int items[ITEMS], n_items; /* guarded by the lock */

static sp_status produce(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    for (int i = 0; i < ITEMS; i++) {
        sp_sleep(0.01); /* an item takes a while to make */
        SP_WITH(&lock)
        {
            items[n_items++] = i * i;
            sp_condition_notify(&added, 1);
        }
    }
    return SP_OK;
}
SP_TASK(produce, sp_none, sp_none);

static sp_status consume(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    for (int taken = 0; taken < ITEMS; taken++) {
        int item = 0;
        SP_WITH(&lock)
        {
            while (n_items == taken)
                (void)sp_condition_wait(&added, &lock, SP_FOREVER);
            item = items[taken];
        }
        printf("item %d: %d\n", taken, item);
    }
    return SP_OK;
}
SP_TASK(consume, sp_none, sp_none);

int main(void)
{
    sp_auto(sp_thread) consumer = sp_start(consume);
    sp_auto(sp_thread) producer = sp_start(produce);
    return sp_join(producer, NULL, SP_FOREVER) != SP_OK || sp_join(consumer, NULL, SP_FOREVER) != SP_OK;
}
