/* L1, L2, L3: a lock around a counter.

   The contestant defines the type the_lock and the_lock_init(), the_lock_acquire(), the_lock_release().

       PROGRAM uncontended PAIRS          ns per pair
       PROGRAM nested PAIRS               the same while the lock is held by this thread
       PROGRAM contended MS THREADS       million pairs per second of all threads

   SPDX-License-Identifier: MIT */
#ifndef BENCH_LOCK_H
#define BENCH_LOCK_H

#include "bench.h"

#define WORK_OUTSIDE 31 /* steps of bench_work() */

struct worker {
    alignas(BENCH_LINE) uint64_t share;
    uint64_t work;
    pthread_t thread;
};

static struct {
    alignas(BENCH_LINE) the_lock lock;
    uint64_t counter; /* shares the cache line of the lock */
} guarded;

static struct {
    alignas(BENCH_LINE) bool stop;
} flag;

static struct bench_gate gate;
static struct worker workers[BENCH_THREADS];

static inline void count_one(void)
{
    the_lock_acquire(&guarded.lock);
    guarded.counter++;
    the_lock_release(&guarded.lock);
}

static void uncontended(uint64_t pairs)
{
    struct bench_clock begin = bench_clock_now();
    for (uint64_t i = 0; i < pairs; i++)
        count_one();
    struct bench_clock passed = bench_clock_since(begin);
    bench_check(guarded.counter == pairs, "the counter is wrong");
    bench_print(passed.wall * 1e9 / (double)pairs, "ns/pair", passed, pairs);
    printf("\n");
}

static void *contend(void *argument)
{
    struct worker *self = (struct worker *)argument;
    uint64_t share = 0, x = (uint64_t)(self - workers);
    bench_gate_pass(&gate);
    while (!__atomic_load_n(&flag.stop, __ATOMIC_RELAXED)) {
        count_one();
        share++;
        x = bench_work(x, WORK_OUTSIDE);
    }
    self->share = share;
    self->work = x;
    return NULL;
}

/* The counter must be the sum of the shares.  Returns the smallest share over the largest. */
static double check_shares(unsigned threads)
{
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < threads; i++) {
        uint64_t share = workers[i].share;
        sum += share;
        least = share < least ? share : least;
        most = share > most ? share : most;
    }
    bench_check(guarded.counter == sum, "the counter is not the sum of the shares");
    return most == 0 ? 0 : (double)least / (double)most;
}

static void contended(uint64_t milliseconds, unsigned threads)
{
    bench_check(threads > 0 && threads <= BENCH_THREADS, "how many threads?");
    bench_gate_shut(&gate);
    for (unsigned i = 0; i < threads; i++)
        bench_start(&workers[i].thread, contend, &workers[i]);
    struct bench_clock begin = bench_gate_open(&gate, threads);
    usleep((useconds_t)(milliseconds * 1000));
    __atomic_store_n(&flag.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    struct bench_clock passed = bench_clock_since(begin);
    double fairness = check_shares(threads);
    bench_print((double)guarded.counter / passed.wall / 1e6, "Mpairs/s", passed, guarded.counter);
    printf(" fairness=%.3f\n", fairness);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_arguments(argc, argv);
    bench_second_thread();
    the_lock_init(&guarded.lock);
    if (bench_mode(&args, "contended")) {
        contended(args.count, (unsigned)args.extra);
    } else if (bench_mode(&args, "nested")) {
        the_lock_acquire(&guarded.lock);
        uncontended(args.count);
        the_lock_release(&guarded.lock);
    } else {
        bench_check(bench_mode(&args, "uncontended"), "no such mode");
        uncontended(args.count);
    }
    return 0;
}

#endif
