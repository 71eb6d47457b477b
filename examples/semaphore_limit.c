/* Ten workers and three permits: never more than three are inside, as in "Python Threading Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { PERMITS = 3, WORKERS = 10 };

static sp_semaphore semaphore = SP_SEMAPHORE(PERMITS);
static sp_event all_permits_taken;
static int inside, most; /* atomic */

static void do_work(void)
{
    int now = __atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED);
    int seen = __atomic_load_n(&most, __ATOMIC_RELAXED);
    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (now == PERMITS)
        sp_event_set(&all_permits_taken);
    (void)sp_event_wait(&all_permits_taken, SP_FOREVER); /* the first ones meet inside, so that the limit is reached */
    sp_sleep(0.01);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_RELAXED);
}

static sp_status limited_worker(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    SP_HOLD(&semaphore);
    do_work();
    return SP_OK;
}
SP_TASK(limited_worker, sp_none, sp_none);

int main(void)
{
    sp_thread *threads[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        threads[i] = sp_start(limited_worker);
    for (int i = 0; i < WORKERS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    printf("%d workers, at most %d at a time\n", WORKERS, most);
    return 0;
}
