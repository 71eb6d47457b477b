/* A pool written by hand: a list of tasks under a mutex and a condition; a future for each, malloc'ed, with its own mutex and
   condition.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_PTHREAD_POOL_H
#define BENCH_PTHREAD_POOL_H

#include "../bench.h"

struct future {
    pthread_mutex_t mutex;
    pthread_cond_t is_done;
    bool done;
    uint64_t (*run)(uint64_t);
    uint64_t value; /* of the argument, then of the result */
    struct future *next;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
    bool closed;
    struct future *first, **end;
} pool = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, NULL, &pool.first };

/* NULL: closed and empty. */
static struct future *pool_take(void)
{
    pthread_mutex_lock(&pool.mutex);
    while (pool.first == NULL && !pool.closed)
        pthread_cond_wait(&pool.not_empty, &pool.mutex);
    struct future *future = pool.first;
    if (future != NULL) {
        pool.first = future->next;
        if (pool.first == NULL)
            pool.end = &pool.first;
    }
    pthread_mutex_unlock(&pool.mutex);
    return future;
}

static void *pool_work(void *unused)
{
    for (struct future *future = pool_take(); future != NULL; future = pool_take()) {
        uint64_t value = future->run(future->value);
        pthread_mutex_lock(&future->mutex);
        future->value = value;
        future->done = true;
        pthread_cond_signal(&future->is_done); /* before unlocking: then the waiter may free it */
        pthread_mutex_unlock(&future->mutex);
    }
    return unused;
}

static void the_pool_run(void (*body)(void))
{
    pthread_t threads[BENCH_WORKERS];
    for (int i = 0; i < BENCH_WORKERS; i++)
        bench_start(&threads[i], pool_work, NULL);
    body();
    pthread_mutex_lock(&pool.mutex);
    pool.closed = true;
    pthread_cond_broadcast(&pool.not_empty);
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < BENCH_WORKERS; i++)
        pthread_join(threads[i], NULL);
}

static struct future *pool_submit(uint64_t (*run)(uint64_t), uint64_t argument)
{
    struct future *future = (struct future *)malloc(sizeof *future);
    bench_check(future != NULL, "no memory");
    pthread_mutex_init(&future->mutex, NULL);
    pthread_cond_init(&future->is_done, NULL);
    future->done = false;
    future->run = run;
    future->value = argument;
    future->next = NULL;
    pthread_mutex_lock(&pool.mutex);
    *pool.end = future;
    pool.end = &future->next;
    pthread_mutex_unlock(&pool.mutex);
    pthread_cond_signal(&pool.not_empty);
    return future;
}

/* Waits, and frees the future. */
static uint64_t pool_result(struct future *future)
{
    pthread_mutex_lock(&future->mutex);
    while (!future->done)
        pthread_cond_wait(&future->is_done, &future->mutex);
    pthread_mutex_unlock(&future->mutex);
    uint64_t value = future->value;
    pthread_mutex_destroy(&future->mutex);
    pthread_cond_destroy(&future->is_done);
    free(future);
    return value;
}

#endif
