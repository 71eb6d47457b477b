/* What the benchmark programs share: clocks, the start gate, work, the line they print.  C11 and C++17.

   A program is called with a mode, a count and one more number.  A row's loop is in a header (lock.h, signal.h,
   condition.h, queue.h, thread.h, pool.h, fib.h, map.h) that is included by each contestant after it has defined its `the_...` types and
   functions, so all contestants written in C and C++ run the very same loop.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_H
#define BENCH_H

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifndef __cplusplus
#include <stdalign.h>
#endif

#define BENCH_LINE 64 /* bytes of a cache line */
#define BENCH_THREADS 64
#define BENCH_WORKERS 2 /* threads of a pool */

/* End with status 1 unless what must hold does. */
static inline void bench_check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "bench: %s\n", what);
        _exit(1); /* other threads may be in the middle of things */
    }
}

/* ---- Arguments: MODE COUNT [EXTRA] ---- */

struct bench_args {
    const char *mode;
    uint64_t count, extra;
};

static inline uint64_t bench_number(const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    bench_check(*text != '\0' && *end == '\0', "usage: PROGRAM MODE COUNT [EXTRA]");
    return number;
}

static inline struct bench_args bench_arguments(int argc, char **argv)
{
    bench_check(argc == 3 || argc == 4, "usage: PROGRAM MODE COUNT [EXTRA]");
    struct bench_args args = { argv[1], bench_number(argv[2]), argc == 4 ? bench_number(argv[3]) : 0 };
    bench_check(args.count > 0, "the count is 0");
    return args;
}

static inline bool bench_mode(const struct bench_args *args, const char *mode)
{
    return strcmp(args->mode, mode) == 0;
}

/* ---- Clocks ---- */

/* What the process has used so far. */
struct bench_clock {
    double wall, cpu; /* seconds */
    long switches;    /* how often a thread went to sleep: voluntary context switches */
};

static inline double bench_seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static inline struct bench_clock bench_clock_now(void)
{
    struct rusage usage;
    struct timespec now;
    getrusage(RUSAGE_SELF, &usage);
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct bench_clock clock = { (double)now.tv_sec + (double)now.tv_nsec / 1e9,
                                 bench_seconds(usage.ru_utime) + bench_seconds(usage.ru_stime), usage.ru_nvcsw };
    return clock;
}

/* From `from` until now. */
static inline struct bench_clock bench_clock_since(struct bench_clock from)
{
    struct bench_clock now = bench_clock_now();
    struct bench_clock passed = { now.wall - from.wall, now.cpu - from.cpu, now.switches - from.switches };
    return passed;
}

/* A line of /proc/self/status in MB: "VmHWM:", the most memory the process has had (not from getrusage(), which remembers
   the program before exec), or "VmRSS:", what it has now. */
static inline double bench_memory(const char *name)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    bench_check(kib > 0, "no such line in /proc/self/status");
    return (double)kib / 1024;
}

/* Bytes for each of n, by which the peak is above what the process had before. */
static inline double bench_bytes_each(double mb_before, uint64_t n)
{
    return (bench_memory("VmHWM:") - mb_before) * 1024 * 1024 / (double)n;
}

/* The line of the result; a row may append to it, then ends it. */
static inline void bench_print(double value, const char *unit, struct bench_clock passed, uint64_t ops)
{
    printf("value=%.6g unit=%s cpu=%.4f ops=%" PRIu64 " switches=%ld rss_mb=%.2f", value, unit, passed.cpu, ops,
           passed.switches, bench_memory("VmHWM:"));
}

/* An array, zeroed, of which each page has been written to: what it costs has been paid for. */
static inline void *bench_array(uint64_t n, size_t size)
{
    void *array = malloc(n * size);
    bench_check(array != NULL, "no memory");
    memset(array, 1, n * size); /* not 0 at once: the two calls would become calloc(), which writes nothing */
    __asm__ volatile("" : : "r"(array) : "memory");
    return memset(array, 0, n * size);
}

/* ---- Threads of the harness ---- */

static inline void bench_start(pthread_t *ret_thread, void *(*run)(void *), void *argument)
{
    bench_check(pthread_create(ret_thread, NULL, run, argument) == 0, "no thread");
}

static inline void *bench_sleep_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* A second thread, asleep: glibc's mutex is not atomic in a process with one thread, which would flatter it. */
static inline void bench_second_thread(void)
{
    pthread_t thread;
    bench_start(&thread, bench_sleep_for_ever, NULL);
    pthread_detach(thread);
}

/* Holds the threads of a measurement back until all are there. */
struct bench_gate {
    pthread_mutex_t shut;
    unsigned waiting;
};

static inline void bench_gate_pass(struct bench_gate *gate)
{
    __atomic_add_fetch(&gate->waiting, 1, __ATOMIC_ACQ_REL);
    pthread_mutex_lock(&gate->shut);
    pthread_mutex_unlock(&gate->shut);
}

static inline void bench_gate_shut(struct bench_gate *gate)
{
    pthread_mutex_init(&gate->shut, NULL);
    pthread_mutex_lock(&gate->shut);
    gate->waiting = 0;
}

/* Let n threads through once they all wait; the time before. */
static inline struct bench_clock bench_gate_open(struct bench_gate *gate, unsigned n)
{
    while (__atomic_load_n(&gate->waiting, __ATOMIC_ACQUIRE) < n)
        usleep(1000);
    usleep(1000); /* the last one is about to sleep */
    struct bench_clock begin = bench_clock_now();
    pthread_mutex_unlock(&gate->shut);
    return begin;
}

/* ---- Work: 31 steps are 35 to 50 ns; the compiler can neither remove nor fold them ---- */

static inline uint64_t bench_work(uint64_t x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

#endif
