/* Forks of a process whose pool is busy: each child finds the pool closed, its futures as they were, a set of them readable
   to its end, the memory of futures whole; and works with a pool of its own.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "forked.h"

#include <fcntl.h>
#include <string.h>

#include <spool.h>

#include "executor/executor.h"

enum { CHILD_LIMIT = 60 /* seconds */, SET = 40, BLOCKS = 300 };

static sp_executor *pool; /* of the parent */

static sp_status pass(const int *in, int *out)
{
    *out = *in + 1;
    return SP_OK;
}
SP_TASK(pass, int, int);

/* ---- children ---- */

static _Noreturn void end_child(void)
{
    leave_well();
}

/* ---- a completion that was half told at the fork ---- */

static void a_future_that_ended_and_was_not_told(void **state)
{
    (void)state;
    sp_executor *own = sp_thread_pool(.max_workers = 1);
    sp_future *ended = sp__future_create(&pass_sp_task, &(int){ 1 }, &own->owner, 1);
    sp_future *told = sp__future_create(&pass_sp_task, &(int){ 2 }, &own->owner, 1);
    sp_future *lost = sp__future_create(&pass_sp_task, &(int){ 3 }, &own->owner, 1);
    sp_future *given = sp__future_create(&pass_sp_task, &(int){ 4 }, &own->owner, 1);
    sp_future *set[] = { ended, told, lost, given, ended };
    sp_completion *completion = sp_as_completed(set, 5, SP_FOREVER);
    assert_true(sp_future_cancel(given));
    assert_ptr_equal(sp_next(completion), given);
    assert_true(sp_future_cancel(told));
    uint64_t seen;
    assert_true(sp__future_claim(ended));
    assert_true(sp__word_finish(&ended->word, SP__RUNNING, SP__FINISHED, false, &seen)); /* the teller comes too late */
    fflush(stdout);
    pid_t child = THREAD_SANITIZER ? 0 : fork();
    if (child == 0 && !THREAD_SANITIZER) {
        sp_future *first = sp_next(completion), *second = sp_next(completion);
        stress_expect((first == ended && second == told) || (first == told && second == ended));
        stress_expect(sp_next(completion) == NULL && sp_completion_status(completion) == SP_SHUT_DOWN);
        sp_completion_release(completion);
        sp_release_all(set, 4);
        end_child();
    }
    assert_true(THREAD_SANITIZER || child_is_well(child, CHILD_LIMIT));
    sp__watch_tell(ended);
    assert_ptr_equal(sp_next(completion), told);
    assert_ptr_equal(sp_next(completion), ended);
    sp_completion_release(completion);
    sp_release_all(set, 4);
    sp_executor_release(own);
}

/* ---- a future of nobody's that somebody was about to set ---- */

static void a_future_that_was_being_set_is_lost_and_another_can_be_set(void **state)
{
    (void)state;
    sp_future *begun = sp_future_new(&pass_sp_task, &(int){ 1 }), *whole = sp_future_new(&pass_sp_task, &(int){ 1 });
    assert_true(sp__word_move(&begun->word, SP__PENDING, SP__SETTLING)); /* as sp_future_set_result does first */
    fflush(stdout);
    pid_t child = THREAD_SANITIZER ? 0 : fork();
    if (child == 0 && !THREAD_SANITIZER) {
        int value = 0;
        stress_expect(sp_future_set_result(begun, &(int){ 2 }, sizeof(int)) == SP_INVALID_STATE);
        stress_expect(sp_result(begun, NULL, SP_FOREVER) == SP_SHUT_DOWN);
        stress_expect(sp_wait(&begun, 1, SP_FIRST_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN);
        stress_expect(sp_result(whole, NULL, SP_NOWAIT) == SP_TIMEOUT);
        stress_expect(sp_future_set_result(whole, &(int){ 2 }, sizeof(int)) == SP_OK);
        stress_expect(sp_result(whole, &value, SP_FOREVER) == SP_OK && value == 2);
        sp_future_release(begun);
        sp_future_release(whole);
        leave_well();
    }
    assert_true(THREAD_SANITIZER || child_is_well(child, CHILD_LIMIT));
    uint64_t seen;
    assert_true(sp__word_finish(&begun->word, SP__SETTLING, SP__FINISHED, false, &seen));
    assert_int_equal(sp_result(begun, NULL, SP_FOREVER), SP_OK);
    sp_future_release(begun);
    sp_future_release(whole);
}

/* ---- a task forks that is run by who waits for a set ---- */

static pid_t made_in_wait;

static sp_status fork_and_go_on(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    made_in_wait = fork();
    return SP_OK;
}
SP_TASK(fork_and_go_on, sp_none, sp_none);

enum { IN_SET = 9 };

static void submit_set(sp_executor *own, sp_future **futures)
{
    for (int i = 0; i < IN_SET; i++)
        futures[i] = i == 0 ? sp_submit(own, fork_and_go_on) : sp_submit(own, pass, i);
    fflush(stdout);
}

static void read_set(sp_future *const *futures)
{
    sp_completion *set = sp_as_completed(futures, IN_SET, SP_FOREVER);
    int given = 0;
    while (sp_next(set) != NULL)
        given++;
    if (made_in_wait == 0)
        stress_expect(given < IN_SET && sp_completion_status(set) == SP_SHUT_DOWN);
    else
        stress_expect(given == IN_SET && sp_completion_status(set) == SP_OK);
    sp_completion_release(set);
}

static void wait_for_set(sp_future *const *futures)
{
    sp_status status = sp_wait(futures, IN_SET, SP_ALL_COMPLETED, SP_FOREVER);
    stress_expect(status == (made_in_wait == 0 ? SP_SHUT_DOWN : SP_OK));
}

static void forked_in_a_wait(void (*wait_for)(sp_future *const *futures))
{
    sp_executor *own = sp_inline_pool(.seed = 3); /* by which the one that forks is not the last */
    sp_future *futures[IN_SET];
    submit_set(own, futures);
    wait_for(futures);
    if (made_in_wait == 0)
        leave_well();
    assert_true(child_is_well(made_in_wait, CHILD_LIMIT));
    sp_release_all(futures, IN_SET);
    sp_executor_release(own);
    stress_assert_nothing_wrong();
}

static void the_rest_of_a_set_is_shut_down_where_one_of_it_has_forked(void **state)
{
    (void)state;
    left_out_if(THREAD_SANITIZER);
    forked_in_a_wait(read_set);
    forked_in_a_wait(wait_for_set);
}

/* ---- a starvation hook that forks, in a task that sleeps ---- */

static pid_t made_in_hook;
static sp_lock hook_lock;
static sp_condition hook_condition;

static void fork_in_hook(const char *report, void *context)
{
    (void)report, (void)context;
    made_in_hook = fork();
}

/* The waits go on in the child, and end with their time, or for those who are told. */
static void *tell(void *arg)
{
    sp_lock_acquire(&hook_lock);
    sp_condition_notify(&hook_condition, 1);
    sp_lock_release(&hook_lock);
    return arg;
}

static sp_status sleep_until_late(const int *in, sp_none *out)
{
    sp_event never = { 0 };
    (void)out;
    made_in_hook = -1;
    if (*in == 0) {
        stress_expect(!sp_event_wait(&never, 1.2));
    } else {
        sp_lock_acquire(&hook_lock);
        stress_expect(!sp_condition_wait(&hook_condition, &hook_lock, 1.2));
        pthread_t teller = 0;
        stress_expect(pthread_create(&teller, NULL, tell, NULL) == 0);
        stress_expect(sp_condition_wait(&hook_condition, &hook_lock, SP_FOREVER));
        sp_lock_release(&hook_lock);
        stress_expect(pthread_join(teller, NULL) == 0);
    }
    if (made_in_hook == 0)
        stress_expect(stress_wrong == NULL && write(well[1], "", 1) == 1);
    return SP_OK;
}
SP_TASK(sleep_until_late, int, sp_none);

static void a_wait_goes_on_in_the_child_of_a_hook(void **state)
{
    (void)state;
    left_out_if(THREAD_SANITIZER);
    sp_set_starvation_hook(fork_in_hook, NULL);
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        pool = sp_thread_pool(.max_workers = 1);
        sp_auto(sp_future) sleeping = sp_submit(pool, sleep_until_late, i);
        sp_auto(sp_future) queued = sp_submit(pool, pass, 1);
        assert_int_equal(sp_result(sleeping, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(sp_result(queued, NULL, SP_FOREVER), SP_OK);
        assert_true(made_in_hook > 0 && child_is_well(made_in_hook, CHILD_LIMIT));
        sp_executor_release(pool);
    }
    sp_set_starvation_hook(NULL, NULL);
    stress_assert_nothing_wrong();
}

/* ---- a task that forks ---- */

/* What lies in its worker's deque is the parent's to run. */
static sp_status fork_inside(const sp_none *in, bool *out)
{
    sp_future *queued[3];
    (void)in;
    for (int i = 0; i < 3; i++)
        queued[i] = sp_submit(pool, pass, i);
    pid_t child = fork();
    if (child == 0) {
        stress_expect(sp_result(queued[2], NULL, SP_FOREVER) == SP_SHUT_DOWN);
        stress_expect(sp_result(queued[0], NULL, 0.01) == SP_SHUT_DOWN);
        stress_expect(sp_wait(queued, 3, SP_FIRST_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN);
        stress_expect(sp_wait(queued, 3, SP_ALL_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN);
        sp_auto(sp_future) refused = sp_submit(pool, pass, 1);
        stress_expect(sp_result(refused, NULL, SP_FOREVER) == SP_SHUT_DOWN);
        stress_expect(sp_future_cancel(queued[1]));
        end_child();
    }
    *out = child_is_well(child, CHILD_LIMIT) && sp_wait(queued, 3, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK;
    sp_release_all(queued, 3);
    return SP_OK;
}
SP_TASK(fork_inside, sp_none, bool);

static void a_task_forks(void **state)
{
    (void)state;
    left_out_if(THREAD_SANITIZER);
    fflush(stdout);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, fork_inside);
    bool well_done = false;
    assert_int_equal(sp_result(future, &well_done, SP_FOREVER), SP_OK);
    assert_true(well_done);
    sp_executor_release(pool);
}

/* ---- a task that forks and returns ---- */

static int ran_in_child[2]; /* a pipe: what runs in the child writes a byte */
static pid_t parent, returning;

static sp_status note_process(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    if (getpid() != parent)
        stress_expect(write(ran_in_child[1], "t", 1) == 1);
    return SP_OK;
}
SP_TASK(note_process, sp_none, sp_none);

static void note_finalizer(void *arg)
{
    (void)arg;
    (void)note_process(NULL, NULL);
}

static sp_status wait_for_event(sp_event *const *in, sp_none *out)
{
    (void)out;
    sp_event_wait(*in, SP_FOREVER);
    return SP_OK;
}
typedef sp_event *event_pointer;
SP_TASK(wait_for_event, event_pointer, sp_none);

/* The child has workers, a timer thread and a daemon of its own when the task returns there: none of them keeps it. */
static void use_threads_of_its_own(void)
{
    static sp_event never;
    sp_executor *own = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) passed = sp_submit(own, pass, 1);
    stress_expect(sp_result(passed, NULL, SP_FOREVER) == SP_OK);
    sp_timer *timer = sp_timer_start(0, note_process);
    stress_expect(sp_timer_join(timer, SP_FOREVER) == SP_OK);
    sp_timer_release(timer);
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), wait_for_event, &never));
    stress_expect(write(well[1], "", 1) == 1);
}

static sp_status fork_and_return(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < 3; i++)
        stress_expect(sp_post(pool, note_process) == SP_OK);
    pid_t child = fork();
    if (child == 0)
        use_threads_of_its_own();
    else
        returning = child;
    return SP_OK;
}
SP_TASK(fork_and_return, sp_none, sp_none);

/* The task that runs it is waited for by another, on whose stack it runs. */
static sp_status help_to_fork(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(pool, fork_and_return);
    stress_expect(sp_result(inner, NULL, SP_FOREVER) == SP_OK);
    return SP_OK;
}
SP_TASK(help_to_fork, sp_none, sp_none);

static void returns_in_child(const sp_task *task)
{
    char byte;
    pool = sp_thread_pool(.max_workers = 1, .finalizer = note_finalizer);
    sp_auto(sp_future) forking = sp_executor_submit(pool, task, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_post(pool, note_process), SP_OK);
    assert_int_equal(sp_result(forking, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_true(child_is_well(returning, CHILD_LIMIT));
    assert_int_equal(read(ran_in_child[0], &byte, 1), 1); /* its own timer's task */
    assert_int_equal(read(ran_in_child[0], &byte, 1), -1);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

static void a_task_forks_and_returns_and_the_child_runs_no_other(void **state)
{
    (void)state;
    left_out_if(THREAD_SANITIZER);
    fflush(stdout);
    parent = getpid();
    assert_int_equal(pipe2(ran_in_child, O_CLOEXEC | O_NONBLOCK), 0);
    returns_in_child(&fork_and_return_sp_task);
    returns_in_child(&help_to_fork_sp_task);
    close(ran_in_child[0]);
    close(ran_in_child[1]);
}

static sp_status fork_and_end_oddly(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    pid_t child = fork();
    if (child == 0) {
        stress_expect(write(well[1], "", 1) == 1);
        pthread_exit(NULL);
    }
    returning = child;
    return SP_OK;
}
SP_TASK(fork_and_end_oddly, sp_none, sp_none);

/* The worker's record, which the fork took along, ended twice then: in the list of failures, which had no end any more. */
static void a_task_forks_and_ends_its_thread_and_the_child_ends(void **state)
{
    (void)state;
    if (THREAD_SANITIZER)
        return;
    fflush(stdout);
    sp_auto(sp_executor) own = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) forking = sp_submit(own, fork_and_end_oddly);
    assert_int_equal(sp_result(forking, NULL, SP_FOREVER), SP_OK);
    assert_true(child_is_well(returning, CHILD_LIMIT));
}

/* ---- a busy pool ---- */

static sp_event busy; /* set while the parent's threads shall work: the child gets the CPUs */
static uint32_t over; /* atomic */

struct big {
    unsigned char bytes[100];
};

static sp_status copy_big(const struct big *in, struct big *out)
{
    *out = *in;
    return SP_OK;
}
typedef struct big big;
SP_TASK(copy_big, big, big);

static sp_status fork_join(const int *in, int *out);
SP_TASK(fork_join, int, int);
static sp_status fork_join(const int *in, int *out)
{
    if (*in == 0) {
        *out = 1;
        return SP_OK;
    }
    sp_auto(sp_future) a = sp_submit(pool, fork_join, *in - 1);
    sp_auto(sp_future) b = sp_submit(pool, fork_join, *in - 1);
    int x = 0, y = 0;
    sp_status status = sp_result(a, &x, *in % 2 == 0 ? SP_FOREVER : 60.0);
    if (status == SP_OK)
        status = sp_result(b, &y, SP_FOREVER);
    *out = x + y;
    return status;
}

static void *keep_busy(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    while (sp_event_wait(&busy, SP_FOREVER), !sp__load_acquire(&over)) {
        big in;
        memset(&in, (int)(test_random(&random) & 255), sizeof in);
        sp_auto(sp_future) tree = sp_submit(pool, fork_join, 4);
        sp_auto(sp_future) copy = sp_submit_from(pool, copy_big, &in);
        int leaves = 0;
        big out;
        stress_expect(sp_result(tree, &leaves, SP_FOREVER) == SP_OK && leaves == 16);
        stress_expect(sp_result(copy, &out, SP_FOREVER) == SP_OK && memcmp(&in, &out, sizeof in) == 0);
        stress_expect(sp_executor_post(pool, &copy_big_sp_task, &in) == SP_OK);
    }
    return NULL;
}

/* Each block is its owner's alone. */
static void use_memory(void)
{
    sp_future *small[BLOCKS], *large[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        big in;
        memset(&in, i & 255, sizeof in);
        small[i] = sp_future_new(&pass_sp_task, &i);
        large[i] = sp_future_new(&copy_big_sp_task, &in);
    }
    for (int i = 0; i < BLOCKS; i++) {
        const big *held = sp_future_arg(large[i]);
        bool same = true;
        for (size_t k = 0; k < sizeof held->bytes; k++)
            same = same && held->bytes[k] == (i & 255);
        stress_expect(same && *(const int *)sp_future_arg(small[i]) == i);
        sp_future_release(small[i]);
        sp_future_release(large[i]);
    }
}

static void use_own_pool(void)
{
    int in[10] = { 0 }, out[10] = { 0 };
    pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) tree = sp_submit(pool, fork_join, 5);
    int leaves = 0;
    stress_expect(sp_result(tree, &leaves, SP_FOREVER) == SP_OK && leaves == 32);
    stress_expect(sp_map(pool, pass, in, out, 10, .chunksize = 3) == SP_OK && out[9] == 1);
    stress_expect(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_release(pool); /* without shutdown: exit waits */
}

static void find_pool(sp_future *const *futures, sp_completion *set)
{
    sp_executor_statistics stats;
    int done = 0;
    sp_future *refused = sp_submit(pool, pass, 1);
    stress_expect(sp_result(refused, NULL, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_stats(pool, &stats);
    stress_expect(stats.workers == 0 && stats.submitted == stats.completed);
    for (int i = 0; i < SET; i++) {
        int value = 0;
        sp_status status = sp_result(futures[i], &value, SP_FOREVER);
        stress_expect(status == SP_SHUT_DOWN || (status == SP_OK && value == i + 1));
        done += status == SP_OK;
    }
    int given = 0;
    while (sp_next(set) != NULL)
        given++;
    stress_expect(given == done && sp_completion_status(set) == (done == SET ? SP_OK : SP_SHUT_DOWN));
    stress_expect(sp_shutdown(pool) == SP_OK && sp_shutdown(pool, .cancel_futures = true) == SP_OK);
    sp_completion_release(set);
    sp_future_release(refused);
    sp_release_all(futures, SET);
    sp_executor_release(pool);
}

/* Some futures are done, some run, some are queued. */
static void fork_once(uint64_t *random)
{
    sp_future *futures[SET];
    for (int i = 0; i < SET; i++)
        futures[i] = sp_submit(pool, pass, i);
    sp_auto(sp_completion) set = sp_as_completed(futures, SET, SP_FOREVER);
    for (uint64_t pauses = test_random(random) % 64; pauses > 0; pauses--)
        stress_dawdle(random);
    pid_t child = fork();
    if (child == 0) {
        find_pool(futures, set);
        use_memory();
        use_own_pool();
        end_child();
    }
    sp_event_clear(&busy);
    assert_true(child > 0);
    assert_true(child_is_well(child, CHILD_LIMIT));
    for (int given = 0; given < SET; given++)
        assert_non_null(sp_next(set));
    sp_release_all(futures, SET);
}

static void children_of_a_busy_pool(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    uint64_t random = test_seed();
    left_out_if(THREAD_SANITIZER || ADDRESS_SANITIZER);
    pool = sp_thread_pool(.max_workers = 3, .idle_seconds = 0.0005);
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = test_thread(keep_busy, (void *)(random + i));
    for (long i = test_count(400); i > 0; i--) {
        sp_event_set(&busy);
        fork_once(&random);
    }
    sp__store_release(&over, 1);
    sp_event_set(&busy);
    for (int i = 0; i < THREADS; i++)
        test_join(threads[i]);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

static int prepare(void **state)
{
    (void)state;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    return pthread_sigmask(SIG_BLOCK, &one, NULL) | pipe2(well, O_CLOEXEC | O_NONBLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_that_ended_and_was_not_told),
        cmocka_unit_test(a_future_that_was_being_set_is_lost_and_another_can_be_set),
        cmocka_unit_test(the_rest_of_a_set_is_shut_down_where_one_of_it_has_forked),
        cmocka_unit_test(a_wait_goes_on_in_the_child_of_a_hook),
        cmocka_unit_test(a_task_forks),
        cmocka_unit_test(a_task_forks_and_returns_and_the_child_runs_no_other),
        cmocka_unit_test(a_task_forks_and_ends_its_thread_and_the_child_ends),
        cmocka_unit_test(children_of_a_busy_pool),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
