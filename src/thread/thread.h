/* Threads, as the rooms above need them.

   SPDX-License-Identifier: MIT */
#ifndef SP_THREAD_THREAD_H
#define SP_THREAD_THREAD_H

#include <stdbool.h>

#include <spool/thread.h>

#include "base/list.h"
#include "os/os.h"
#include "park/runner.h"
#include "task/task.h"

enum sp__thread_state { SP__THREAD_RUNNING, SP__THREAD_ENDED, SP__THREAD_JOINING, SP__THREAD_GONE };

struct sp__thread_name {
    struct sp__thread_name *older; /* names given before: a pointer to one of them may still be in use */
    char text[];
};

struct sp_thread {
    uint32_t refs;                /* atomic; see README.md, invariant 1 */
    uint32_t handles;             /* guarded by the registry lock */
    uint32_t state;               /* atomic; enum sp__thread_state; parked on by joiners */
    bool daemon, worker;          /* set once before the start; a worker belongs to a pool, which waits for it */
    bool lost_by_fork;            /* set in the child of a fork, which has one thread: it never ended, nobody has it */
    const sp_task *task;          /* set once before the start */
    sp_status status;             /* written before ENDED */
    sp_error *error;              /* written before ENDED; NULL on success */
    struct sp__thread_name *name; /* atomic; newest */
    uint64_t native_id;           /* atomic; 0 until the thread runs; parked on by those who ask */
    struct sp__list link;         /* guarded by the registry lock: linked until GONE */
    struct sp__list failed;       /* guarded by the registry lock: linked while nobody has looked at the error */
    struct sp__runner runner;     /* of the thread; id is set before the start */
    struct sp__os_thread os;      /* set by the start; the joiner's while JOINING */
    void *arg, *result;           /* inside this block */
};

struct sp__thread_plan {
    const char *name; /* NULL: "Thread-N (task)" */
    bool daemon;
    bool worker; /* of a pool: signals blocked, no excepthook, not waited for by sp_join_all */
    size_t stack_size;
};

/* As sp_thread_start; NULL with errno set. */
sp_thread *sp__thread_start(const struct sp__thread_plan *plan, const sp_task *task, const void *arg);

/* ---- registry.c ---- */
void sp__registry_lock(void);
void sp__registry_unlock(void);
/* Make the process ready for threads: exit handler, fork handler.  An errno value. */
int sp__registry_prepare(void);
void sp__registry_add(sp_thread *thread);
/* The thread is GONE: give up the registry's reference. */
void sp__registry_remove(sp_thread *thread);
/* Somebody looked at the thread's error, or is about to report it.  True: the caller is the first. */
bool sp__registry_take_failed(sp_thread *thread);
/* The thread's task has returned: publish it, note a failure.  True: no handle is left. */
bool sp__registry_end(sp_thread *thread);
/* Collect threads that have ended and that nobody joins. */
void sp__registry_collect(void);

/* Something else that process exit waits for: a pool. */
struct sp__drainable {
    struct sp__list link;                   /* guarded by the registry lock */
    const void *owner;                      /* compared with sp__runner.pool: never waited for by itself */
    bool (*retain)(struct sp__drainable *); /* under the registry lock; false: its end has begun */
    bool (*drain)(struct sp__drainable *, int64_t deadline); /* true: nothing is left, and it has removed itself */
    void (*release)(struct sp__drainable *);
    void (*after_fork)(struct sp__drainable *); /* in the child */
};
void sp__drainable_add(struct sp__drainable *drainable);
void sp__drainable_remove(struct sp__drainable *drainable);

/* ---- join.c ---- */
/* Wait until the task has returned.  False: the deadline passed. */
bool sp__thread_wait_ended(sp_thread *thread, int64_t deadline);
/* Collect the OS thread, or wait until somebody else has.  pre: it has ended. */
void sp__thread_collect(sp_thread *thread);

/* The state has gone forward. */
void sp__thread_wake_joiners(sp_thread *thread);

/* ---- handle.c ---- */
void sp__thread_ref_down(sp_thread *thread);
void sp__excepthook_after_fork(void);
/* Call the excepthook if the thread failed and nobody saw it. */
void sp__thread_report(sp_thread *thread);

#endif
