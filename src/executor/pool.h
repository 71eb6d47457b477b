/* The thread pool from the inside.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_POOL_H
#define SP_EXECUTOR_POOL_H

#include <spool/lock.h>
#include <spool/sync.h>

#include "executor/executor.h"

struct sp__pool {
    sp_executor base;
    unsigned max_workers;             /* set once */
    size_t max_pending;               /* set once; 0: no bound */
    size_t stack_size;                /* set once */
    int64_t idle_nanoseconds;         /* set once; SP__NEVER: idle workers stay */
    sp_status (*initializer)(void *); /* set once, with the next two */
    void (*finalizer)(void *);
    void *initializer_arg;
    char *prefix; /* set once; of the workers' names */

    sp_lock lock;
    sp_condition work;             /* of lock: idle workers sleep here */
    sp_condition room;             /* of lock: submitters that met max_pending */
    sp_condition quiet;            /* of lock: a worker ended or was collected, a task ended */
    sp_future *first;              /* guarded by lock: the queue, linked by sp_future.next */
    sp_future *last;               /* guarded by lock */
    size_t queued;                 /* guarded by lock */
    struct sp__list loans;         /* guarded by lock: what sleeping workers wait for */
    unsigned lent;                 /* guarded by lock */
    unsigned workers;              /* guarded by lock: starting, idle or busy */
    unsigned idle;                 /* guarded by lock; README.md, invariant 2 */
    unsigned busy;                 /* guarded by lock: workers that run what they took */
    unsigned uncollected;          /* guarded by lock: worker nodes, from their start until they are collected */
    unsigned last_number;          /* guarded by lock: of the workers' names */
    struct sp__list ended;         /* guarded by lock: nodes of workers that have ended */
    bool closed;                   /* guarded by lock */
    bool broken;                   /* guarded by lock: the initializer failed */
    sp_error *why_broken;          /* guarded by lock; set once with broken */
    uint64_t submitted, completed; /* guarded by lock */
};

/* A worker, from the decision to start it until its OS thread is collected. */
struct sp__worker {
    struct sp__list link; /* guarded by the pool's lock: in `ended` */
    struct sp__pool *pool;
    sp_thread *thread; /* guarded by the pool's lock: NULL until the starter has stored it */
    bool has_ended;    /* guarded by the pool's lock */
};

static inline struct sp__pool *sp__pool_of(sp_executor *executor)
{
    return sp__container_of(executor, struct sp__pool, base);
}

/* ---- pool.c ---- */
/* Under the lock: wake an idle worker.  False: there is none. */
bool sp__pool_wake_worker(struct sp__pool *pool);
/* Under the lock: wake them all, to look at closed and broken. */
void sp__pool_wake_all_workers(struct sp__pool *pool);
/* Under the lock: take the whole queue, linked by next. */
sp_future *sp__pool_take_queue(struct sp__pool *pool);
/* Under the lock: the next future to run, with the reference that was the queue's; NULL: none. */
sp_future *sp__pool_take(struct sp__pool *pool);
/* Fail each of a chain of futures, dropping its reference. */
void sp__pool_fail_all(sp_future *chain, sp_status status, const sp_error *cause, const char *message);

/* ---- worker.c ---- */
/* Start a worker that is counted in `workers` and `uncollected`, with a reference on the pool.  An errno value; on failure
   the counts and the reference are given back. */
int sp__pool_start_worker(struct sp__pool *pool);

/* ---- shutdown.c ---- */
/* Under the lock, which is given up for it: collect a worker that has ended.  False: there is none. */
bool sp__pool_collect_one(struct sp__pool *pool);
sp_status sp__pool_shutdown(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline);
bool sp__pool_wait_idle(sp_executor *executor, int64_t deadline);
void sp__pool_destroy(sp_executor *executor);
void sp__pool_after_fork(struct sp__drainable *drainable);

#endif
