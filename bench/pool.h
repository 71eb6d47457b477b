/* P1, P2 and the idle pool: tasks from one thread to two others, and their results back.

   The contestant defines the type the_future, which is what the submitter keeps for a task, a handle or else a slot for the
   result; the_pool_run(), which calls a function while the pool is there; the_submit(), which has the pool run task(i);
   the_result(), which waits for that, and releases what there is to release.  THE_CALLER_RUNS_TASKS 1: the thread that
   submits is one of the two.

       PROGRAM throughput COUNT           million tasks per second: submit all, take all
       PROGRAM pending COUNT              bytes of memory for a task that is queued; no task ends before all are
       PROGRAM latency COUNT              us to submit one and take its result, after a tenth as many for warming up
       PROGRAM after_idle COUNT MS        the same, with so long a pause before each
       PROGRAM idle MS                    us of processor time of all threads but main's while the pool has no work

   SPDX-License-Identifier: MIT */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <dirent.h>
#include "task.h"

#ifndef THE_CALLER_RUNS_TASKS
#define THE_CALLER_RUNS_TASKS 0
#endif

static struct bench_args args;

static void submit_all(the_future *futures)
{
    for (uint64_t i = 0; i < args.count; i++)
        the_submit(&futures[i], i);
}

static void take_all(the_future *futures)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < args.count; i++)
        sum += the_result(&futures[i]);
    task_check_sum(sum, args.count);
}

static void throughput(void)
{
    the_future *futures = (the_future *)bench_array(args.count, sizeof *futures);
    double before = bench_memory("VmRSS:");
    struct bench_clock begin = bench_clock_now();
    submit_all(futures);
    take_all(futures);
    struct bench_clock passed = bench_clock_since(begin);
    bench_print((double)args.count / passed.wall / 1e6, "Mtasks/s", passed, args.count);
    printf(" bytes=%.1f\n", bench_bytes_each(before, args.count));
    free(futures);
}

static void pending(void)
{
    bench_check(!THE_CALLER_RUNS_TASKS, "the submitter would wait at its own gate");
    the_future *futures = (the_future *)bench_array(args.count, sizeof *futures);
    double before = bench_memory("VmRSS:");
    pool_tasks.held = true;
    bench_gate_shut(&pool_tasks.gate);
    struct bench_clock begin = bench_clock_now();
    submit_all(futures);
    bench_gate_open(&pool_tasks.gate, BENCH_WORKERS);
    take_all(futures);
    bench_print(bench_bytes_each(before, args.count), "bytes", bench_clock_since(begin), args.count);
    printf("\n");
    free(futures);
}

static void round_trips(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        the_future future;
        the_submit(&future, i);
        bench_check(the_result(&future) == i, "the result is wrong");
    }
}

static void latency(void)
{
    round_trips(args.count / 10);
    struct bench_clock begin = bench_clock_now();
    round_trips(args.count);
    struct bench_clock passed = bench_clock_since(begin);
    bench_print(passed.wall * 1e6 / (double)args.count, "us/trip", passed, args.count);
    printf("\n");
}

static void pause_for(uint64_t milliseconds)
{
    struct timespec time = { (time_t)(milliseconds / 1000), (long)(milliseconds % 1000 * 1000000) };
    bench_check(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL) == 0, "the pause was cut short");
}

static void after_idle(void)
{
    double wall = 0;
    round_trips(10);
    struct bench_clock begin = bench_clock_now();
    for (uint64_t i = 0; i < args.count; i++) {
        pause_for(args.extra);
        struct bench_clock from = bench_clock_now();
        round_trips(1);
        wall += bench_clock_since(from).wall;
    }
    bench_print(wall * 1e6 / (double)args.count, "us/trip", bench_clock_since(begin), args.count);
    printf("\n");
}

/* Nanoseconds that a thread of this process has run.  /proc knows them all, those that the library keeps to itself too. */
static uint64_t thread_nanoseconds(const char *id)
{
    char path[64];
    uint64_t ran = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", id);
    FILE *file = fopen(path, "r");
    bench_check(file != NULL && fscanf(file, "%" SCNu64, &ran) == 1, "no schedstat in /proc");
    fclose(file);
    return ran;
}

static uint64_t nanoseconds_of_others(void)
{
    uint64_t ran = 0;
    DIR *threads = opendir("/proc/self/task");
    bench_check(threads != NULL, "no /proc/self/task");
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != getpid())
            ran += thread_nanoseconds(entry->d_name);
    }
    closedir(threads);
    return ran;
}

/* run.py looks for the pause in the log of strace: no other call may begin or end in it. */
static void idle(void)
{
    round_trips(1000);
    usleep(100000); /* whoever spins before sleeping sleeps now */
    uint64_t ran = nanoseconds_of_others();
    struct bench_clock begin = bench_clock_now();
    pause_for(args.count);
    struct bench_clock passed = bench_clock_since(begin);
    ran = nanoseconds_of_others() - ran;
    bench_print((double)ran / 1e3, "us", passed, 1);
    printf("\n");
}

static const struct {
    const char *mode;
    void (*run)(void);
} modes[] = {
    { "throughput", throughput }, { "pending", pending }, { "latency", latency },
    { "after_idle", after_idle }, { "idle", idle },
};

static void (*mode_run(void))(void)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (bench_mode(&args, modes[i].mode))
            return modes[i].run;
    }
    bench_check(false, "no such mode");
    return NULL;
}

int main(int argc, char **argv)
{
    args = bench_arguments(argc, argv);
    task_submitter();
    the_pool_run(mode_run());
    if (!THE_CALLER_RUNS_TASKS)
        task_check_submitter();
    return 0;
}

#endif
