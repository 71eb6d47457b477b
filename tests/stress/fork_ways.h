/* All the places from which a program may fork: code of the user's that the library runs, in every kind of thread.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_FORK_WAYS_H
#define SP_TESTS_STRESS_FORK_WAYS_H

#include "fork_others.h"

#include <string.h>

#include <spool.h>

/* Fork, here.  The child does what it shall, and then leaves, or returns into whatever has called this. */
static void fork_here(void);
static pid_t first_parent; /* the process of the test */
static int twice[2];       /* a pipe: a task of the parent's pools that runs in a child writes a byte */

typedef int number;

static sp_status fork_task(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    fork_here();
    return SP_OK;
}
SP_TASK(fork_task, sp_none, sp_none);

static sp_status stay_task(const number *in, number *out)
{
    *out = *in;
    if (getpid() != first_parent)
        stress_expect(write(twice[1], "", 1) == 1);
    return SP_OK;
}
SP_TASK(stay_task, number, number);

static sp_status raise_task(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(raise_task, sp_none, sp_none);

/* What is queued behind the one that forks is the parent's to run. */
static void queue_more(sp_executor *executor)
{
    for (number i = 0; i < 3; i++)
        stress_expect(sp_executor_post(executor, &stay_task_sp_task, &i) == (is_child ? SP_SHUT_DOWN : SP_OK));
}

/* A pool that was used in the child may be refused there. */
static void end_pool(sp_executor *executor)
{
    stress_expect(sp_shutdown(executor) == SP_OK);
    sp_executor_release(executor);
}

/* ---- plain threads ---- */

static void in_this_thread(void)
{
    fork_here();
}

static void in_a_thread(void)
{
    sp_auto(sp_thread) thread = sp_start(fork_task);
    stress_expect(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
}

static void in_a_thread_that_nobody_joins(void)
{
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), fork_task));
}

static void *foreign_body(void *arg)
{
    fork_here();
    return arg;
}

static void in_a_foreign_thread(void)
{
    test_join(test_thread(foreign_body, NULL));
}

static void *foreign_body_with_handle(void *arg)
{
    stress_expect(sp_thread_current() != NULL);
    fork_here();
    return arg;
}

static void in_a_foreign_thread_with_a_handle(void)
{
    test_join(test_thread(foreign_body_with_handle, NULL));
}

static void in_a_timer(void)
{
    sp_timer *timer = sp_timer_start(0, fork_task);
    stress_expect(sp_timer_join(timer, SP_FOREVER) == SP_OK);
    sp_timer_release(timer);
}

/* ---- tasks of pools ---- */

static sp_executor *of_forks;

static sp_status fork_among_others(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    queue_more(of_forks);
    fork_here();
    return SP_OK;
}
SP_TASK(fork_among_others, sp_none, sp_none);

static void run_in_a_pool(const sp_task *task)
{
    of_forks = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) forking = sp_executor_submit(of_forks, task, "");
    queue_more(of_forks);
    stress_expect(sp_result(forking, NULL, SP_FOREVER) == SP_OK);
    end_pool(of_forks);
}

static void in_a_task(void)
{
    run_in_a_pool(&fork_among_others_sp_task);
}

static sp_status help(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(of_forks, fork_among_others);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(help, sp_none, sp_none);

static void in_a_helped_task(void)
{
    run_in_a_pool(&help_sp_task);
}

static sp_status lend(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(of_forks, fork_among_others);
    return sp_result(inner, NULL, 60.0);
}
SP_TASK(lend, sp_none, sp_none);

static void in_a_task_that_another_waits_for(void)
{
    run_in_a_pool(&lend_sp_task);
}

static sp_status fork_at_two(const number *in, number *out)
{
    *out = *in;
    if (*in == 2)
        fork_here();
    return SP_OK;
}
SP_TASK(fork_at_two, number, number);

static sp_status map_in_task(const sp_none *in, sp_none *out)
{
    number inputs[5] = { 0, 1, 2, 3, 4 }, outputs[5];
    (void)in, (void)out;
    sp_status status = sp_map(of_forks, fork_at_two, inputs, outputs, 5, .chunksize = 2);
    return is_child && status == SP_SHUT_DOWN ? SP_OK : status; /* the chunks behind it are the parent's */
}
SP_TASK(map_in_task, sp_none, sp_none);

static void in_a_chunk(void)
{
    run_in_a_pool(&map_in_task_sp_task);
}

static sp_status fork_once_when_initialized(void *context)
{
    if (!*(bool *)context)
        fork_here();
    *(bool *)context = true;
    return SP_OK;
}

static void in_an_initializer(void)
{
    bool has_forked = false;
    of_forks = sp_thread_pool(.max_workers = 1, .initializer = fork_once_when_initialized,
                              .initializer_arg = &has_forked);
    queue_more(of_forks);
    end_pool(of_forks);
}

static void finalize(void *context)
{
    (void)context;
    fork_here();
}

static void in_a_finalizer(void)
{
    of_forks = sp_thread_pool(.max_workers = 1, .finalizer = finalize);
    queue_more(of_forks);
    end_pool(of_forks);
}

static void run_inline(uint64_t seed)
{
    of_forks = sp_inline_pool(.seed = seed);
    queue_more(of_forks);
    sp_auto(sp_future) forking = sp_submit(of_forks, fork_task);
    queue_more(of_forks);
    stress_expect(sp_result(forking, NULL, SP_FOREVER) == SP_OK);
    end_pool(of_forks);
}

static void in_an_inline_submit(void)
{
    run_inline(0);
}

static void in_an_inline_wait(void)
{
    run_inline(7);
}

/* ---- callbacks, drops, hooks ---- */

static void fork_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    fork_here();
}

static sp_status wait_at_gate(sp_event *const *in, sp_none *out)
{
    (void)out;
    sp_event_wait(*in, SP_FOREVER);
    return SP_OK;
}
typedef sp_event *gate;
SP_TASK(wait_at_gate, gate, sp_none);

static void in_a_callback_of_a_worker(void)
{
    sp_event open_gate = { 0 };
    of_forks = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(of_forks, wait_at_gate, &open_gate);
    sp_future_add_done_callback(future, fork_callback, NULL);
    queue_more(of_forks);
    sp_event_set(&open_gate);
    end_pool(of_forks);
}

static void in_a_callback_of_ones_own(void)
{
    sp_auto(sp_future) future = sp_future_new(&stay_task_sp_task, &(number){ 1 });
    sp_future_add_done_callback(future, fork_callback, NULL);
    stress_expect(sp_future_set_result(future, &(number){ 1 }, sizeof(number)) == SP_OK);
}

static void in_a_callback_of_cancel(void)
{
    sp_auto(sp_future) future = sp_future_new(&stay_task_sp_task, &(number){ 1 });
    sp_future_add_done_callback(future, fork_callback, NULL);
    stress_expect(sp_future_cancel(future));
}

static void in_a_late_callback(void)
{
    sp_auto(sp_future) future = sp_future_new(&stay_task_sp_task, &(number){ 1 });
    stress_expect(sp_future_cancel(future));
    sp_future_add_done_callback(future, fork_callback, NULL);
}

static void drop_and_fork(void *memory)
{
    (void)memory;
    fork_here();
}

static sp_status run_own(const void *in, void *out)
{
    memcpy(out, in, sizeof(number));
    return SP_OK;
}

/* In the worker, with the last reference. */
static void in_a_drop(void)
{
    static const sp_task owning = { .struct_size = sizeof owning,
                                    .name = "own",
                                    .file = __FILE__,
                                    .arg_size = sizeof(number),
                                    .result_size = sizeof(number),
                                    .run = run_own,
                                    .drop_result = drop_and_fork };
    of_forks = sp_thread_pool(.max_workers = 1);
    stress_expect(sp_executor_post(of_forks, &owning, &(number){ 1 }) == SP_OK);
    queue_more(of_forks);
    end_pool(of_forks);
}

static void fork_in_excepthook(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)context;
    if (strcmp(error->task, raise_task_sp_task.name) == 0)
        fork_here();
}

/* In a queue, under its lock. */
static bool compare_forks;

static int compare_and_fork(const void *a, const void *b)
{
    if (compare_forks) {
        compare_forks = false;
        fork_here();
    }
    return *(const number *)a - *(const number *)b;
}

static void in_a_comparison(void)
{
    sp_auto(sp_queue) queue = sp_queue_of(number, .order = SP_PRIORITY, .compare = compare_and_fork);
    compare_forks = true;
    for (number i = 2; i > 0 && !is_child; i--)
        stress_expect(sp_put(queue, &i, SP_FOREVER) == SP_OK);
}

static void in_a_drop_of_a_queue(void)
{
    number item = 1;
    sp_auto(sp_queue) queue = sp_queue_of(number, .drop = drop_and_fork);
    stress_expect(sp_put(queue, &item, SP_FOREVER) == SP_OK);
    sp_queue_shutdown(queue, true);
}

/* ---- values ---- */

static bool fork_predicate(void *context)
{
    (void)context;
    fork_here();
    return true;
}

static void in_a_predicate(void)
{
    sp_lock lock = { 0 };
    sp_condition changed = { 0 };
    sp_lock_acquire(&lock);
    stress_expect(sp_condition_wait_for(&changed, &lock, fork_predicate, NULL, SP_FOREVER));
    sp_lock_release(&lock);
}

static void fork_once_function(void *context)
{
    (void)context;
    fork_here();
}

static void in_a_once(void)
{
    sp_once once = { 0 };
    sp_once_call(&once, fork_once_function, NULL);
    sp_once_call(&once, fork_once_function, NULL); /* done, in both */
}

static void in_an_action(void)
{
    sp_barrier barrier = SP_BARRIER_ACTION(1, fork_predicate, NULL);
    stress_expect(sp_barrier_wait(&barrier, NULL, SP_FOREVER) == SP_OK);
}

static bool fork_input(void *context, void *ret_arg)
{
    number *next = context;
    if (*next == 1)
        fork_here();
    *(number *)ret_arg = *next;
    return (*next)++ < 3;
}

static void in_an_input_of_a_map(void)
{
    number next = 0, out;
    of_forks = sp_thread_pool(.max_workers = 1);
    sp_mapping *mapping = sp_map_lazy(of_forks, stay_task, fork_input, &next, .buffersize = 2);
    for (sp_status status = SP_OK; status == SP_OK;) {
        status = sp_map_next(mapping, &out, SP_FOREVER);
        stress_expect(status == SP_OK || status == SP_STOP || (is_child && status == SP_SHUT_DOWN));
    }
    sp_mapping_release(mapping);
    end_pool(of_forks);
}

/* ---- the end of a thread ---- */

static void fork_finaliser(void *value)
{
    (void)value;
    fork_here();
}
static sp_local number_of_fork = SP_LOCAL(number, NULL, fork_finaliser);

static sp_status touch_local(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    stress_expect(sp_local_get(&number_of_fork) != NULL);
    return SP_OK;
}
SP_TASK(touch_local, sp_none, sp_none);

static void in_a_finaliser_of_a_local(void)
{
    sp_auto(sp_thread) thread = sp_start(touch_local);
    stress_expect(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
}

static void *foreign_with_local(void *arg)
{
    stress_expect(sp_local_get(&number_of_fork) != NULL);
    return arg;
}

static void in_a_finaliser_of_a_foreign_thread(void)
{
    test_join(test_thread(foreign_with_local, NULL));
}

static pthread_key_t key;

static void fork_destructor(void *value)
{
    (void)value;
    fork_here();
}

static sp_status set_key(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    stress_expect(pthread_setspecific(key, "") == 0);
    return SP_OK;
}
SP_TASK(set_key, sp_none, sp_none);

/* After the library's part of the thread's end. */
static void in_a_destructor_of_a_key(void)
{
    stress_expect(pthread_key_create(&key, fork_destructor) == 0);
    sp_auto(sp_thread) thread = sp_start(set_key);
    stress_expect(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
    pthread_key_delete(key);
}

static void in_an_excepthook(void)
{
    sp_set_excepthook(fork_in_excepthook, NULL);
    sp_thread_release(sp_start(raise_task));
}

/* ---- all of them ---- */

static const struct way {
    const char *name;
    void (*fork)(void);
    bool is_main; /* in the main thread, while all others sleep */
} ways[] = {
    { "this thread", in_this_thread, true },
    { "a thread", in_a_thread, false },
    { "a daemon that nobody joins", in_a_thread_that_nobody_joins, false },
    { "a foreign thread", in_a_foreign_thread, false },
    { "a foreign thread with a handle", in_a_foreign_thread_with_a_handle, false },
    { "a timer", in_a_timer, false },
    { "a task", in_a_task, false },
    { "a helped task", in_a_helped_task, false },
    { "a task that another waits for", in_a_task_that_another_waits_for, false },
    { "a chunk", in_a_chunk, false },
    { "an initializer", in_an_initializer, false },
    { "a finalizer", in_a_finalizer, false },
    { "a submit to an inline pool", in_an_inline_submit, true },
    { "a wait for an inline pool", in_an_inline_wait, true },
    { "a callback", in_a_callback_of_a_worker, false },
    { "a callback of one's own future", in_a_callback_of_ones_own, true },
    { "a callback of a cancel", in_a_callback_of_cancel, true },
    { "a late callback", in_a_late_callback, true },
    { "a drop", in_a_drop, false },
    { "a comparison", in_a_comparison, true },
    { "a drop of a queue", in_a_drop_of_a_queue, true },
    { "a predicate", in_a_predicate, true },
    { "a once", in_a_once, true },
    { "an action", in_an_action, true },
    { "an input of a map", in_an_input_of_a_map, false },
    { "a finaliser of a local", in_a_finaliser_of_a_local, false },
    { "a finaliser of a foreign thread", in_a_finaliser_of_a_foreign_thread, false },
    { "a destructor of a key", in_a_destructor_of_a_key, false },
    { "an excepthook", in_an_excepthook, false },
};
enum { WAYS = sizeof ways / sizeof ways[0] };

#endif
