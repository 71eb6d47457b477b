/* A daemon that works until it is told to stop: the stop event of the lesson "Concurrency: Threading, Multiprocessing & the
   GIL".

   It waits for the event between two rounds, where the document sleeps, and so stops at once.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { ROUNDS = 3 };

static sp_event stop;
static sp_semaphore worked = SP_SEMAPHORE(0); /* a permit for every round of work */

static sp_status worker(const sp_none *in, int *ret_rounds)
{
    (void)in;
    *ret_rounds = 0;
    do {
        ++*ret_rounds;
        sp_status status = sp_semaphore_release(&worked, 1);
        if (status != SP_OK)
            return status;
    } while (!sp_event_wait(&stop, 0.02));
    return SP_OK;
}
SP_TASK(worker, sp_none, int);

int main(void)
{
    sp_auto(sp_thread) thread = sp_start_with(SP_THREAD(.name = "worker", .daemon = true), worker);
    if (thread == NULL)
        return 1;
    for (int i = 1; i <= ROUNDS; i++) {
        sp_semaphore_acquire(&worked);
        printf("worked, round %d\n", i);
    }
    sp_event_set(&stop);
    int rounds;
    if (sp_join(thread, &rounds, SP_FOREVER) != SP_OK)
        return 1;
    printf("stopped after %d rounds or more: %s\n", ROUNDS, rounds >= ROUNDS ? "yes" : "no");
    return 0;
}
