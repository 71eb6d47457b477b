/* The counts, and the program around a table of rows; see growth.h.

   `PROGRAM` runs all rows and prints the table; `PROGRAM ROW N` runs one, and prints its cost.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "growth/growth.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 3, SIZES = 3 }; /* the least of three runs counts: what disturbs a run only adds to it */
#define TOLERANCE 0.25        /* of an exponent: a logarithm, caches, and chance */

extern char **environ;

/* ---- what is counted ---- */

static uint64_t steps;  /* atomic */
static int64_t bytes;   /* atomic */
static int64_t threads; /* atomic */

/* Called by the library, which is built for it, at each branch: see cmake/tests.cmake. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    __atomic_fetch_add(&steps, 1, __ATOMIC_RELAXED);
}

/* What the library asks of the C library passes here, by the linker's --wrap. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);

static void *counted(void *memory)
{
    if (memory != NULL)
        __atomic_fetch_add(&bytes, (int64_t)malloc_usable_size(memory), __ATOMIC_RELAXED);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return counted(__real_calloc(n, size));
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
    int error = __real_posix_memalign(ret, alignment, size);
    if (error == 0)
        counted(*ret);
    return error;
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        __atomic_fetch_sub(&bytes, (int64_t)malloc_usable_size(memory), __ATOMIC_RELAXED);
    __real_free(memory);
}

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED);
    return __real_pthread_create(ret, attributes, body, arg);
}

static int64_t read_count(enum growth_unit unit)
{
    struct timespec used;
    switch (unit) {
    case GROWTH_STEPS:
        return (int64_t)__atomic_load_n(&steps, __ATOMIC_SEQ_CST);
    case GROWTH_BYTES:
        return __atomic_load_n(&bytes, __ATOMIC_SEQ_CST);
    case GROWTH_THREADS:
        return __atomic_load_n(&threads, __ATOMIC_SEQ_CST);
    case GROWTH_CPU:
        break;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* ---- what is measured ---- */

static enum growth_unit unit;
static int64_t at_begin, cost;

void growth_begin(void)
{
    at_begin = read_count(unit);
}

void growth_end(void)
{
    cost = read_count(unit) - at_begin;
}

void growth_pause(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

/* ---- threads of the rows' own ---- */

pthread_t growth_thread(void *(*body)(void *arg), void *arg)
{
    enum { STACK = 65536 };
    pthread_t thread;
    pthread_attr_t attributes;
    growth_expect(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0);
    growth_expect(__real_pthread_create(&thread, &attributes, body, arg) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

/* How many threads of the process sleep. */
static long count_asleep(void)
{
    long count = 0;
    DIR *tasks = opendir("/proc/self/task");
    growth_expect(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], state = '?';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        count += fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state == 'S';
        fclose(file);
    }
    closedir(tasks);
    return count;
}

pthread_t *growth_sleepers(long n, void *(*body)(void *arg), void *arg)
{
    pthread_t *all = calloc((size_t)n, sizeof *all);
    growth_expect(all != NULL);
    long before = count_asleep();
    for (long i = 0; i < n; i++)
        all[i] = growth_thread(body, arg);
    growth_await(count_asleep() >= before + n);
    return all;
}

void growth_join(pthread_t *all, long n)
{
    for (long i = 0; i < n; i++)
        pthread_join(all[i], NULL);
    free(all);
}

/* ---- a run ---- */

static int run_one(const struct growth_row *row, long n)
{
    unit = row->unit;
    row->run(n);
    printf("%lld\n", (long long)cost);
    return EXIT_SUCCESS;
}

/* ---- all of them ---- */

static const char *program;

/* Run a row in a process of its own.  Returns its cost; -1 when it failed. */
static double measure(size_t row, long n)
{
    char row_text[24], n_text[24], answer[64] = "";
    char *const words[] = { (char *)(uintptr_t)program, row_text, n_text, NULL };
    int ends[2], status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    snprintf(row_text, sizeof row_text, "%zu", row);
    snprintf(n_text, sizeof n_text, "%ld", n);
    growth_expect(pipe(ends) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    growth_expect(posix_spawn(&child, program, &actions, NULL, words, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    for (size_t size = 0; size < sizeof answer - 1;) {
        ssize_t got = read(ends[0], answer + size, sizeof answer - 1 - size);
        if (got <= 0 && errno != EINTR)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    close(ends[0]);
    growth_expect(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && answer[0] != '\0' ? strtod(answer, NULL) : -1;
}

static double least(size_t row, long n)
{
    double least_cost = -1;
    for (int i = 0; i < RUNS; i++) {
        double measured = measure(row, n);
        if (measured < 0 && growth_rows[row].unit != GROWTH_BYTES)
            return -1;
        if (i == 0 || measured < least_cost)
            least_cost = measured;
    }
    return least_cost;
}

/* Costs below this are the same: what comes and goes with a thread or a first call. */
static double least_that_counts(enum growth_unit of)
{
    static const double floors[] = {
        [GROWTH_STEPS] = 1000, [GROWTH_BYTES] = 65536, [GROWTH_THREADS] = 8, [GROWTH_CPU] = 1000
    };
    return floors[of];
}

static double exponent_of(double smaller, double larger, enum growth_unit of)
{
    double floor = least_that_counts(of);
    return log10((larger > 0 ? larger + floor : floor) / (smaller > 0 ? smaller + floor : floor));
}

/* Run a row at all sizes and print its line.  False: it grows faster than it may. */
static bool check(size_t index)
{
    static const char *const units[] = {
        [GROWTH_STEPS] = "steps", [GROWTH_BYTES] = "bytes", [GROWTH_THREADS] = "threads", [GROWTH_CPU] = "us"
    };
    const struct growth_row *row = &growth_rows[index];
    double costs[SIZES];
    long n = row->n;
    for (int i = 0; i < SIZES; i++, n *= 10) {
        costs[i] = least(index, n);
        if (costs[i] < 0 && row->unit != GROWTH_BYTES) {
            printf("%-58s FAILED at n = %ld\n", row->name, n);
            return false;
        }
    }
    double grows = exponent_of(costs[SIZES - 2], costs[SIZES - 1], row->unit);
    bool good = grows <= row->exponent + TOLERANCE;
    printf("%-58s %7ld %12.0f %12.0f %12.0f %-7s %6.2f %5.2f  %s\n", row->name, row->n, costs[0], costs[1], costs[2],
           units[row->unit], grows, row->exponent, good ? "" : "GROWS");
    fflush(stdout);
    return good;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3)
        return run_one(&growth_rows[strtoul(argv[1], NULL, 10)], strtol(argv[2], NULL, 10));
    setenv("SPOOL_SPIN", "0", 1);
    printf("%-58s %7s %12s %12s %12s %-7s %6s %5s\n", "what is done", "n", "cost at n", "at 10 n", "at 100 n", "",
           "grows", "may");
    bool good = true;
    for (size_t i = 0; i < growth_row_count; i++)
        good = check(i) && good;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
