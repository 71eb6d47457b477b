/* Steps with threads and timers.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void keep_thread(struct slot *slot, sp_thread *thread, const struct call *call)
{
    check(thread != NULL || fact(&world.refuses));
    if (thread != NULL)
        *slot = (struct slot){
            .kind = SLOT_THREAD, .own = true, .script = call->script, .note = call->note, .thread = thread
        };
}

void step_start(struct actor *actor, const struct step *step)
{
    static const sp_thread_options options[] = {
        { .struct_size = sizeof(sp_thread_options) },
        { .struct_size = sizeof(sp_thread_options), .name = "a name that is longer than the system keeps" },
        { .struct_size = sizeof(sp_thread_options), .daemon = true },
        { .struct_size = sizeof(sp_thread_options), .stack_size = (size_t)256 << 10 },
    };
    struct slot *slot = slot_free(actor);
    struct call call;
    if (slot == NULL || !call_make(&call, actor, step, IN_THREAD))
        return;
    const sp_thread_options *chosen = step->a % 5 == 4 ? NULL : &options[step->a % 5];
    if (chosen != NULL && chosen->daemon)
        note_fact(&world.daemons);
    keep_thread(slot, sp_thread_start(chosen, act_task, &call), &call);
}

static void join_thread(const struct actor *actor, const struct slot *slot, const struct step *step)
{
    struct answer answer = { 0 };
    double begin = now(), limit = limit_of_own(actor, step);
    sp_status status = sp_join(slot->thread, &answer, limit);
    check_end(actor, slot, status, &answer, limit);
    if (status == SP_TIMEOUT)
        check_waited(begin, limit);
    else
        check(!sp_thread_is_alive(slot->thread));
}

static void join_timer(const struct actor *actor, const struct slot *slot, const struct step *step)
{
    struct answer answer = { answer_value(slot->script), NULL }; /* a timer's task has a result that nobody gets */
    double begin = now(), limit = limit_of_own(actor, step);
    sp_status status = sp_timer_join(slot->timer, limit);
    check_end(actor, slot, status, &answer, limit);
    if (status == SP_TIMEOUT)
        check_waited(begin, limit);
}

void step_join(struct actor *actor, const struct step *step)
{
    struct slot *thread = slot_of(actor, step->a, SLOT_THREAD), *timer = slot_of(actor, step->a, SLOT_TIMER);
    if (thread != NULL)
        join_thread(actor, thread, step);
    else if (timer != NULL)
        join_timer(actor, timer, step);
    if (step->b % 2 == 0 && thread != NULL)
        slot_release(thread);
}

void step_look_at_thread(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->a, SLOT_THREAD);
    if (slot == NULL)
        return;
    sp_thread *thread = sp_thread_retain(slot->thread);
    check(sp_thread_ident(thread) != 0 && sp_thread_name(thread)[0] != '\0');
    if (step->b % 4 == 0)
        check(sp_thread_native_id(thread) != 0 || world.in_child);
    if (step->b % 4 == 1) {
        sp_status status = sp_thread_set_name(thread,
                                              step->c % 2 == 0 ? "worm" : "a name that is longer than fifteen bytes");
        check(status == SP_OK || (status == SP_MEMORY_ERROR && fact(&world.refuses)));
    }
    if (step->b % 4 == 2) {
        const sp_error *error = sp_thread_error(thread);
        check(error == NULL || error->status != SP_OK);
    }
    (void)sp_thread_is_alive(thread); /* either is right */
    (void)sp_thread_is_daemon(thread);
    sp_thread_release(thread);
}

void step_enumerate(struct actor *actor, const struct step *step)
{
    sp_thread *threads[16];
    size_t n = sp_thread_enumerate(threads, 16);
    double limit = short_limit(step);
    (void)actor;
    /* In a child the main thread may have left, or have no record for want of memory. */
    check(world.in_child || (n >= 1 && sp_thread_active_count() >= 1 && sp_thread_ident(sp_thread_main()) != 0));
    for (size_t i = 0; i < n && i < 16; i++) {
        check(sp_thread_ident(threads[i]) != 0 && sp_thread_name(threads[i])[0] != '\0');
        if (step->a % 3 == 0 && i == step->b % 16) {
            sp_status status = sp_thread_wait(threads[i], limit);
            check(status == SP_OK || status == SP_TIMEOUT || status == SP_DEADLOCK || world.in_child);
        }
        sp_thread_release(threads[i]);
    }
}

void step_join_all(struct actor *actor, const struct step *step)
{
    if (actor->light)
        return;
    note_fact(&world.closed);
    (void)sp_join_all(short_limit(step)); /* either is right */
}

/* ---- threads of somebody else ---- */

int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);

static void *foreign(void *arg)
{
    actor_run(arg);
    return NULL;
}

void step_foreign(struct actor *actor, const struct step *step)
{
    struct call call;
    pthread_t thread;
    if (actor->light || !call_make(&call, actor, step, IN_FOREIGN))
        return;
    check(__real_pthread_create(&thread, NULL, foreign, &call) == 0);
    check(pthread_join(thread, NULL) == 0);
    call_drop(&call);
}

/* ---- timers ---- */

static void start_timer(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_free(actor);
    struct call call;
    if (slot == NULL || !call_make(&call, actor, step, IN_TIMER))
        return;
    sp_timer *timer = sp_timer_new((double[]){ -1, 0, 1e-4, 1e-3 }[step->a % 4], act_task, &call);
    check(timer != NULL || fact(&world.refuses));
    if (timer != NULL)
        *slot =
            (struct slot){ .kind = SLOT_TIMER, .own = true, .script = call.script, .note = call.note, .timer = timer };
}

void step_timer(struct actor *actor, const struct step *step)
{
    struct slot *slot = slot_of(actor, step->b, SLOT_TIMER);
    if (slot == NULL || step->c % 2 == 0) {
        start_timer(actor, step);
        return;
    }
    if (sp_timer_cancel(slot->timer)) {
        check(slot->note->ran == 0);
        count_up(&slot->note->cancelled);
        sp_status status = sp_timer_join(slot->timer, SP_FOREVER);
        check(status == SP_CANCELLED || (status == SP_OS_ERROR && fact(&world.refuses)));
    }
    if (step->c % 4 == 1)
        slot_release(slot);
}

/* ---- threads that meet, threads that answer ---- */

/* A start collects threads that are gone, their arguments are dropped, and a drop may fork: in the child there is nobody to meet,
   and nobody who answers. */
static bool has_forked(unsigned generation)
{
    return world.generation != generation;
}

struct meeting {
    sp_barrier barrier;
    int indices, acted; /* atomic: the sum of those that were given out; how often the action ran */
};

static bool on_meeting(void *context)
{
    count_up(&((struct meeting *)context)->acted);
    return true;
}

static void arrive(struct meeting *meeting)
{
    unsigned index = 0;
    sp_status status = sp_barrier_wait(&meeting->barrier, &index, SP_FOREVER);
    check(status == SP_OK || status == SP_BROKEN_BARRIER);
    for (unsigned i = 0; i < index; i++)
        count_up(&meeting->indices);
}

static sp_status meet(struct meeting *const *meeting, sp_none *none)
{
    (void)none;
    arrive(*meeting);
    return SP_OK;
}

SP_TASK(meet, struct meeting *, sp_none);

void step_meet(struct actor *actor, const struct step *step)
{
    enum { MOST = 3 };
    unsigned n = 1 + step->a % MOST, started = 0, generation = world.generation;
    sp_thread *threads[MOST];
    if (actor->light)
        return;
    struct meeting *meeting = calloc_own(sizeof *meeting);
    meeting->barrier = (sp_barrier)SP_BARRIER_ACTION(n + 1, on_meeting, meeting);
    for (; started < n; started++)
        if ((threads[started] = sp_start(meet, meeting)) == NULL)
            break;
    if (has_forked(generation)) {
        sp_barrier_abort(&meeting->barrier); /* those that were started since look at it: it stays */
        return;
    }
    if (started == n)
        arrive(meeting);
    else
        sp_barrier_abort(&meeting->barrier);
    for (unsigned i = 0; i < started; i++) {
        check(sp_join(threads[i], NULL, SP_FOREVER) == SP_OK);
        sp_thread_release(threads[i]);
    }
    check(started == n ? meeting->acted == 1 && (unsigned)meeting->indices == n * (n + 1) / 2 : fact(&world.refuses));
    free(meeting);
}

struct question {
    sp_event event;
    sp_lock lock;
    sp_condition condition;
    bool is_answered;
    struct call call;
};

static sp_status answer(struct question *const *asked, sp_none *none)
{
    struct question *question = *asked;
    unsigned generation = world.generation;
    (void)none;
    actor_run(&question->call);
    if (has_forked(generation))
        return SP_OK; /* the lock may be lost with the thread that asks */
    SP_WITH(&question->lock)
    {
        question->is_answered = true;
        sp_condition_notify(&question->condition, 1);
    }
    sp_event_set(&question->event);
    return SP_OK;
}

SP_TASK(answer, struct question *, sp_none);

static void await_answer(struct question *question, bool by_event)
{
    if (by_event) {
        check(sp_event_wait(&question->event, SP_FOREVER));
        return;
    }
    SP_HOLD(&question->lock);
    while (!question->is_answered)
        check(sp_condition_wait(&question->condition, &question->lock, SP_FOREVER));
}

/* A thread that is waited for by what it does, without limit. */
void step_answer(struct actor *actor, const struct step *step)
{
    struct call call;
    if (actor->light || !call_make(&call, actor, step, IN_THREAD))
        return;
    struct question *question = calloc_own(sizeof *question);
    unsigned generation = world.generation;
    question->call = call;
    question->call.may_end_oddly = false; /* it has to answer */
    sp_thread *thread = sp_start(answer, question);
    if (has_forked(generation))
        return;
    check(thread != NULL || fact(&world.refuses));
    if (thread != NULL) {
        await_answer(question, step->a % 2 == 0);
        check(sp_thread_wait(thread, SP_FOREVER) == SP_OK);
        sp_thread_release(thread);
    }
    free(question);
    call_drop(&call);
}

/* The thread ends under its task, its hands empty. */
void step_odd_end(struct actor *actor, const struct step *step)
{
    (void)step;
    if (!actor->may_end_oddly)
        return;
    note_fact(&world.odd);
    if (actor->place == IN_TASK)
        note_fact(&world.lost);
    actor_release(actor);
    pthread_exit(NULL);
}
