/* What the parent's threads are in the middle of when one forks: each does one thing, again and again, while its turn lasts.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_FORK_OTHERS_H
#define SP_TESTS_STRESS_FORK_OTHERS_H

#include "forked.h"

#include <spool.h>

#include "os/os.h"

enum { LOCKS = 3, RELAYS = 2, PROBES = 6 };

/* What they have in common with the child, which looks at each of these. */
static sp_lock contended[LOCKS], of_condition;
static sp_rlock rcontended[LOCKS];
static sp_condition condition;
static sp_semaphore tokens = SP_SEMAPHORE(1);
static sp_event flag;
static sp_barrier meeting = SP_BARRIER(2);
static sp_queue *ring, *chain, *pile;
static sp_executor *pool;
static sp_thread *held_thread;
static sp_timer *held_timer;
static sp_future *relay[RELAYS]; /* atomic; somebody is about to set it, or has */

static bool is_child; /* in the child, and what that forks */
static uint32_t over; /* atomic */
static sp_event stop;
static sp_semaphore ready;
static uint32_t told; /* atomic; how many unseen errors the hook was told of in this process */

struct other {
    void (*once)(uint64_t *random);
    bool allocates;
    sp_event turn;
};

static void count_told(const sp_error *error, void *context)
{
    (void)error, (void)context;
    (void)sp__add_relaxed(&told, 1); /* relaxed: a count */
}

static void be_silent(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
}

/* ---- tasks ---- */

static sp_status pass(const int *in, int *out)
{
    *out = *in + 1;
    return SP_OK;
}
SP_TASK(pass, int, int);

static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(fail_at_once, sp_none, sp_none);

static sp_status nest(const int *in, int *out)
{
    if (*in == 0)
        return SP_OK;
    sp_auto(sp_future) a = sp_executor_submit(pool, &pass_sp_task, in);
    sp_auto(sp_future) b = sp_executor_submit(pool, &pass_sp_task, in);
    sp_status status = sp_result(a, out, *in % 2 == 0 ? SP_FOREVER : 60.0);
    return status == SP_OK ? sp_result(b, out, SP_FOREVER) : status;
}
SP_TASK(nest, int, int);

static sp_status wait_for_stop(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&stop, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_stop, sp_none, sp_none);

/* ---- threads ---- */

static void start_and_join(uint64_t *random)
{
    int value = 0, in = (int)(test_random(random) % 100);
    sp_auto(sp_thread) thread = sp_start(pass, in);
    stress_expect(sp_join(thread, &value, SP_FOREVER) == SP_OK && value == in + 1);
}

static void start_and_forget(uint64_t *random)
{
    sp_thread_release(stress_one_in(2, random) ? sp_start(fail_at_once) : sp_start(pass, 1));
}

static void be_refused(uint64_t *random)
{
    (void)random;
    sp_thread *thread = sp_start_with(SP_THREAD(.stack_size = SIZE_MAX / 4), pass, 1);
    stress_expect(thread == NULL);
}

static void name_and_look(uint64_t *random)
{
    sp_thread *threads[4];
    size_t n = sp_thread_enumerate(threads, 4);
    stress_expect(sp_thread_set_name(sp_thread_current(), stress_one_in(2, random) ? "one" : "another") == SP_OK);
    for (size_t i = 0; i < n && i < 4; i++) {
        stress_expect(sp_thread_name(threads[i]) != NULL && sp_thread_native_id(threads[i]) != 0);
        sp_thread_release(threads[i]);
    }
    sp_set_unseen_error_hook(count_told, NULL);
}

static void use_timers(uint64_t *random)
{
    sp_timer *timer = sp_timer_start(stress_one_in(2, random) ? 0 : 60, pass, 1);
    sp_status status = sp_timer_cancel(timer) ? SP_OK : sp_timer_join(timer, SP_FOREVER);
    stress_expect(status == SP_OK);
    sp_timer_release(timer);
}

/* ---- values ---- */

/* Some hold it so long that a waiter becomes its heir. */
static void contend(uint64_t *random)
{
    uint64_t i = test_random(random) % LOCKS;
    int64_t until = sp__os_now() + (stress_one_in(3, random) ? 1200000 : 2000);
    sp_lock_acquire(&contended[i]);
    sp_rlock_acquire(&rcontended[i]);
    while (sp__os_now() < until)
        stress_linger(20);
    sp_rlock_release(&rcontended[i]);
    sp_lock_release(&contended[i]);
}

static void try_for_a_moment(uint64_t *random)
{
    uint64_t i = test_random(random) % LOCKS;
    if (sp_lock_acquire_timeout(&contended[i], 0.0015))
        sp_lock_release(&contended[i]);
}

static void wait_for_condition(uint64_t *random)
{
    (void)random;
    sp_lock_acquire(&of_condition);
    (void)sp_condition_wait(&condition, &of_condition, 0.0002);
    sp_condition_notify(&condition, 1);
    sp_lock_release(&of_condition);
}

static void use_values(uint64_t *random)
{
    if (sp_semaphore_acquire_timeout(&tokens, 0.0005)) {
        stress_dawdle(random);
        stress_expect(sp_semaphore_release(&tokens, 1) == SP_OK);
    }
    sp_event_set(&flag);
    sp_event_clear(&flag);
    (void)sp_event_wait(&flag, 0.0001);
}

static void meet(uint64_t *random)
{
    (void)random;
    if (sp_barrier_wait(&meeting, NULL, 0.0005) != SP_OK)
        sp_barrier_reset(&meeting);
}

/* ---- queues ---- */

static void use_bounded(uint64_t *random)
{
    uint64_t item = test_random(random);
    stress_expect(sp_put(ring, &item, SP_FOREVER) == SP_OK && sp_put(pile, &item, SP_FOREVER) == SP_OK);
    stress_expect(sp_get(pile, &item, SP_FOREVER) == SP_OK && sp_get(ring, &item, SP_FOREVER) == SP_OK);
}

static void use_chain(uint64_t *random)
{
    uint64_t item = test_random(random);
    for (int i = 0; i < 100; i++)
        stress_expect(sp_put(chain, &item, SP_FOREVER) == SP_OK);
    for (int i = 0; i < 100; i++)
        stress_expect(sp_get(chain, &item, SP_FOREVER) == SP_OK);
}

/* ---- pools and futures ---- */

static void submit(uint64_t *random)
{
    int value = 0, in = 1 + (int)(test_random(random) % 8);
    sp_auto(sp_future) future = sp_submit(pool, nest, in);
    stress_expect(sp_post(pool, pass, 1) == SP_OK);
    stress_expect(sp_result(future, &value, SP_FOREVER) == SP_OK && value == in + 1);
}

static void nothing_to_do(sp_future *future, void *context)
{
    (void)future, (void)context;
}

static void complete_sets(uint64_t *random)
{
    sp_future *futures[5];
    for (int i = 0; i < 5; i++) {
        futures[i] = sp_submit(pool, pass, i);
        sp_future_add_done_callback(futures[i], nothing_to_do, NULL);
    }
    if (stress_one_in(2, random))
        stress_expect(sp_wait(futures, 5, SP_FIRST_COMPLETED, SP_FOREVER) == SP_OK);
    sp_completion *set = sp_as_completed(futures, 5, SP_FOREVER);
    for (int i = 0; i < 5; i++)
        stress_expect(sp_next(set) != NULL);
    sp_completion_release(set);
    sp_release_all(futures, 5);
}

/* One that belongs to no pool: the child may set it as well, and tells whoever watches. */
static void set_relay(uint64_t *random)
{
    uint64_t i = test_random(random) % RELAYS;
    sp_future *future = sp_future_new(&pass_sp_task, &(int){ 1 }), *free_place = NULL;
    sp_future_add_done_callback(future, nothing_to_do, NULL);
    sp_completion *set = sp_as_completed(&future, 1, SP_FOREVER);
    bool shown = sp__cas_acq_rel(&relay[i], &free_place, future);
    stress_dawdle(random);
    stress_expect(sp_future_set_result(future, &(int){ 7 }, sizeof(int)) == SP_OK);
    stress_expect(sp_next(set) == future);
    if (shown)
        sp__store_release(&relay[i], NULL);
    sp_completion_release(set);
    sp_future_release(future);
}

static void raise_unseen(uint64_t *random)
{
    sp_future *failed = sp_submit(pool, fail_at_once), *own = sp_future_new(&fail_at_once_sp_task, "");
    stress_expect(sp_future_set_error(own, &(sp_error){ .status = SP_VALUE_ERROR, .message = "no" }) == SP_OK);
    if (stress_one_in(2, random))
        (void)sp_future_error(own);
    sp_future_release(failed);
    sp_future_release(own);
}

/* ---- the threads that do it ---- */

static struct other others[] = {
    { start_and_join, true, { 0 } },
    { start_and_forget, true, { 0 } },
    { be_refused, true, { 0 } },
    { name_and_look, true, { 0 } },
    { use_timers, true, { 0 } },
    { contend, false, { 0 } },
    { contend, false, { 0 } },
    { contend, false, { 0 } },
    { try_for_a_moment, false, { 0 } },
    { wait_for_condition, false, { 0 } },
    { wait_for_condition, false, { 0 } },
    { use_values, false, { 0 } },
    { use_values, false, { 0 } },
    { meet, false, { 0 } },
    { meet, false, { 0 } },
    { use_bounded, false, { 0 } },
    { use_bounded, false, { 0 } },
    { use_chain, true, { 0 } },
    { submit, true, { 0 } },
    { submit, true, { 0 } },
    { complete_sets, true, { 0 } },
    { set_relay, true, { 0 } },
    { set_relay, true, { 0 } },
    { raise_unseen, true, { 0 } },
};
enum { OTHERS = sizeof others / sizeof others[0] };
static pthread_t other_threads[OTHERS];

static void *take_turns(void *arg)
{
    struct other *other = arg;
    sp_lock own = { 0 };
    sp_lock_acquire(&own); /* so that the library knows the thread */
    sp_lock_release(&own);
    stress_expect(sp_semaphore_release(&ready, 1) == SP_OK);
    uint64_t random = (uint64_t)(uintptr_t)arg;
    /* It forks itself when it releases the last handle of a thread that failed, and the excepthook forks. */
    while (!is_child && (sp_event_wait(&other->turn, SP_FOREVER), !sp__load_acquire(&over)))
        other->once(&random);
    return NULL;
}

static void begin_others(void)
{
    sp__store_relaxed(&over, 0); /* relaxed: nobody works yet */
    sp_event_clear(&stop);
    for (int i = 0; i < OTHERS; i++)
        sp_event_clear(&others[i].turn);
    sp_set_unseen_error_hook(count_told, NULL);
    sp_set_excepthook(be_silent, NULL);
    ring = sp_queue_of(uint64_t, .maxsize = 2);
    pile = sp_queue_of(uint64_t, .maxsize = 2, .order = SP_LIFO);
    chain = sp_queue_of(uint64_t);
    pool = sp_thread_pool(.max_workers = 2, .idle_seconds = ADDRESS_SANITIZER ? 3600 : 0.002);
    held_thread = sp_start(wait_for_stop);
    held_timer = sp_timer_start(3600, pass, 1);
    for (int i = 0; i < OTHERS; i++)
        other_threads[i] = test_thread(take_turns, &others[i]);
    for (int i = 0; i < OTHERS; i++)
        sp_semaphore_acquire(&ready);
}

/* Some of them have their turn. */
static void let_others_work(uint64_t *random)
{
    uint64_t chosen = test_random(random) & test_random(random);
    for (int i = 0; i < OTHERS; i++)
        if ((chosen >> i & 1) != 0 && !(ADDRESS_SANITIZER && others[i].allocates))
            sp_event_set(&others[i].turn);
    for (uint64_t pauses = test_random(random) % 200; pauses > 0; pauses--)
        stress_dawdle(random);
}

/* The child has the CPUs. */
static void let_others_rest(void)
{
    for (int i = 0; i < OTHERS; i++)
        sp_event_clear(&others[i].turn);
}

static void end_others(void)
{
    sp__store_release(&over, 1);
    for (int i = 0; i < OTHERS; i++)
        sp_event_set(&others[i].turn);
    for (int i = 0; i < OTHERS; i++)
        test_join(other_threads[i]);
    sp_event_set(&stop);
    assert_int_equal(sp_join(held_thread, NULL, SP_FOREVER), SP_OK);
    assert_true(sp_timer_cancel(held_timer));
    sp_thread_release(held_thread);
    sp_timer_release(held_timer);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_queue_release(ring);
    sp_queue_release(pile);
    sp_queue_release(chain);
    assert_true(sp_join_all(SP_FOREVER));
    sp_set_unseen_error_hook(NULL, NULL);
    sp_set_excepthook(NULL, NULL);
    stress_assert_nothing_wrong();
}

#endif
