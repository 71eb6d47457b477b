/* The life of a future.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/pause.h"
#include "future/future.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/park.h"
#include "park/word_lock.h"

static const sp_task no_task = { .struct_size = sizeof no_task, .name = "?", .file = "?" };
static sp_error no_memory_error = { SP_MEMORY_ERROR, 0, "?", "?", 0, "no memory for the future" };
sp_future sp__future_no_memory = { .word = SP__FUTURE_REF | SP__FAILED | SP__FUTURE_SEEN,
                                   .task = &no_task,
                                   .error = &no_memory_error,
                                   .status = SP_MEMORY_ERROR };

_Static_assert(sizeof(sp_future) == 64 || sizeof(void *) != 8, "a cache line");

static size_t block_size(const sp_task *task)
{
    return sp__task_place(sizeof(sp_future) + task->arg_size, task->result_size) + task->result_size;
}

/* A task may leave its result alone, and drop_result may meet one that no task wrote.  Done by whoever is about to run the
   task or to drop the result, not at the submit: a large result costs nothing before. */
static void clear_result(sp_future *future)
{
    static const uint64_t zero;
    void *result = sp__future_result_bytes(future);
    size_t size = future->task->result_size;
    if (size <= sizeof zero)
        sp__copy(result, &zero, size);
    else
        memset(result, 0, size);
}

sp_future *sp__future_create(const sp_task *task, const void *arg, struct sp__owner *owner, unsigned refs)
{
    sp_future *future = sp__block_alloc(block_size(task));
    if (future == NULL)
        return NULL;
    *future = (sp_future){ .word = refs * SP__FUTURE_REF, .task = task, .owner = owner, .process = sp__process_number };
    sp__copy(sp__future_arg_bytes(future), arg, task->arg_size);
    return future;
}

sp_future *sp_future_new(const sp_task *task, const void *arg)
{
    sp_future *future = sp__future_create(task, arg, NULL, 1);
    if (future != NULL)
        return future;
    sp__task_drop_foreign_arg(task, arg);
    return &sp__future_no_memory;
}

static void destroy(sp_future *future);

/* Tell everybody that the future has ended.  `seen`: the word before; `drop`: as in complete(). */
static void tell(sp_future *future, uint64_t seen, bool drop)
{
    if (seen & SP__FUTURE_PARKED) /* without `drop` the address is only a number from here on */
        sp__unpark(&(struct sp__wake){
            .address = &future->word, .kind = SP__FUTURE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
    if (seen & SP__FUTURE_WATCHED)
        sp__watch_tell(future);
    else if (drop)
        sp_future_release(future);
}

/* Publish a terminal phase and tell everybody; with `drop` a reference of the caller's goes.  Without it the future may be
   gone when this returns: who is told may give up the last reference.  False: it was not in phase `from`. */
static bool complete(sp_future *future, enum sp__phase from, enum sp__phase terminal, bool drop)
{
    uint64_t seen;
    if (!sp__word_finish(&future->word, from, terminal, drop, &seen))
        return false;
    SP__PAUSE("future: done");
    if (seen & (SP__FUTURE_PARKED | SP__FUTURE_WATCHED))
        tell(future, seen, drop);
    else if (drop && sp__refs_of(seen) == 1)
        destroy(future);
    return true;
}

/* As complete, with an error that the future owns from now on. */
static void complete_failed(sp_future *future, enum sp__phase from, sp_status status, sp_error *error, bool drop)
{
    bool cancelled = status == SP_CANCELLED;
    /* relaxed: published by the terminal phase, both */
    sp__store_relaxed(&future->status, status);
    sp__store_relaxed(&future->error, error);
    /* relaxed: who marks it a moment later is met in report_unseen */
    if (!cancelled && !(sp__load_relaxed(&future->word) & SP__FUTURE_SEEN))
        sp__unseen_file(error);
    (void)complete(future, from, cancelled ? SP__CANCELLED : SP__FAILED, drop);
}

/* Completes a future whose task does not return. */
static void end_early(sp_future *future, const char *how, bool drop)
{
    complete_failed(future, SP__RUNNING, SP_RUNTIME_ERROR, sp__task_ended_early(future->task, how), drop);
}

/* A future that runs, and what its runner did before. */
struct run {
    sp_future *future;
    const void *task;
    const uint64_t *cancel_word;
    bool drop;
};

static void ended_early(void *argument)
{
    const struct run *run = argument;
    struct sp__runner *self = sp__self();
    self->task = run->task;
    self->cancel_word = run->cancel_word;
    end_early(run->future, SP__ENDED_BY_PTHREAD, run->drop);
}

void sp__future_run(sp_future *future, bool drop)
{
    struct sp__runner *self = sp__self();
    struct run run = { future, self->task, self->cancel_word, drop };
    sp_error *error = NULL;
    sp_status status;
    sp__store_relaxed(&future->runner, self->id); /* relaxed: for the graph of waits, see sp__future_runner */
    sp__store_relaxed(&future->thread_tag, sp__thread_tag()); /* relaxed: for sp__is_own_future in this thread */
    clear_result(future);
    SP__ON_UNWIND(ended_early, &run);
    status = sp__task_run(future->task, future, &future->word, sp__future_arg_bytes(future),
                          sp__future_result_bytes(future), &error);
    SP__END_UNWIND(false);
    if (status == SP_OK)
        (void)complete(future, SP__RUNNING, SP__FINISHED, drop);
    else
        complete_failed(future, SP__RUNNING, status, error, drop);
}

/* The thread has called exit() in a task: a runner has one future at most.  The exit itself says what is to be said. */
static void exits(struct sp__runner *runner)
{
    sp_future *future = runner->cancel_word != NULL ? (sp_future *)(uintptr_t)runner->task : NULL;
    if (future == NULL || sp__future_is_done(future))
        return;
    sp__future_mark_seen(future);
    end_early(future, SP__ENDED_BY_EXIT, false);
}

SP__CONSTRUCTOR static void be_told_of_exits(void)
{
    sp__runner_exits = exits;
}

bool sp__future_fail(sp_future *future, sp_status status, sp_error *error)
{
    if (!sp__word_move(&future->word, SP__PENDING, SP__SETTLING)) {
        sp__error_free(error);
        return false;
    }
    complete_failed(future, SP__SETTLING, status, error, false);
    return true;
}

/* ---- cancel ---- */

enum { PLACE_LOCKS = 64, CACHE_LINE = 64 };

static struct place_lock {
    struct sp__word_lock lock;
} __attribute__((aligned(CACHE_LINE))) place_locks[PLACE_LOCKS];

static uint64_t torn; /* changes in the child of a fork alone: a bit for each lock that was held at the fork */

static unsigned place_index(const sp_future *future)
{
    return (unsigned)(((uint64_t)(uintptr_t)future * UINT64_C(0x9E3779B97F4A7C15)) >> 58);
}
_Static_assert(PLACE_LOCKS == 1 << (64 - 58), "place_index takes as many bits as there are locks");

static struct sp__word_lock *place_lock_of(const sp_future *future)
{
    return &place_locks[place_index(future)].lock;
}

static uint64_t place_bit(const sp_future *future)
{
    return (uint64_t)1 << place_index(future);
}

void sp__place_lock(const sp_future *future) SP__UNCHECKED
{
    sp__word_lock_acquire(place_lock_of(future));
}

void sp__place_unlock(const sp_future *future) SP__UNCHECKED
{
    sp__word_lock_release(place_lock_of(future));
}

/* Cancel what may lie in the queue of an executor, and take it out of there.  The executor cannot go before we have told it:
   until then the future lies in its queue, or whoever has taken it out waits for the place lock.  False: it is not PENDING. */
static bool cancel_queued(sp_future *future)
{
    struct sp__owner *owner = future->owner;
    uint64_t seen;
    bool drop = false;
    sp__place_lock(future);
    bool done = sp__word_finish(&future->word, SP__PENDING, SP__CANCELLED, false, &seen);
    if (done)
        drop = owner->cancelled(owner, future);
    sp__place_unlock(future);
    if (!done)
        return false;
    if (drop)
        sp_future_release(future); /* the queue's; the caller has another */
    tell(future, seen, false);
    /* By its address alone: if the caller is no worker of it, it may be gone. */
    const struct sp__runner *worker = sp__runner_of_pool(owner);
    if (worker != NULL && owner->tidy != NULL)
        owner->tidy(owner, worker->worker);
    return true;
}

/* False: it is not PENDING. */
static bool cancel_pending(sp_future *future)
{
    if (sp__future_phase(future) != SP__PENDING)
        return false;
    if (future->owner != NULL && !sp__future_is_lost(future))
        return cancel_queued(future);
    if (future->owner != NULL)
        future->before = NULL; /* it lies in a queue of the parent's */
    return complete(future, SP__PENDING, SP__CANCELLED, false);
}

bool sp_future_cancel(sp_future *future)
{
    if (future == NULL)
        return false;
    if (cancel_pending(future))
        return true;
    enum sp__phase phase = sp__future_phase(future);
    if (phase < SP__FINISHED)
        sp__or_relaxed(&future->word, SP__FUTURE_CANCEL_REQUESTED); /* relaxed: a request publishes nothing */
    return phase == SP__CANCELLED;
}

bool sp_cancel_requested(void)
{
    const uint64_t *word = sp__self()->cancel_word;
    return word != NULL && (sp__load_relaxed(word) & SP__FUTURE_CANCEL_REQUESTED); /* relaxed: a request */
}

bool sp_future_set_running(sp_future *future)
{
    return future != NULL && future->owner == NULL && sp__future_claim(future);
}

/* In the child of a fork: was a thread of the parent about to settle it?  Else it may be settled here. */
static bool is_lost_while_settled(sp_future *future)
{
    /* relaxed: all who settle it here store the same; see sp__future_is_lost */
    if (sp__load_relaxed(&future->process) == sp__process_number)
        return false;
    if (sp__future_phase(future) == SP__SETTLING)
        return true;
    sp__store_relaxed(&future->process, sp__process_number); /* relaxed: published by the phase */
    return false;
}

/* Become the one that settles a future which belongs to no executor. */
static bool begin_settling(sp_future *future)
{
    if (future->owner != NULL || is_lost_while_settled(future))
        return false;
    return sp__word_move(&future->word, SP__PENDING, SP__SETTLING) ||
           sp__word_move(&future->word, SP__RUNNING, SP__SETTLING);
}

sp_status sp_future_set_result(sp_future *future, const void *value, size_t size)
{
    if (future == NULL)
        return SP_VALUE_ERROR;
    if (future != &sp__future_no_memory &&
        (value == NULL ? future->task->result_size > sizeof(sp_none) : size != future->task->result_size))
        return SP_TYPE_ERROR;
    if (!begin_settling(future))
        return SP_INVALID_STATE;
    if (value != NULL)
        memcpy(sp__future_result_bytes(future), value, size);
    else
        clear_result(future);
    (void)complete(future, SP__SETTLING, SP__FINISHED, false);
    return SP_OK;
}

sp_status sp_future_set_error(sp_future *future, const sp_error *error)
{
    if (future == NULL || error == NULL || error->status == SP_OK)
        return SP_VALUE_ERROR;
    if (!begin_settling(future))
        return SP_INVALID_STATE;
    sp_error named = *error;
    if (named.task == NULL)
        named.task = future->task->name;
    complete_failed(future, SP__SETTLING, error->status, sp__error_copy(&named), false);
    return SP_OK;
}

/* Whoever cancels it may just be taking it out of a queue: until then what lies in `error` is none, see `before`.  In a child,
   who cancelled it is not here: once, for from then on what lies there is a record. */
static void await_canceller(sp_future *future)
{
    sp__place_lock(future);
    if (sp__future_is_lost(future) && (torn & place_bit(future))) {
        sp__store_relaxed(&future->error, NULL);                 /* relaxed: the lock orders it */
        sp__store_relaxed(&future->process, sp__process_number); /* relaxed: as above */
    }
    sp__place_unlock(future);
}

sp_error *sp__future_error_of(sp_future *future)
{
    enum sp__phase phase = sp__future_phase(future);
    if (phase != SP__FAILED && phase != SP__CANCELLED)
        return NULL;
    if (phase == SP__CANCELLED && future->owner != NULL)
        await_canceller(future);
    /* acquire: pairs with the CAS below */
    sp_error *error = sp__load_acquire(&future->error);
    if (error != NULL)
        return error;
    const char *file = future->task->file != NULL ? future->task->file : "?";
    sp_error *made = sp__error_new(SP_CANCELLED, future->task->name, file, 0, sp_status_text(SP_CANCELLED));
    SP__PAUSE("future: error made");
    /* acq_rel: publishes the record; several may ask at once and one is kept */
    if (sp__cas_acq_rel(&future->error, &error, made))
        return made;
    sp__error_free(made);
    return error;
}

sp_status sp__future_status(sp_future *future)
{
    switch (sp__future_phase(future)) {
    case SP__FAILED:
        return future->status; /* published by the phase, which was acquired */
    case SP__CANCELLED:
        return SP_CANCELLED;
    default:
        return SP_OK;
    }
}

void sp__future_take_result(sp_future *future, void *ret_value)
{
    sp__copy(ret_value, sp__future_result_bytes(future), future->task->result_size);
    /* relaxed: read at the last release only, as in sp__future_mark_seen */
    sp__or_relaxed(&future->word, SP__FUTURE_TAKEN);
}

void sp__future_mark_seen(sp_future *future)
{
    /* relaxed: compared at the last release only, which the reference count orders */
    uint64_t before = sp__or_relaxed(&future->word, SP__FUTURE_SEEN);
    if (!(before & SP__FUTURE_SEEN) && sp__phase_of(before) == SP__FAILED)
        (void)sp__unseen_take(sp__load_relaxed(&future->error)); /* relaxed: the caller saw the terminal phase */
}

sp_future *sp_future_retain(sp_future *future)
{
    if (future != NULL && future != &sp__future_no_memory)
        sp__word_retain(&future->word);
    return future;
}

static void report_unseen(sp_future *future, uint64_t seen)
{
    sp_error *error = sp__load_relaxed(&future->error); /* relaxed: nobody else is left */
    /* relaxed: as above.  What had failed before a fork is the parent's to tell. */
    bool is_ours = sp__load_relaxed(&future->process) == sp__process_number;
    /* Taken in any case: it may have been marked while it was being filed. */
    if (sp__phase_of(seen) == SP__FAILED && sp__unseen_take(error) && is_ours && !(seen & SP__FUTURE_SEEN))
        sp__unseen_error(error);
    sp__error_free(error);
}

static void drop_result(sp_future *future, enum sp__phase phase)
{
    bool has_run = sp__load_relaxed(&future->runner) != 0; /* relaxed: nobody else is left */
    if (phase != SP__FINISHED && !has_run)
        clear_result(future);
    sp__task_drop(future->task->drop_result, sp__future_result_bytes(future));
}

/* What the end of a future calls of the user's, and its memory. */
static void drop_and_free(struct sp__nested_call *last)
{
    sp_future *future = sp__container_of(last, sp_future, last);
    const sp_task *task = future->task;
    uint64_t seen = sp__load_relaxed(&future->word); /* relaxed: nobody else is left */
    if (future->error != NULL)
        report_unseen(future, seen);
    sp__task_drop(task->drop_arg, sp__future_arg_bytes(future));
    if (task->drop_result != NULL && !(seen & SP__FUTURE_TAKEN))
        drop_result(future, sp__phase_of(seen));
    sp__block_free(future, block_size(task));
}

/* pre: nobody holds it any more, and the caller has acquired what they did. */
static void destroy(sp_future *future)
{
    const sp_task *task = future->task;
    if (future->watches != NULL)
        sp__watch_drop_callbacks(future);
    if (future->error == NULL && task->drop_arg == NULL && task->drop_result == NULL) {
        sp__block_free(future, block_size(task));
        return;
    }
    future->last.run = drop_and_free; /* drops may release the next future, which drops ... */
    sp__call_nested(&future->last);
}

void sp_future_release(sp_future *future)
{
    if (future != NULL && future != &sp__future_no_memory && sp__word_release(&future->word))
        destroy(future);
}

/* In the child of a fork. */
void sp__places_after_fork(void)
{
    for (unsigned i = 0; i < PLACE_LOCKS; i++)
        if (sp__load_relaxed(&place_locks[i].lock.word) != 0) { /* relaxed: alone in the child */
            torn |= (uint64_t)1 << i;
            place_locks[i].lock = (struct sp__word_lock){ 0 };
        }
}

void sp_release_all(sp_future *const *futures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sp_future_release(futures[i]);
}
