/* Two hundred fetches from a server that answers four at a time: a pool that may grow to 1000 threads starts one for each,
   and they stand in line at the server; a sensible one is as fast.  The fifth pitfall of "Python Threading Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { URLS = 200, AT_A_TIME = 4 };

static sp_semaphore server = SP_SEMAPHORE(AT_A_TIME);
/* So that the count of threads is not left to chance: no task fetches before as many have begun as ever can at a time. */
static sp_semaphore begun;
static sp_event may_fetch;

static sp_status fetch(const int *url, int *ret_length)
{
    sp_status status = sp_semaphore_release(&begun, 1);
    if (status != SP_OK)
        return status;
    (void)sp_event_wait(&may_fetch, SP_FOREVER);
    SP_HOLD(&server);
    sp_sleep(0.005);
    *ret_length = *url % 10;
    return SP_OK;
}
SP_TASK(fetch, int, int);

/* Returns what all answers add up to, or -1. */
static int fetch_all(unsigned max_workers, unsigned *ret_threads, double *ret_seconds)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = max_workers);
    sp_future *futures[URLS];
    sp_event_clear(&may_fetch);
    begun = (sp_semaphore)SP_SEMAPHORE(0);
    for (int i = 0; i < URLS; i++)
        futures[i] = sp_submit(pool, fetch, i);
    for (unsigned i = 0; i < URLS && i < max_workers; i++)
        sp_semaphore_acquire(&begun);
    sp_event_set(&may_fetch);

    double begin = sp_monotonic();
    int sum = 0;
    for (int i = 0; i < URLS; i++) {
        int length;
        if (sp_result(futures[i], &length, SP_FOREVER) == SP_OK && sum >= 0)
            sum += length;
        else
            sum = -1;
    }
    *ret_seconds = sp_monotonic() - begin;

    sp_executor_statistics statistics;
    sp_executor_stats(pool, &statistics);
    *ret_threads = statistics.workers;
    sp_release_all(futures, URLS);
    return sum;
}

int main(void)
{
    unsigned sensible = sp_cpu_count() < 8 ? sp_cpu_count() * 4 : 32, threads;
    double seconds;
    int sum = fetch_all(1000, &threads, &seconds);
    printf("up to 1000 workers: %u threads, %.2f s, sum %d\n", threads, seconds, sum);
    sum = fetch_all(sensible, &threads, &seconds);
    printf("min(32, CPUs * 4): %s threads, %.2f s, sum %d\n", threads <= 32 ? "at most 32" : "too many", seconds, sum);
    return 0;
}
