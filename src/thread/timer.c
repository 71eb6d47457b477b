/* Timers: one thread keeps the time for all, a heap says which is next, a due task runs on a thread of its own.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include <spool/lock.h>
#include <spool/sync.h>

#include "base/refcount.h"
#include "park/deadline.h"
#include "sync/condition.h"
#include "thread/thread.h"

/* PENDING goes to CANCELLED, or over FIRING to STARTED or FAILED: whoever changes it under the lock decides the race. */
enum state { PENDING, FIRING, STARTED, CANCELLED, FAILED };

struct sp_timer {
    uint32_t refs;                /* atomic: the user's, and the heap's while it is in there or fires */
    struct sp__nested_call last;  /* when nobody holds it any more: what is left to be dropped */
    uint32_t process;             /* set once; sp__process_number when it was made */
    const sp_task *task;          /* set once */
    int64_t due;                  /* set once */
    enum state state;             /* guarded by lock */
    size_t at;                    /* guarded by lock; in the heap, while PENDING */
    sp_thread *thread;            /* guarded by lock; of the task, from STARTED on */
    bool seen;                    /* guarded by lock: somebody was told that it FAILED */
    int os_errno;                 /* guarded by lock; of FAILED */
    bool owns_arg;                /* guarded by lock: the argument was not given to a thread */
    struct sp__os_traits *traits; /* set once; the signal mask of the one who started it, for the task */
    sp_condition decided;         /* of lock: it is not PENDING or FIRING any more */
    _Alignas(max_align_t) unsigned char arg[];
};

static sp_lock lock;
static sp_condition earlier; /* of lock: the timer thread sleeps here */
static sp_condition drained; /* of lock: no timer is PENDING or FIRING any more */
static struct {
    sp_timer **timers; /* a binary heap: the next one first */
    size_t size, capacity;
    bool has_thread;   /* the timer thread was started, or is about to be */
    bool stops;        /* it is to end */
    bool is_drainable; /* process exit knows of us */
} heap;                /* guarded by lock */

/* Atomic, written under lock: timers that are PENDING or FIRING, or that the timer thread gives up. */
static uint64_t pending;
static uint64_t keeper; /* atomic: the id of the timer thread, 0 before there was one */

/* ---- the heap; all under the lock ---- */

static void put_at(size_t at, sp_timer *timer)
{
    heap.timers[at] = timer;
    timer->at = at;
}

static void sift_up(sp_timer *timer)
{
    size_t at = timer->at;
    for (; at > 0 && heap.timers[(at - 1) / 2]->due > timer->due; at = (at - 1) / 2)
        put_at(at, heap.timers[(at - 1) / 2]);
    put_at(at, timer);
}

static void sift_down(sp_timer *timer)
{
    size_t at = timer->at;
    for (size_t child; (child = 2 * at + 1) < heap.size; at = child) {
        if (child + 1 < heap.size && heap.timers[child + 1]->due < heap.timers[child]->due)
            child++;
        if (heap.timers[child]->due >= timer->due)
            break;
        put_at(at, heap.timers[child]);
    }
    put_at(at, timer);
}

enum { FIRST_CAPACITY = 16 };

/* False: no memory; then all is as it was. */
static bool resize(size_t capacity)
{
    sp_timer **timers = sp__os_alloc(capacity * sizeof(sp_timer *));
    if (timers == NULL)
        return false;
    if (heap.size > 0)
        memcpy(timers, heap.timers, heap.size * sizeof(sp_timer *));
    sp__os_free(heap.timers);
    heap.timers = timers;
    heap.capacity = capacity;
    return true;
}

static bool reserve(void)
{
    return heap.size < heap.capacity || resize(heap.capacity > 0 ? heap.capacity * 2 : FIRST_CAPACITY);
}

static void take_out(sp_timer *timer)
{
    sp_timer *last = heap.timers[--heap.size];
    if (last != timer) {
        put_at(timer->at, last);
        sift_up(last);
        sift_down(last);
    }
    if (heap.capacity > FIRST_CAPACITY && heap.size <= heap.capacity / 4) /* as in queue/pile.c */
        (void)resize(heap.capacity / 2);
}

/* ---- references ---- */

static void report_failure(const sp_timer *timer)
{
    sp_error error = { .status = SP_OS_ERROR,
                       .os_errno = timer->os_errno,
                       .task = timer->task->name,
                       .file = timer->task->file != NULL ? timer->task->file : "?",
                       .message = "the timer's thread could not be started" };
    sp__unseen_error(&error);
}

static void drop_and_free(struct sp__nested_call *last)
{
    sp_timer *timer = sp__container_of(last, sp_timer, last);
    if (timer->state == FAILED && !timer->seen && timer->process == sp__process_number)
        report_failure(timer);
    if (timer->owns_arg)
        sp__task_drop(timer->task->drop_arg, timer->arg);
    sp_thread_release(timer->thread);
    sp__os_traits_release(timer->traits);
    sp__os_free(timer);
}

static void ref_down(sp_timer *timer)
{
    if (!sp__ref_down(&timer->refs))
        return;
    timer->last.run = drop_and_free; /* an argument may own a timer, whose argument owns a timer ... */
    sp__call_nested(&timer->last);
}

void sp_timer_release(sp_timer *timer)
{
    if (timer != NULL)
        ref_down(timer);
}

/* ---- the timer thread ---- */

/* Under the lock: the timer has left PENDING and FIRING. */
static void decide(sp_timer *timer, enum state state)
{
    timer->state = state;
    sp_condition_notify_all(&timer->decided);
}

/* Under the lock: who waits for all timers need not wait for this one any more. */
static void count_off(void)
{
    /* release: what the timer thread has dropped happens before the return of sp_join_all; pairs with has_pending */
    if (sp__sub_acq_rel(&pending, 1) == 1)
        sp_condition_notify_all(&drained);
}

/* NULL: the timer thread is to end. */
static sp_timer *await_due(void)
{
    for (;;) {
        if (heap.stops && heap.size == 0)
            return NULL;
        sp_timer *next = heap.size > 0 ? heap.timers[0] : NULL;
        if (next != NULL && sp__deadline_passed(next->due))
            return next;
        (void)sp__condition_wait_until(&earlier, &lock, next != NULL ? next->due : SP__NEVER);
    }
}

/* Start the task of a timer that is due.  The lock is given up meanwhile.  False: a drop or a hook has forked, and this is the
   child, whose timers have another thread. */
static bool fire(sp_timer *timer)
{
    const uint32_t process = sp__process_number;
    take_out(timer);
    timer->state = FIRING;
    timer->owns_arg = false;
    sp_lock_release(&lock);
    sp_thread *thread = sp__thread_start(&(struct sp__thread_plan){ .prefix = "Timer", .traits = timer->traits },
                                         timer->task, timer->arg);
    int error = errno;
    if (process != sp__process_number)
        return false;
    sp_lock_acquire(&lock);
    timer->thread = thread;
    timer->os_errno = error;
    decide(timer, thread != NULL ? STARTED : FAILED);
    sp_lock_release(&lock);
    ref_down(timer); /* may drop the argument, and tell of an error: before it is counted off */
    if (process != sp__process_number)
        return false;
    sp_lock_acquire(&lock);
    count_off();
    return true;
}

static sp_status keep_time(const void *arg, void *result)
{
    (void)arg, (void)result;
    sp__store_relaxed(&keeper, sp__self_id()); /* relaxed: for has_pending, in this thread */
    sp_lock_acquire(&lock);
    for (sp_timer *due; (due = await_due()) != NULL;)
        if (!fire(due))
            return SP_OK;
    heap.has_thread = heap.stops = false;
    sp_condition_notify_all(&earlier); /* whoever has stopped us waits here */
    sp_lock_release(&lock);
    return SP_OK;
}

static const sp_task keep_time_task = { .struct_size = sizeof(sp_task),
                                        .name = "keep_time",
                                        .file = __FILE__,
                                        .arg_size = 1,
                                        .result_size = 1,
                                        .run = keep_time };

/* An errno value. */
static int start_timer_thread(void)
{
    struct sp__os_traits *traits = sp__os_traits_of_main(); /* not of whoever started the first timer */
    struct sp__thread_plan plan = {
        .name = "spool-timer", .daemon = true, .worker = true, .internal = true, .traits = traits
    };
    sp_thread *thread = traits != NULL ? sp__thread_start(&plan, &keep_time_task, "") : NULL;
    int error = traits != NULL ? errno : ENOMEM;
    sp__os_traits_release(traits);
    if (thread == NULL)
        return error;
    sp_thread_release(thread);
    return 0;
}

void sp__timers_stop(void)
{
    sp_lock_acquire(&lock);
    heap.stops = heap.has_thread;
    sp_condition_notify_all(&earlier);
    while (heap.stops && heap.size == 0)
        (void)sp__condition_wait_until(&earlier, &lock, SP__NEVER);
    heap.stops = false;                /* another timer came in between: its thread stays */
    sp_condition_notify_all(&earlier); /* it may have told us instead of that thread */
    sp_lock_release(&lock);
}

/* ---- process exit: what is pending is waited for ---- */

/* What the timer thread runs itself, drops and hooks, waits for no timer: these wait for that thread. */
static bool has_pending(struct sp__drainable *drainable)
{
    (void)drainable;
    /* acquire: when it is 0, pairs with count_off.  relaxed: `keeper` is this thread's own store, if it is the one */
    return sp__load_acquire(&pending) > 0 && sp__load_relaxed(&keeper) != sp__self_id();
}

static bool drain(struct sp__drainable *drainable, int64_t deadline)
{
    bool in_time = true;
    sp_lock_acquire(&lock);
    while (has_pending(drainable) && in_time) {
        in_time = !sp__deadline_passed(deadline);
        if (in_time)
            (void)sp__condition_wait_until(&drained, &lock, deadline);
    }
    sp_lock_release(&lock);
    return in_time;
}

static void nothing(struct sp__drainable *drainable)
{
    (void)drainable;
}

static struct sp__drainable timers = {
    .owner = &timers, .retain = has_pending, .rest = drain, .drain = drain, .release = nothing
};

void sp__timers_after_fork(void)
{
    memset(&lock, 0, sizeof lock);
    memset(&earlier, 0, sizeof earlier);
    memset(&drained, 0, sizeof drained);
    sp__store_relaxed(&pending, 0); /* relaxed: alone in the child */
    sp__store_relaxed(&keeper, 0);  /* relaxed: as above; it may be this thread, which keeps no time any more */
    memset(&heap, 0, sizeof heap);  /* the parent's timers are closed here; their memory is theirs */
}

/* ---- the interface ---- */

static sp_timer *new_timer(double seconds, const sp_task *task, const void *arg)
{
    sp_timer *timer = sp__os_zalloc(sizeof *timer + task->arg_size);
    if (timer == NULL)
        return NULL;
    timer->traits = sp__os_traits_signals();
    if (timer->traits == NULL) {
        sp__os_free(timer);
        return NULL;
    }
    timer->refs = 2; /* user, heap */
    timer->process = sp__process_number;
    timer->task = task;
    timer->due = sp__deadline(seconds);
    timer->owns_arg = true;
    memcpy(timer->arg, arg, task->arg_size);
    return timer;
}

/* Under the lock: what the first timer of a process needs.  An errno value. */
static int prepare(void)
{
    if (!heap.is_drainable) {
        int error = sp__registry_prepare();
        if (error != 0)
            return error;
        sp__drainable_add(&timers);
        heap.is_drainable = true;
    }
    if (heap.has_thread)
        return 0;
    int error = start_timer_thread();
    heap.has_thread = error == 0;
    return error;
}

static int enter(sp_timer *timer)
{
    sp_lock_acquire(&lock);
    int error = reserve() ? prepare() : ENOMEM;
    if (error == 0) {
        timer->at = heap.size++;
        sp__add_relaxed(&pending, 1); /* relaxed: as in decide */
        sift_up(timer);
        if (timer->at == 0)
            sp_condition_notify(&earlier, 1);
    }
    sp_lock_release(&lock);
    return error;
}

sp_timer *sp_timer_new(double seconds, const sp_task *task, const void *arg)
{
    int error = sp__is_nan(seconds) ? EINVAL : 0;
    sp_timer *timer = error == 0 ? new_timer(seconds, task, arg) : NULL;
    if (timer == NULL) {
        sp__task_drop_foreign_arg(task, arg);
        errno = error != 0 ? error : ENOMEM;
        return NULL;
    }
    error = enter(timer);
    if (error != 0) {
        timer->refs = 1;
        ref_down(timer); /* drops the argument */
        errno = error;
        return NULL;
    }
    return timer;
}

bool sp_timer_cancel(sp_timer *timer)
{
    if (timer == NULL || timer->process != sp__process_number)
        return false;
    sp_lock_acquire(&lock);
    bool was_pending = timer->state == PENDING;
    if (was_pending) {
        take_out(timer);
        decide(timer, CANCELLED);
        count_off();
    }
    bool never_runs = timer->state == CANCELLED || timer->state == FAILED;
    sp_lock_release(&lock);
    if (was_pending)
        ref_down(timer);
    return never_runs;
}

/* Wait until it is decided what becomes of the timer.  False: the deadline passed. */
static bool await_decision(sp_timer *timer, int64_t deadline, enum state *ret_state)
{
    bool decided;
    sp_lock_acquire(&lock);
    while (!(decided = timer->state > FIRING) && !sp__deadline_passed(deadline))
        (void)sp__condition_wait_until(&timer->decided, &lock, deadline);
    *ret_state = timer->state;
    timer->seen = timer->seen || timer->state == FAILED;
    sp_lock_release(&lock);
    return decided;
}

/* pre: the caller has a reference. */
static sp_status join(sp_timer *timer, int64_t deadline)
{
    enum state state;
    if (!await_decision(timer, deadline, &state))
        return SP_TIMEOUT;
    if (state == CANCELLED)
        return SP_CANCELLED;
    if (state == FAILED)
        return SP_OS_ERROR;
    return sp__thread_join_until(timer->thread, deadline);
}

sp_status sp_timer_join(sp_timer *timer, double timeout)
{
    if (timer == NULL)
        return SP_MEMORY_ERROR;
    if (sp__is_nan(timeout))
        return SP_VALUE_ERROR;
    if (timer->process != sp__process_number)
        return SP_SHUT_DOWN;
    sp__ref_up(&timer->refs); /* another thread, or the task itself, may release the handle meanwhile */
    sp_status status = join(timer, sp__deadline(timeout));
    ref_down(timer);
    return status;
}
