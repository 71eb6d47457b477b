/* Q1, Q2: k producers, k consumers, items of 8 bytes.

   The contestant defines the type the_queue and the_queue_init() (capacity 0: no bound), the_queue_put(),
   the_queue_get().

       PROGRAM bounded ITEMS K            million items per second; capacity 1024
       PROGRAM unbounded ITEMS K

   SPDX-License-Identifier: MIT */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include "bench.h"

#define CAPACITY 1024

struct worker {
    alignas(BENCH_LINE) uint64_t sum;
    pthread_t thread;
};

static the_queue queue;
static uint64_t items_each;
static struct bench_gate gate;
static struct worker workers[BENCH_THREADS];

static void *produce(void *argument)
{
    (void)argument;
    uint64_t items = items_each;
    bench_gate_pass(&gate);
    for (uint64_t i = 1; i <= items; i++)
        the_queue_put(&queue, i);
    return NULL;
}

static void *consume(void *argument)
{
    struct worker *self = (struct worker *)argument;
    uint64_t items = items_each, sum = 0;
    bench_gate_pass(&gate);
    for (uint64_t i = 0; i < items; i++)
        sum += the_queue_get(&queue);
    self->sum = sum;
    return NULL;
}

static void check_sum(unsigned threads)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < threads; i++)
        sum += workers[i].sum;
    bench_check(sum == threads / 2 * (items_each * (items_each + 1) / 2), "the sum of the items is wrong");
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_arguments(argc, argv);
    bool bounded = bench_mode(&args, "bounded");
    unsigned pairs = (unsigned)args.extra, threads = 2 * pairs;
    bench_check(bounded || bench_mode(&args, "unbounded"), "no such mode");
    bench_check(pairs > 0 && threads <= BENCH_THREADS, "how many pairs of threads?");
    items_each = args.count / pairs;
    the_queue_init(&queue, bounded ? CAPACITY : 0);
    bench_gate_shut(&gate);
    for (unsigned i = 0; i < threads; i++)
        bench_start(&workers[i].thread, i % 2 == 0 ? produce : consume, &workers[i]);
    struct bench_clock begin = bench_gate_open(&gate, threads);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    struct bench_clock passed = bench_clock_since(begin);
    check_sum(threads);
    uint64_t items = items_each * pairs;
    bench_print((double)items / passed.wall / 1e6, "Mitems/s", passed, items);
    printf("\n");
    return 0;
}

#endif
