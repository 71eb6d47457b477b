/* Threads, as the rooms above need them.

   SPDX-License-Identifier: MIT */
#ifndef SP_THREAD_THREAD_H
#define SP_THREAD_THREAD_H

#include <stdbool.h>

#include <spool/thread.h>

#include "base/list.h"
#include "base/nested.h"
#include "os/os.h"
#include "park/runner.h"
#include "task/task.h"

/* README.md, "A thread's life". */
enum sp__thread_state { SP__THREAD_RUNNING, SP__THREAD_ENDED, SP__THREAD_LATE, SP__THREAD_LEFT, SP__THREAD_GONE };

struct sp__thread_name {
    struct sp__thread_name
        *older;       /* guarded by the registry lock: names given before, each text once, up to NAMES_KEPT */
    const char *text; /* behind this, unless it is static */
};

struct sp_thread {
    uint32_t refs;               /* atomic; see README.md, invariant 1 */
    struct sp__nested_call last; /* when nobody holds it any more: what is left to be dropped */
    uint32_t handles;            /* guarded by the registry lock */
    uint32_t state;              /* atomic; enum sp__thread_state; parked on by joiners */
    uint32_t collector;  /* atomic; 1: a joiner is collecting the OS thread, or tries to; parked on with `state` */
    bool daemon, worker; /* set once before the start; a worker belongs to a pool, which waits for it */
    bool internal;       /* set once: it is nobody's business, and not enumerated */
    bool listed;         /* guarded by the registry lock: it has been put into the registry's list */
    bool exits;          /* guarded by the registry lock: it has called exit(), counts as ended, and runs handlers */
    bool is_ending;      /* its own: the end of its task was seen, however it came */
    bool foreign;        /* set once: not started here, never collected: main, and threads of somebody else's */
    uint32_t process; /* sp__process_number of the process that has it; changes in the child, for the forking thread */
    const sp_task *task;          /* set once before the start */
    sp_status status;             /* written before ENDED */
    sp_error *error;              /* written before ENDED; NULL on success */
    struct sp__thread_name *name; /* atomic; newest */
    uint64_t ident;               /* set once: the id of its runner */
    uint64_t native_id;           /* atomic; 0 until the thread runs; parked on by those who ask */
    struct sp__list link;         /* guarded by the registry lock: linked until GONE */
    struct sp__list orphan;       /* guarded by the registry lock: linked when it has ended and nobody can join it */
    struct sp__list failed;       /* guarded by the registry lock: linked while nobody has looked at the error */
    struct sp__runner *runner;    /* set once; lives while RUNNING: `own`, or a foreign thread's */
    struct sp__runner own;        /* of a thread that was started here */
    struct sp__os_thread os;      /* set by the start; the collector's later */
    const struct sp__thread_owner *owner; /* set once; NULL: the thread is on its own */
    void *owned;                          /* set once; for the owner's functions */
    void *arg, *result;                   /* inside this block */
};

/* Is it a thread of the process that this one was forked from?  Then it is not here: what had not ended never will, it is in
   no list, and nobody waits for it. */
static inline bool sp__thread_is_inherited(const sp_thread *thread)
{
    return thread->process != sp__process_number;
}

/* Told of the end of a thread that works for somebody, in that thread. */
struct sp__thread_owner {
    /* Its task will not return: pthread_exit(), pthread_cancel(); `exits`: it has called exit(), and never ends. */
    void (*abandoned)(void *owned, bool exits);
    /* Its last act: no code of a user's follows, but for destructors of the last round; or it has called exit(). */
    void (*left)(void *owned);
};

static inline bool sp__is_alive(uint32_t state)
{
    return state == SP__THREAD_RUNNING || state == SP__THREAD_ENDED;
}

struct sp__thread_plan {
    const char *name;   /* NULL: made of `prefix`, a number and the task */
    const char *prefix; /* NULL: "Thread" */
    bool daemon;
    bool worker;   /* of a pool: signals blocked, no excepthook, not waited for by sp_join_all */
    bool internal; /* of the library: not enumerated */
    size_t stack_size;
    const struct sp__thread_owner *owner; /* or NULL */
    void *owned;
    struct sp__os_traits *traits; /* CPUs, scheduling, signal mask; NULL: the caller's */
};

/* As sp_thread_start; NULL with errno set. */
sp_thread *sp__thread_start(const struct sp__thread_plan *plan, const sp_task *task, const void *arg);

/* ---- registry.c ---- */
void sp__registry_lock(void);
void sp__registry_unlock(void);
/* Make the process ready for threads: its exit handler.  An errno value. */
int sp__registry_prepare(void);
/* The exit handler has run.  What a later one makes is waited for by another, which the next sp__registry_prepare registers. */
void sp__registry_exited(void);
/* List a thread that runs, if it is not, or was, listed. */
void sp__registry_add(sp_thread *thread);
/* The thread is GONE: give up the registry's reference. */
void sp__registry_remove(sp_thread *thread);
/* The thread has called exit(): to all who wait for it it is GONE. */
void sp__registry_note_exit(sp_thread *thread);
/* Somebody looked at the thread's error, or is about to report it.  True: the caller is the first. */
bool sp__registry_take_failed(sp_thread *thread);
/* The thread's task has returned: publish it, note a failure.  True: no handle is left. */
bool sp__registry_end(sp_thread *thread);
/* Collect threads that are gone and that nobody joins.  Never waits. */
void sp__registry_collect(void);
/* The same, and wait first for all threads that have done their last act: no code of a user's is left in them. */
void sp__registry_finish_ending(void);
/* Under the registry lock: nobody has a handle any more, or the thread has ended without one. */
void sp__registry_note_orphan(sp_thread *thread);
/* A thread whose error nobody has looked at, with a reference; NULL: there is none. */
sp_thread *sp__registry_first_failure(void);
/* The first n threads that run, each with a new handle, into ret_threads (may be NULL for n 0).  How many there are. */
size_t sp__registry_list(sp_thread **ret_threads, size_t n);

/* Does everything that process exit waits for sleep in the library without a limit?  *ret_sleeps is the same number in two
   answers if nobody was awake in between. */
bool sp__registry_all_sleep(uint64_t *ret_sleeps);
/* As sp_join_all, until a deadline. */
bool sp__join_all(int64_t deadline);
/* The number of threads that were started here and are not collected.  *ret_settled: none of them is at its end. */
unsigned sp__registry_count_ours(bool *ret_settled);

/* Something else that process exit waits for: a pool. */
struct sp__drainable {
    struct sp__list link;                   /* guarded by the registry lock */
    const void *owner;                      /* an executor, as in sp__runner.pool: never waited for by its own tasks */
    bool (*retain)(struct sp__drainable *); /* under the registry lock; false: its end has begun */
    uint64_t number;                        /* set when it is added, to more than that of all before */
    bool (*rest)(struct sp__drainable *, int64_t deadline);  /* true: it had nothing to do; it is not closed */
    bool (*drain)(struct sp__drainable *, int64_t deadline); /* true: nothing is left, and it has removed itself */
    void (*release)(struct sp__drainable *);
};
void sp__drainable_add(struct sp__drainable *drainable);
void sp__drainable_remove(struct sp__drainable *drainable);

/* ---- exit.c ---- */
/* The process begins to exit, or goes on to: the calling thread counts as ended, everything else is waited for. */
void sp__exit(void);
/* The calling thread, which was started here, will tell if it calls exit(). */
void sp__exit_watch(sp_thread *thread);
/* The main thread has ended by pthread_exit(). */
void sp__exit_main_left(void);
void sp__exit_after_fork(void);

/* ---- start.c ---- */
/* All that is left to do when the thread's task is over: publish its end, report a failure. */
void sp__thread_end(sp_thread *thread);
/* Is it the calling thread, or does the calling thread's task run inside it? */
bool sp__thread_is_caller(const sp_thread *thread);
/* Its last act; `sure`: no user's code follows. */
void sp__thread_leave(sp_thread *thread, bool sure);

/* ---- join.c ---- */
/* Wait until the OS thread is gone, and collected; without a limit as a part of the graph of waits.  False: the deadline
   passed. */
bool sp__thread_finish(sp_thread *thread, int64_t deadline);
/* Collect it if it is gone.  False: it is not. */
bool sp__thread_try_finish(sp_thread *thread);
/* As sp_thread_join, until a deadline and for the status alone. */
sp_status sp__thread_join_until(sp_thread *thread, int64_t deadline);
/* The state has gone forward. */
void sp__thread_wake_joiners(sp_thread *thread);

/* ---- current.c ---- */
/* In the child of a fork: the calling thread is the main thread. */
void sp__main_after_fork(void);

/* ---- local.c ---- */
/* What a thread has in locals. */
struct sp__local_entry;
struct sp__locals {
    struct sp__local_entry *entries; /* NULL: nothing */
    size_t count;
};
/* The calling thread ends: finalisers of what it has in locals. */
void sp__locals_finish(void);
/* Take away what the calling thread has in locals, so that it has nothing. */
struct sp__locals sp__locals_set_aside(void);
/* Finish what the thread has got since then, and give it back what it had. */
void sp__locals_restore(const struct sp__locals *before);

/* ---- timer.c ---- */
/* End the thread that keeps the time, if no timer is pending; the next timer starts another. */
void sp__timers_stop(void);
void sp__timers_after_fork(void);

/* ---- handle.c ---- */
/* A copy, one block; NULL: no memory. */
struct sp__thread_name *sp__thread_new_name(const char *text);
/* Under the registry lock. */
void sp__thread_add_handle(sp_thread *thread);
void sp__thread_ref_down(sp_thread *thread);
/* Around a fork the hook is at rest. */
void sp__excepthook_before_fork(void);
void sp__excepthook_after_fork(void);
/* Call the excepthook if the thread failed and nobody saw it. */
void sp__thread_report(sp_thread *thread);

#endif
