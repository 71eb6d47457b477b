/* P1, P2 with GThreadPool: no handles; results go to slots, completions are counted.

   SPDX-License-Identifier: MIT */
#include <glib.h>
#include "../task.h"

typedef struct slot {
    uint64_t value;
} the_future;

static GThreadPool *pool;
static GMutex mutex;
static GCond all_done;
static uint64_t submitted, done; /* done: atomic */
static uint64_t awaited;         /* atomic; UINT64_MAX while nobody waits */

static void run(gpointer data, gpointer unused)
{
    the_future *slot = (the_future *)data;
    (void)unused;
    slot->value = task(slot->value);
    /* This order and that in the_result() is one order for all: one of the two sees what the other did. */
    if (__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST) != __atomic_load_n(&awaited, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&mutex);
    g_cond_signal(&all_done);
    g_mutex_unlock(&mutex);
}

static void the_pool_run(void (*body)(void))
{
    pool = g_thread_pool_new(run, NULL, BENCH_WORKERS, TRUE, NULL);
    bench_check(pool != NULL, "no pool");
    awaited = UINT64_MAX;
    body();
    g_thread_pool_free(pool, FALSE, TRUE);
}

static inline void the_submit(the_future *slot, uint64_t i)
{
    slot->value = i;
    submitted++;
    bench_check(g_thread_pool_push(pool, slot, NULL), "the pool did not take the task");
}

static void wait_for_all(void)
{
    g_mutex_lock(&mutex);
    __atomic_store_n(&awaited, submitted, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) != submitted)
        g_cond_wait(&all_done, &mutex);
    __atomic_store_n(&awaited, UINT64_MAX, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&mutex);
}

static inline uint64_t the_result(the_future *slot)
{
    if (__atomic_load_n(&done, __ATOMIC_SEQ_CST) != submitted)
        wait_for_all();
    return slot->value;
}

#include "../pool.h"
