/* An increment is a read, an addition and a write: without a lock, what others write in between is lost; with a lock nothing
   ever is.  The counters of four documents, each with its numbers.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { MOST_THREADS = 10, MOST_ROUNDS = 100 };

static long counter;
static sp_lock lock;
static sp_barrier start; /* lets all threads begin together */

struct increment {
    int times;
    bool locked;
};
static sp_status increment(const struct increment *in, sp_none *ret)
{
    (void)ret;
    sp_status status = sp_barrier_wait(&start, NULL, SP_FOREVER);
    if (status != SP_OK)
        return status;
    for (int i = 0; i < in->times; i++) {
        if (in->locked) {
            SP_HOLD(&lock);
            counter++;
        } else {
            /* Each half is atomic, so that the race is no undefined behaviour; the whole is not. */
            long before = __atomic_load_n(&counter, __ATOMIC_RELAXED);
            if (i % 1000 == 0)
                sp_sleep(SP_NOWAIT); /* others get the processor in between, as they may at any time */
            __atomic_store_n(&counter, before + 1, __ATOMIC_RELAXED);
        }
    }
    return SP_OK;
}
SP_TASK(increment, struct increment, sp_none);

/* Returns the counter at the end, or -1. */
static long count(int n_threads, int times, bool locked)
{
    sp_thread *threads[MOST_THREADS];
    counter = 0;
    start = (sp_barrier)SP_BARRIER(n_threads);
    for (int i = 0; i < n_threads; i++)
        if ((threads[i] = sp_start(increment, .times = times, .locked = locked)) == NULL)
            sp_barrier_abort(&start); /* one is missing: the others must not wait for it */
    bool ok = true;
    for (int i = 0; i < n_threads; i++) {
        ok = sp_join(threads[i], NULL, SP_FOREVER) == SP_OK && ok;
        sp_thread_release(threads[i]);
    }
    return ok ? counter : -1;
}

/* What comes out without a lock, in words: one round may go well by chance, a hundred do not. */
static const char *without_lock(int n_threads, int times)
{
    for (int round = 0; round < MOST_ROUNDS; round++) {
        long counted = count(n_threads, times, false);
        if (counted != (long)n_threads * times)
            return counted < 0 ? "failed" : "less";
    }
    return "nothing lost";
}

int main(void)
{
    static const struct {
        int threads, times;
    } runs[] = { { 10, 100000 }, { 5, 100000 }, { 10, 10000 } };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        printf("%d threads, %d times each\n", runs[i].threads, runs[i].times);
        printf("  without a lock: %s\n", without_lock(runs[i].threads, runs[i].times));
        printf("  with a lock: %ld\n", count(runs[i].threads, runs[i].times, true));
    }
    return 0;
}
