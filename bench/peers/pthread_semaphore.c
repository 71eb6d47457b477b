/* L4 with sem_t.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <semaphore.h>
#include "../bench.h"

typedef sem_t the_signal;

static void the_signal_init(the_signal *semaphore)
{
    bench_check(sem_init(semaphore, 0, 0) == 0, "no semaphore");
}

static inline void the_signal_give(the_signal *semaphore)
{
    sem_post(semaphore);
}

static inline void the_signal_take(the_signal *semaphore)
{
    while (sem_wait(semaphore) != 0)
        bench_check(errno == EINTR, "sem_wait failed");
}

#include "../signal.h"
