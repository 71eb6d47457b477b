/* Four heavy computations, one after the other and in a pool of four: the CPU-bound comparison of "Python Threading Is...
   Weird".  There threads do not help.  In C they do: with two CPUs it is twice as fast, with four four times.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TASKS = 4 };

static sp_status cpu_intensive(const int *n, long *ret_total)
{
    long total = 0;
    for (long i = 0; i < *n; i++)
        total = (total + i * i) % 1000003; /* the remainder keeps the compiler from finding a formula for the sum */
    *ret_total = total;
    return SP_OK;
}
SP_TASK(cpu_intensive, int, long);

static sp_status run_sequential(const int *inputs, long *ret_totals)
{
    sp_status status = SP_OK;
    for (int i = 0; i < TASKS && status == SP_OK; i++)
        status = cpu_intensive(&inputs[i], &ret_totals[i]);
    return status;
}

static sp_status run_threaded(const int *inputs, long *ret_totals)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = TASKS);
    return sp_map(pool, cpu_intensive, inputs, ret_totals, TASKS);
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

struct measured {
    double seconds, cpu_seconds; /* cpu_seconds: of all threads together */
};
/* The best of three, as others may be at work on this machine. */
static sp_status measure(sp_status (*run)(const int *, long *), long *ret_totals, struct measured *ret)
{
    static const int inputs[TASKS] = { 4000000, 4000000, 4000000, 4000000 };
    *ret = (struct measured){ 1e9, 1e9 };
    for (int round = 0; round < 3; round++) {
        double begin = sp_monotonic();
        clock_t cpu_begin = clock();
        sp_status status = run(inputs, ret_totals);
        if (status != SP_OK)
            return status;
        ret->cpu_seconds = smaller(ret->cpu_seconds, (double)(clock() - cpu_begin) / CLOCKS_PER_SEC);
        ret->seconds = smaller(ret->seconds, sp_monotonic() - begin);
    }
    return SP_OK;
}

int main(void)
{
    long totals[TASKS], same_totals[TASKS];
    struct measured sequential, threaded;
    if (measure(run_sequential, totals, &sequential) != SP_OK || measure(run_threaded, same_totals, &threaded) != SP_OK)
        return 1;
    printf("Sequential: %.2f s\n", sequential.seconds);
    printf("Threaded: %.2f s, %.1f times as fast; CPUs: %u\n", threaded.seconds, sequential.seconds / threaded.seconds,
           sp_cpu_count());
    printf("the same results: %s\n", memcmp(totals, same_totals, sizeof totals) == 0 ? "yes" : "no");
    /* Threads cost nothing, so each CPU is a gain, if nobody else has it.  (Two threads on the halves of one core take
       longer, but never twice as long.) */
    printf("about the same CPU time: %s\n", threaded.cpu_seconds < 2 * sequential.cpu_seconds ? "yes" : "no");
    return 0;
}
