/* What the graph of waits finds on its way: the right runner among many, the right member of a set, whoever waits for the first
   time, a cycle of others.  What ends in abort is a child of its own, and so is what must not.

   SPDX-License-Identifier: MIT */
#include "deadlock/waiting.h"

#include <spool.h>

#include "os/fault.h"
#include "thread/thread.h"

static const char *program;
static sp_event never;

typedef sp_lock *lock_pointer;

/* Has the first, if there is one, and waits for the second. */
struct two {
    lock_pointer has, wants;
};

static sp_status take_two(const struct two *in, sp_none *out)
{
    (void)out;
    if (in->has != NULL)
        sp_lock_acquire(in->has);
    arrive();
    sp_lock_acquire(in->wants);
    sp_lock_release(in->wants);
    if (in->has != NULL)
        sp_lock_release(in->has);
    return SP_OK;
}
SP_TASK(take_two, struct two, sp_none);

static sp_thread *start_two(sp_lock *has, sp_lock *wants)
{
    sp_thread *thread = sp_start(take_two, has, wants);
    sp_semaphore_acquire(&arrived);
    return thread;
}

/* The same, but waits only when it may. */
static sp_status take_two_later(const struct two *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(in->has);
    arrive();
    (void)sp_event_wait(&go, SP_FOREVER);
    sp_lock_acquire(in->wants);
    sp_lock_release(in->wants);
    sp_lock_release(in->has);
    return SP_OK;
}
SP_TASK(take_two_later, struct two, sp_none);

static sp_thread *start_to_hold_x(void)
{
    sp_thread *thread = sp_start(hold_x);
    sp_semaphore_acquire(&arrived);
    return thread;
}

/* ---- threads whose ids come to lie in one bucket ---- */

/* As wait_graph.c does it. */
static unsigned bucket_of(uint64_t id)
{
    return (unsigned)((id * UINT64_C(0x9E3779B97F4A7C15)) >> 52);
}

/* Use up ids until the next one is such. */
static void skip_ids(uint64_t like)
{
    struct sp__runner runner;
    do {
        sp__runner_init(&runner, "nobody");
        sp__runner_forget(&runner);
    } while (bucket_of(runner.id + 2) != bucket_of(like));
}

/* The first of them is not the one that lies at the front. */
static void same_bucket(void)
{
    sp_thread *first = start_to_hold_x(), *second;
    do {
        skip_ids(first->own.id);
        second = start_two(NULL, &x);
    } while (bucket_of(second->own.id) != bucket_of(first->own.id) && (sp_thread_release(second), true));
    await_waiting(&second->own);
    sp_thread *third = start_two(NULL, &x);
    await_waiting(&third->own);
    sp_event_set(&go);
    end_thread(first);
    end_thread(second);
    end_thread(third);
}

/* ---- objects that come to lie in one bucket ---- */

struct sleeper {
    struct sp__edge edge;
    sp_event is_in, may_leave;
};

static uint64_t things[1 << 16]; /* each is the number of its owner */

static uint64_t owner_of_thing(const void *object)
{
    return *(const uint64_t *)object;
}

static void *sleep_in_graph(void *arg)
{
    struct sleeper *self = arg;
    assert_true(sp__edge_publish(&self->edge));
    sp_event_set(&self->is_in);
    sp_event_wait(&self->may_leave, SP_FOREVER);
    sp__edge_withdraw(&self->edge);
    return arg;
}

static pthread_t start_sleeper(struct sleeper *sleeper, const uint64_t *thing)
{
    *sleeper = (struct sleeper){ .edge = { .does = "waits for", .object = thing, .owner = owner_of_thing } };
    pthread_t thread = test_thread(sleep_in_graph, sleeper);
    sp_event_wait(&sleeper->is_in, SP_FOREVER);
    return thread;
}

static void end_sleeper(struct sleeper *sleeper, pthread_t thread)
{
    sp_event_set(&sleeper->may_leave);
    test_join(thread);
}

static uint64_t known_owner(const struct sleeper *sleeper)
{
    sp__graph_before_fork(); /* takes its lock */
    uint64_t owner = sleeper->edge.last_owner;
    sp__graph_after_fork_in_parent();
    return owner;
}

/* Of two who sleep for the first object one goes; the second object is still found, behind it. */
static void an_object_is_found_behind_another_for_which_one_sleeps_no_more(void **state)
{
    struct sleeper one, another, behind;
    uint64_t *first = things, *second = things + 1;
    (void)state;
    while (bucket_of((uint64_t)(uintptr_t)second) != bucket_of((uint64_t)(uintptr_t)first))
        assert_ptr_not_equal(++second, things + sizeof things / sizeof things[0]);
    pthread_t threads[] = { start_sleeper(&one, first), start_sleeper(&another, first),
                            start_sleeper(&behind, second) };
    end_sleeper(&one, threads[0]);
    *second = sp__self_id();
    sp__graph_look(second);
    uint64_t owner = known_owner(&behind);
    *second = 0;
    end_sleeper(&another, threads[1]);
    end_sleeper(&behind, threads[2]);
    assert_int_equal(owner, sp__self_id());
}

/* ---- through a set ---- */

static sp_status want_y(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&y);
    return SP_OK;
}
SP_TASK(want_y, sp_none, sp_none);

static sp_status want_x_when_main_waits(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    await_waiting(of_main);
    sp_lock_acquire(&x);
    return SP_OK;
}
SP_TASK(want_x_when_main_waits, sp_none, sp_none);

static sp_status hold_y(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&y);
    arrive();
    (void)sp_event_wait(&never, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold_y, sp_none, sp_none);

static sp_future *nobodys(void)
{
    return sp_future_new(&hold_y_sp_task, "");
}

/* Before the one by which the cycle leads stand one that nobody runs, and one that waits for something else. */
static void set(void)
{
    sp_executor *idle = sp_thread_pool(.max_workers = 1, .thread_name_prefix = "idle");
    sp_executor *closing = sp_thread_pool(.max_workers = 1, .thread_name_prefix = "closing");
    of_main = sp__self();
    sp_lock_acquire(&x);
    sp_thread_release(sp_start(hold_y));
    sp_semaphore_acquire(&arrived);
    sp_future *waits = sp_submit(idle, want_y);
    test_await(is_marked(&y));
    sp_future *futures[] = { nobodys(), waits,    nobodys(), sp_submit(closing, want_x_when_main_waits),
                             nobodys(), nobodys() };
    (void)!sp_wait(futures, 6, SP_ALL_COMPLETED, SP_FOREVER);
}

/* ---- a task that another one runs while it waits, and that waits for the first time ---- */

static sp_executor *pool;
static sp_thread *waiter;

static sp_status want_x(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&x);
    return SP_OK;
}
SP_TASK(want_x, sp_none, sp_none);

typedef sp_future *future_pointer;

static sp_status wait_with_x(const future_pointer *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&x);
    arrive();
    return sp_result(*in, NULL, SP_FOREVER);
}
SP_TASK(wait_with_x, future_pointer, sp_none);

/* The thread waits for the task before anybody runs it. */
static sp_status submit_and_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(pool, want_x);
    waiter = sp_start_with(SP_THREAD(.name = "waiter"), wait_with_x, inner);
    sp_semaphore_acquire(&arrived);
    await_waiting(&waiter->own);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(submit_and_wait, sp_none, sp_none);

static void helped(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    (void)sp_submit(pool, submit_and_wait);
    (void)sp_event_wait(&never, SP_FOREVER);
}

/* ---- a cycle that is just being reported is in the way of others ---- */

static sp_thread *walker;

/* The hook.  Who waits now for a member of the cycle, and is waited for itself, walks into it, and out again. */
static void look_on(const char *report, void *context)
{
    (void)report, (void)context;
    sp_event_set(&go);
    await_waiting(&walker->own);
    await_waiting(&start_two(NULL, &z)->own);
    fputs("looked on", stderr);
    _exit(0);
}

static void walk_into_a_cycle(void)
{
    sp_set_deadlock_hook(look_on, NULL);
    walker = sp_start(take_two_later, &z, &x);
    sp_semaphore_acquire(&arrived);
    await_waiting(&start_two(NULL, &z)->own);
    sp_lock_acquire(&x);
    sp_thread *other = start_two(&y, &x);
    await_waiting(&other->own);
    sp_lock_acquire(&y);
}

/* ---- a thread for whose record there was no memory: nobody is told of its end ---- */

static sp_thread *wants_x;
static struct sp__runner *unrecorded;

static void no_list_is_left(void)
{
    const struct sp__list *awaited = &sp__self()->awaited;
    must(sp__runner_was_refused() && (awaited->next == NULL || sp__list_empty(awaited)));
}

static void wait_for_y_with_x(void)
{
    sp_lock_acquire(&x);
    arrive();
    sp_lock_acquire(&y);
}

static void *wait_without_record(void *arg)
{
    sp__fault_arm(1, true);
    unrecorded = sp__self();
    must(sp__fault_disarm() > 0 && sp__runner_was_refused());
    wait_for_y_with_x();
    no_list_is_left(); /* when it sleeps no more */
    sp_lock_release(&x);
    return arg;
}

static sp_status be_apart(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    wait_for_y_with_x();
    return SP_OK;
}
SP_TASK(be_apart, sp_none, sp_none);

static void *end_task_without_record(void *arg)
{
    sp__fault_arm(1, true);
    unrecorded = sp__self();
    must(sp__fault_disarm() > 0);
    must(sp_result(arg, NULL, SP_FOREVER) == SP_OK);
    no_list_is_left(); /* the task has ended with the lock */
    return arg;
}

/* Somebody comes to wait for x while its owner sleeps for y. */
static void let_sleep(void *(*body)(void *), void *arg)
{
    sp_lock_acquire(&y);
    pthread_t other = test_thread(body, arg);
    sp_semaphore_acquire(&arrived);
    await_waiting(unrecorded);
    wants_x = start_two(NULL, &x);
    await_waiting(&wants_x->own);
    sp_lock_release(&y);
    test_join(other);
}

static void no_record(void)
{
    let_sleep(wait_without_record, NULL);
    end_thread(wants_x);
}

static void no_record_task(void)
{
    sp_executor *inline_pool = sp_inline_pool(.seed = 1);
    let_sleep(end_task_without_record, sp_submit(inline_pool, be_apart));
    _exit(0);
}

static const struct child_case cases[] = {
    { "bucket", same_bucket },  { "set", set },
    { "helped", helped },       { "walk", walk_into_a_cycle },
    { "no record", no_record }, { "no record, task", no_record_task },
};

/* ---- the tests ---- */

static void an_owner_is_found_among_threads_of_its_bucket(void **state)
{
    (void)state;
    child_says(program, "bucket", "");
}

static void a_cycle_through_a_later_member_of_a_set_is_reported_by_its_name(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "set", NULL);
    child_aborted(&end, "a cycle of 2: ");
    const char *of_set = strstr(end.said, "waits for futures, this is the set at "), *held;
    assert_non_null(of_set);
    assert_non_null(held = strstr(of_set, ", held by "));
    assert_int_equal(strncmp(held, ", held by closing", strlen(", held by closing")), 0);
    assert_null(strstr(end.said, "more"));
}

static void a_cycle_through_a_task_that_waits_for_the_first_time_names_the_task(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "helped", NULL);
    child_aborted(&end, "a cycle of 2: ");
    child_aborted(&end, ", held by waiter (id ");
    int id = 1, as_owner = 1;
    const char *held = strstr(end.said, ", held by want_x (id "), *rest = strchr(end.said, ';');
    assert_true(held != NULL && rest != NULL);
    const char *waits = held < rest ? rest + 2 : strstr(end.said, "want_x");
    assert_int_equal(sscanf(waits, "want_x (id %d) waits for the lock", &id), 1);
    assert_int_equal(sscanf(held, ", held by want_x (id %d", &as_owner), 1);
    assert_int_equal(id, as_owner);
    assert_false(sp__is_thread_id((uint64_t)id));
}

static void a_walk_that_meets_a_cycle_of_others_ends(void **state)
{
    (void)state;
    child_says(program, "walk", "looked on");
}

static void nothing_is_left_in_a_thread_of_whose_end_nobody_is_told(void **state)
{
    (void)state;
    child_says(program, "no record", "");
    child_says(program, "no record, task", "");
}

/* ---- pools ---- */

static sp_executor *pools[2], *between;
static sp_future *both[2];

static sp_status wait_for_the_others_pool(const int *in, bool *out)
{
    arrive();
    (void)sp_event_wait(&go, SP_FOREVER);
    *out = sp_executor_wait_idle(pools[1 - *in], SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_the_others_pool, int, bool);

/* The worker is at work in its pool below the task of another one. */
static sp_status wait_inside_another(const int *in, bool *out)
{
    sp_auto(sp_future) future = sp_submit_from(between, wait_for_the_others_pool, in);
    return sp_result(future, out, SP_FOREVER);
}
SP_TASK(wait_inside_another, int, bool);

static void a_pool_is_held_up_by_what_lies_below_another_task(void **state)
{
    (void)state;
    sp_event_clear(&go);
    between = sp_inline_pool();
    for (int i = 0; i < 2; i++)
        pools[i] = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 2; i++)
        both[i] = sp_submit(pools[i], wait_inside_another, i);
    for (int i = 0; i < 2; i++)
        sp_semaphore_acquire(&arrived);
    sp_event_set(&go);
    bool waited[2] = { false, false };
    for (int i = 0; i < 2; i++)
        assert_int_equal(sp_result(both[i], &waited[i], 20.0), SP_OK);
    assert_int_equal(waited[0] + waited[1], 1); /* the other one was refused */
    sp_release_all(both, 2);
    for (int i = 0; i < 2; i++)
        sp_executor_release(pools[i]);
    sp_executor_release(between);
}

static sp_status wait_for_own_pool(const int *in, bool *out)
{
    (void)in;
    *out = sp_executor_wait_idle(pool, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_own_pool, int, bool);

static void a_task_that_waits_until_its_own_pool_is_idle_is_refused(void **state)
{
    (void)state;
    bool waited = true;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, wait_for_own_pool, 1);
    assert_int_equal(sp_result(future, &waited, 20.0), SP_OK);
    assert_false(waited);
    sp_executor_release(pool);
}

/* ---- waits with a limit ---- */

static sp_future *for_ever, *for_a_while;
static struct sp__runner *of_waiter;

static sp_status wait_for_ever(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&go, SP_FOREVER);
    of_waiter = sp__self();
    arrive();
    return sp_result(for_a_while, NULL, SP_FOREVER);
}
SP_TASK(wait_for_ever, sp_none, sp_none);

static sp_status wait_for_a_while(const sp_none *in, sp_status *ret_status)
{
    (void)in;
    sp_semaphore_acquire(&arrived);
    await_waiting(of_waiter);
    *ret_status = sp_result(for_ever, NULL, 0.01);
    return SP_OK;
}
SP_TASK(wait_for_a_while, sp_none, sp_status);

/* Each waits for the other, but one of them not for long. */
static void a_wait_with_a_limit_ends_with_its_time_and_is_not_refused(void **state)
{
    sp_status status = SP_OK;
    (void)state;
    sp_event_clear(&go);
    sp_executor *workers = sp_thread_pool(.max_workers = 2);
    for_ever = sp_submit(workers, wait_for_ever);
    for_a_while = sp_submit(workers, wait_for_a_while);
    test_await(sp_future_running(for_a_while)); /* else the other would run it inside */
    sp_event_set(&go);
    assert_int_equal(sp_result(for_ever, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(for_a_while, &status, SP_FOREVER), SP_OK);
    assert_int_equal(status, SP_TIMEOUT);
    sp_future_release(for_ever);
    sp_future_release(for_a_while);
    sp_executor_release(workers);
}

/* The task wants what the caller holds while it waits, for a moment. */
static void a_wait_with_a_limit_until_a_pool_is_idle_is_not_reported(void **state)
{
    (void)state;
    sp_lock_acquire(&x);
    sp_executor *workers = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_post(workers, take_two, NULL, &x), SP_OK);
    sp_semaphore_acquire(&arrived);
    test_await(is_marked(&x));
    assert_false(sp_executor_wait_idle(workers, 0.05));
    sp_lock_release(&x);
    assert_true(sp_executor_wait_idle(workers, SP_FOREVER));
    sp_executor_release(workers);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_is_found_among_threads_of_its_bucket),
        cmocka_unit_test(an_object_is_found_behind_another_for_which_one_sleeps_no_more),
        cmocka_unit_test(a_cycle_through_a_later_member_of_a_set_is_reported_by_its_name),
        cmocka_unit_test(a_cycle_through_a_task_that_waits_for_the_first_time_names_the_task),
        cmocka_unit_test(a_walk_that_meets_a_cycle_of_others_ends),
        cmocka_unit_test(nothing_is_left_in_a_thread_of_whose_end_nobody_is_told),
        cmocka_unit_test(a_pool_is_held_up_by_what_lies_below_another_task),
        cmocka_unit_test(a_task_that_waits_until_its_own_pool_is_idle_is_refused),
        cmocka_unit_test(a_wait_with_a_limit_ends_with_its_time_and_is_not_refused),
        cmocka_unit_test(a_wait_with_a_limit_until_a_pool_is_idle_is_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
