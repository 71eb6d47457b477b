/* Threads that all wait until everyone has arrived: the barrier in the list of primitives of "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { THREADS = 4, PHASES = 3 };

static sp_barrier barrier = SP_BARRIER(THREADS);
static int arrived[PHASES]; /* atomic */

/* Counts in how many phases it was the one that got index 0. */
static sp_status worker(const int *number, int *ret_first)
{
    *ret_first = 0;
    for (int phase = 0; phase < PHASES; phase++) {
        __atomic_add_fetch(&arrived[phase], 1, __ATOMIC_RELAXED);
        unsigned index;
        sp_status status = sp_barrier_wait(&barrier, &index, SP_FOREVER);
        if (status != SP_OK)
            return status;
        if (index == 0)
            ++*ret_first;
        printf("phase %d: thread %d goes on, %d of %d have arrived\n", phase, *number,
               __atomic_load_n(&arrived[phase], __ATOMIC_RELAXED), THREADS);
    }
    return SP_OK;
}
SP_TASK(worker, int, int);

int main(void)
{
    sp_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if ((threads[i] = sp_start(worker, i)) == NULL)
            sp_barrier_abort(&barrier); /* one is missing: the others must not wait for it */
    int total = 0;
    for (int i = 0; i < THREADS; i++) {
        int first;
        if (sp_join(threads[i], &first, SP_FOREVER) != SP_OK)
            return 1;
        total += first;
        sp_thread_release(threads[i]);
    }
    printf("%d phases, index 0 given out %d times\n", PHASES, total);
    return 0;
}
