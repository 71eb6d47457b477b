/* Steps with futures.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <string.h>

/* A call that is to be a task of the pool.  One of an inline pool runs in whoever waits, so any pool may wait for it. */
void call_enter_pool(struct call *call, int pool, bool is_inline)
{
    call->inside |= is_inline ? ~0u : pool >= 0 ? 1u << pool : 1u << POOLS;
    call->pool = pool;
    call->may_end_oddly = !is_inline;
}

void step_submit(struct actor *actor, const struct step *step)
{
    unsigned pool = step->a % POOLS;
    struct slot *slot = slot_free(actor);
    struct call call;
    if (slot == NULL || !may_submit(actor, pool) || !call_make(&call, actor, step, IN_TASK))
        return;
    call_enter_pool(&call, (int)pool, program.pools[pool].is_inline);
    *slot =
        (struct slot){ .kind = SLOT_FUTURE, .own = true, .pool = (int)pool, .script = call.script, .note = call.note };
    slot->future = sp_executor_submit(world.pools[pool], act_task, &call);
    check(slot->future != NULL);
}

void step_post(struct actor *actor, const struct step *step)
{
    unsigned pool = step->a % POOLS;
    struct call call;
    if (!may_submit(actor, pool) || !call_make(&call, actor, step, IN_TASK))
        return;
    call_enter_pool(&call, (int)pool, program.pools[pool].is_inline);
    sp_status status = sp_executor_post(world.pools[pool], act_task, &call);
    check(status == SP_OK || (status == SP_SHUT_DOWN && (fact(&world.closed) || world.in_child)) ||
          (status == SP_BROKEN_POOL && program.pools[pool].broken_at > 0) ||
          ((status == SP_MEMORY_ERROR || status == SP_OS_ERROR) && fact(&world.refuses)));
}

void step_result(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_FUTURE);
    if (slot == NULL)
        return;
    struct answer answer = { 0 };
    struct slot asked = *slot; /* the wait may run hooks; the slot is this actor's alone, though */
    double begin = now(), limit = limit_of_future(actor, &asked, step);
    sp_status status = step->b % 2 == 0 ? sp_future_result_of(asked.future, act_task, &answer, limit)
                                        : sp_result(asked.future, &answer, limit);
    check_end(actor, &asked, status, &answer, limit);
    if (status == SP_TIMEOUT)
        check_waited(begin, limit);
    if (status == SP_OK)
        check(asked.note->ran == (asked.pool != NO_POOL) && sp_future_done(asked.future));
    if (step->c % 3 == 0)
        slot_release(slot);
}

/* Futures in the actor's hands, and how long they may be waited for. */
static size_t gather(const struct actor *actor, const struct step *step, sp_future *futures[SLOTS], double *ret_limit)
{
    size_t n = 0;
    *ret_limit = SP_FOREVER;
    for (unsigned i = 0; i < SLOTS; i++)
        if (actor->slots[i].kind == SLOT_FUTURE) {
            double limit = limit_of_future(actor, &actor->slots[i], step);
            futures[n++] = actor->slots[i].future;
            *ret_limit = limit < *ret_limit ? limit : *ret_limit;
        }
    return n;
}

static bool is_possible(const struct actor *actor, sp_status status)
{
    return status == SP_OK || status == SP_TIMEOUT ||
           (status == SP_DEADLOCK && (actor->place == IN_TASK || actor->place == IN_HOOK)) ||
           (status == SP_SHUT_DOWN && world.in_child) ||
           ((status == SP_MEMORY_ERROR || status == SP_OS_ERROR) && fact(&world.refuses));
}

void step_wait(struct actor *actor, const struct step *step)
{
    sp_future *futures[SLOTS];
    double begin = now(), limit;
    size_t n = gather(actor, step, futures, &limit), done = 0;
    sp_wait_until until = (sp_wait_until)(step->a % 3);
    sp_status status = sp_wait(futures, n, until, limit);
    check(is_possible(actor, status));
    for (size_t i = 0; i < n; i++)
        done += sp_future_done(futures[i]);
    if (status == SP_OK)
        check(until == SP_ALL_COMPLETED ? done == n : until == SP_FIRST_COMPLETED ? done > 0 || n == 0 : true);
    if (status == SP_TIMEOUT)
        check_waited(begin, limit);
}

void step_as_completed(struct actor *actor, const struct step *step)
{
    sp_future *futures[SLOTS], *future;
    double limit;
    size_t n = gather(actor, step, futures, &limit), given = 0;
    sp_completion *completion = sp_as_completed(futures, n, limit);
    while ((future = sp_next(completion)) != NULL) {
        check(sp_future_done(future) && ++given <= n);
        if (step->a % 4 == 0 && given == 1)
            break;
    }
    if (future == NULL) {
        sp_status status = sp_completion_status(completion);
        check(is_possible(actor, status));
        check(status != SP_OK || given == n || n > 1); /* the same may stand in it twice, by way of the shelf */
    }
    sp_completion_release(completion);
}

void step_cancel(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_FUTURE);
    if (slot == NULL || !sp_future_cancel(slot->future))
        return;
    count_up(&slot->note->cancelled);
    check(sp_future_cancelled(slot->future) && sp_future_done(slot->future) && slot->note->ran == 0);
    check(sp_future_cancel(slot->future));
}

static void on_done(sp_future *future, void *context)
{
    bool is_done = sp_future_done(future) && !sp_future_running(future);
    check(is_done ||
          fact(&world.refuses)); /* without memory it may be called before the end, where none can be waited for */
    count_up(&world.called);
    hook_run((unsigned)(uintptr_t)context);
}

void step_callback(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_FUTURE);
    if (slot == NULL)
        return;
    count_up(&world.added);
    spare_memory(!may_wait_for_ever(actor, slot)); /* without memory it waits */
    sp_future_add_done_callback(slot->future, on_done, (void *)(uintptr_t)(step->b % 2 == 0 ? step->script : SCRIPTS));
    spare_memory(false);
}

void step_look_at_future(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_FUTURE);
    if (slot == NULL)
        return;
    sp_future *future = sp_future_retain(slot->future);
    const struct call *call = sp_future_arg(future);
    check(call != NULL ? call->note == slot->note : fact(&world.refuses));
    bool was_done = sp_future_done(future);
    const sp_error *error = step->b % 2 == 0 ? sp_future_error(future) : NULL;
    check(error == NULL || (sp_future_done(future) && error->status != SP_OK && error->message != NULL));
    check(!(was_done && sp_future_running(future)));
    check(!sp_future_cancelled(future) || sp_future_done(future));
    check(call == NULL || strcmp(sp_future_task_name(future), "act") == 0);
    if (was_done)
        check(sp_future_wait(future, SP_NOWAIT));
    (void)sp_cancel_requested(); /* either is right */
    sp_future_release(future);
}

/* ---- a future that a thread ends ---- */

struct promise {
    sp_future *future; /* a handle of the thread's own */
    unsigned script;
};

static void keep(const struct promise *promise)
{
    sp_status end = program.scripts[promise->script].end;
    if (!sp_future_set_running(promise->future)) {
        check(world.in_child); /* a drop has forked in the start of this thread, and the future is cancelled */
        return;
    }
    if (end == SP_OK) {
        struct answer answer = { answer_value(promise->script), own_memory() };
        count_up(&world.results);
        check(sp_future_set_result(promise->future, &answer, sizeof answer) == SP_OK);
        check(sp_future_set_result(promise->future, &answer, sizeof answer) == SP_INVALID_STATE);
    } else {
        check(sp_future_set_error(promise->future, &(sp_error){ .status = end, .message = "promised" }) == SP_OK);
    }
}

static sp_status keep_promise(const struct promise *promise, sp_none *none)
{
    (void)none;
    keep(promise);
    return SP_OK;
}

static void drop_promise(void *promise)
{
    sp_future_release(((struct promise *)promise)->future);
}

SP_TASK_OWNING(keep_promise, struct promise, sp_none, drop_promise, NULL);

/* One that there was no memory for has failed already. */
static bool is_new(sp_future *future)
{
    return !sp_future_done(future);
}

static void have_promise_kept(struct actor *actor, const struct slot *slot, const struct step *step)
{
    struct slot kept = *slot;
    unsigned generation = world.generation;
    sp_thread *thread = sp_start(keep_promise, .future = sp_future_retain(kept.future), .script = kept.script);
    struct answer answer = { 0 };
    check(thread != NULL || fact(&world.refuses));
    if (thread == NULL || world.generation != generation) { /* as in thread_steps.c: a drop has forked meanwhile */
        check(sp_future_cancel(kept.future) || world.in_child);
        return;
    }
    double limit = step->b % 2 == 0 ? SP_FOREVER : short_limit(step);
    sp_status status = sp_result(kept.future, &answer, limit);
    check_end(actor, &kept, status, &answer, limit);
    check(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
    sp_thread_release(thread);
}

void step_own_future(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_free(actor);
    struct call call;
    if (actor->light || slot == NULL || !call_make(&call, actor, step, IN_THREAD))
        return;
    sp_future *future = sp_future_new(act_task, &call);
    *slot = (struct slot){
        .kind = SLOT_FUTURE, .own = true, .pool = NO_POOL, .script = call.script, .note = call.note, .future = future
    };
    if (!is_new(future)) {
        check(fact(&world.refuses));
        return;
    }
    if (step->a % 3 == 0)
        check(sp_future_cancel(future));
    else
        have_promise_kept(actor, slot, step);
    check(sp_future_done(future) || world.in_child);
}

/* ---- futures that go from hand to hand ---- */

void step_lend(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_FUTURE), *shelf = &world.shelf[step->b % SLOTS];
    struct slot old = { .kind = SLOT_FREE };
    if (slot == NULL || pthread_mutex_lock(&world.shelf_lock) != 0)
        return;
    old = *shelf;
    *shelf = *slot;
    shelf->own = false;
    shelf->future = sp_future_retain(slot->future);
    pthread_mutex_unlock(&world.shelf_lock);
    slot_release(&old);
}

void step_give_back(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_free(actor), *shelf = &world.shelf[step->b % SLOTS], *mine;
    if (step->a % 2 == 0) {
        mine = slot_of(actor, step->c, (enum slot_kind)(SLOT_THREAD + step->c % 3));
        if (mine != NULL)
            slot_release(mine);
        return;
    }
    if (slot == NULL || pthread_mutex_lock(&world.shelf_lock) != 0)
        return;
    *slot = *shelf;
    *shelf = (struct slot){ .kind = SLOT_FREE };
    pthread_mutex_unlock(&world.shelf_lock);
}
