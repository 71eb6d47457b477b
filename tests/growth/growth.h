/* How costs grow: each row of a table does one thing at n, 10 n and 100 n, and says how its cost may grow.

   To add a row, write a function that does the thing once for a given n, with what is measured between growth_begin() and
   growth_end(), and name it in the table at the end of its file:

       static void put_and_get(long n) { ...; growth_begin(); ...; growth_end(); ... }
       ...
       { "n puts, then n gets", put_and_get, .n = 100, .exponent = 1 },

   Each run is a process of its own, with SPOOL_SPIN=0, so that nothing is counted but what is done.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_GROWTH_H
#define SP_TESTS_GROWTH_H

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum growth_unit {
    GROWTH_STEPS,   /* branches of the library's own code that were run, by all threads */
    GROWTH_BYTES,   /* memory that is held at the end and was not at the beginning, wherever it came from */
    GROWTH_THREADS, /* threads that were made */
    GROWTH_CPU      /* microseconds of CPU time; for what is done in the C library or in the kernel */
};

struct growth_row {
    const char *name;      /* what is done, and what n counts */
    void (*run)(long n);   /* once; it ends what it began */
    long n;                /* the smallest n; the largest is 100 times that */
    double exponent;       /* the cost may grow like n to the power of this, and a logarithm */
    enum growth_unit unit; /* of the cost; GROWTH_STEPS when nothing is said */
};

void growth_begin(void);
void growth_end(void);

/* The file's table: each has one, at its end. */
extern const struct growth_row growth_rows[];
extern const size_t growth_row_count;
#define GROWTH_TABLE(...)                                                                                              \
    const struct growth_row growth_rows[] = { __VA_ARGS__ };                                                           \
    const size_t growth_row_count = sizeof growth_rows / sizeof growth_rows[0];

/* What must hold for the row to mean anything. */
#define growth_expect(condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(EXIT_FAILURE);                                                                                        \
        }                                                                                                              \
    } while (0)

/* Wait until another thread has made it so; what is counted is the library's work, not this. */
#define growth_await(condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            growth_pause();                                                                                            \
    } while (0)
void growth_pause(void);

/* A thread that runs `body` until its end, started with a small stack; and n of them, that have gone to sleep. */
pthread_t growth_thread(void *(*body)(void *arg), void *arg);
pthread_t *growth_sleepers(long n, void *(*body)(void *arg), void *arg);
/* Join them, and free the array. */
void growth_join(pthread_t *threads, long n);

#endif
