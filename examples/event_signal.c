/* One thread sets an event, and everyone who waits for it goes on: the waiter and the setter of "Python Threading Is...
   Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { WAITERS = 3 };

static sp_event event;

static sp_status waiter(const int *number, sp_none *ret)
{
    (void)ret;
    printf("%d: Waiting...\n", *number);
    if (!sp_event_wait(&event, SP_FOREVER))
        return SP_TIMEOUT;
    printf("%d: Done waiting!\n", *number);
    return SP_OK;
}
SP_TASK(waiter, int, sp_none);

static sp_status setter(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    sp_sleep(0.2); /* what the others wait for */
    sp_event_set(&event);
    return SP_OK;
}
SP_TASK(setter, sp_none, sp_none);

int main(void)
{
    sp_thread *threads[WAITERS + 1];
    for (int i = 0; i < WAITERS; i++)
        threads[i] = sp_start(waiter, i);
    threads[WAITERS] = sp_start(setter);
    for (int i = 0; i <= WAITERS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    return 0;
}
