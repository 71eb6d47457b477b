/* Forks of a process whose threads are busy: each child finds the parent's objects as documented, works on with its own,
   and leaves through exit().

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "forked.h"

#include <fcntl.h>

#include <spool.h>

enum { CHILD_LIMIT = 30 /* seconds */, OWN_ITEMS = 200 };

/* ---- what the parent has, and what its threads do with it ---- */

static sp_lock lost, contended, mine, of_condition, allocating;
static sp_rlock lost_rlock, contended_rlock;
static sp_condition condition;
static sp_semaphore calm = SP_SEMAPHORE(3), wanted, ready;
static sp_event gate, unset, set;
static sp_barrier barrier = SP_BARRIER(2);
static sp_queue *ring, *chain, *pile;
static sp_executor *pool;
static sp_thread *holder;
static sp_future *future;
static sp_event busy; /* set while the parent's threads shall work: the child gets the CPUs */
static uint32_t over; /* atomic */

static bool works_on(void)
{
    sp_event_wait(&busy, SP_FOREVER);
    return !sp__load_acquire(&over);
}

/* A permit for the main thread: this one has what it shall hold, or is about to wait. */
static void say_ready(void)
{
    stress_expect(sp_semaphore_release(&ready, 1) == SP_OK);
}

static sp_status hold_for_ever(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lost);
    sp_rlock_acquire(&lost_rlock);
    say_ready();
    sp_event_wait(&gate, SP_FOREVER);
    sp_rlock_release(&lost_rlock);
    sp_lock_release(&lost);
    return SP_OK;
}
SP_TASK(hold_for_ever, sp_none, sp_none);

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    say_ready();
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static sp_status pass(const int *in, int *out)
{
    *out = *in + 1;
    return SP_OK;
}
SP_TASK(pass, int, int);

static void *contend(void *arg)
{
    (void)arg;
    while (works_on()) {
        sp_lock_acquire(&contended);
        sp_rlock_acquire(&contended_rlock);
        sp_rlock_release(&contended_rlock);
        sp_lock_release(&contended);
    }
    return NULL;
}

/* One of two that pass items to and fro in the bounded queues; they allocate nothing. */
static void *use_queues(void *arg)
{
    uint64_t item = (uint64_t)(uintptr_t)arg;
    while (works_on()) {
        stress_expect(sp_put(ring, &item, SP_FOREVER) == SP_OK && sp_put(pile, &item, SP_FOREVER) == SP_OK);
        stress_expect(sp_get(pile, &item, SP_FOREVER) == SP_OK && sp_get(ring, &item, SP_FOREVER) == SP_OK);
    }
    return NULL;
}

static void *use_chain(void *arg)
{
    uint64_t item = (uint64_t)(uintptr_t)arg;
    while (works_on()) {
        sp_lock_acquire(&allocating);
        for (int i = 0; i < 300; i++)
            stress_expect(sp_put(chain, &item, SP_FOREVER) == SP_OK);
        for (int i = 0; i < 300; i++)
            stress_expect(sp_get(chain, &item, SP_FOREVER) == SP_OK);
        sp_lock_release(&allocating);
    }
    return NULL;
}

/* A worker frees what it ran, when it likes: not with the address sanitizer. */
static void *use_pool(void *arg)
{
    (void)arg;
    while (!ADDRESS_SANITIZER && works_on()) {
        int answer = 0;
        sp_future *passed = sp_submit(pool, pass, 41);
        stress_expect(sp_result(passed, &answer, SP_FOREVER) == SP_OK && answer == 42);
        sp_future_release(passed);
    }
    return NULL;
}

static void *wait_for_semaphore(void *arg)
{
    (void)arg;
    sp_semaphore_acquire(&wanted);
    return NULL;
}

static void *wait_at_barrier(void *arg)
{
    (void)arg;
    stress_expect(sp_barrier_wait(&barrier, NULL, SP_FOREVER) == SP_OK);
    return NULL;
}

static void *wait_for_condition(void *arg)
{
    (void)arg;
    sp_lock_acquire(&of_condition);
    stress_expect(sp_condition_wait(&condition, &of_condition, SP_FOREVER));
    sp_lock_release(&of_condition);
    return NULL;
}

static void *(*const bodies[])(void *) = { contend,           contend,  use_queues,         use_queues,
                                           use_chain,         use_pool, wait_for_semaphore, wait_at_barrier,
                                           wait_for_condition };
enum { THREADS = sizeof bodies / sizeof bodies[0] };
static pthread_t threads[THREADS];

static bool sleepers_sleep(void)
{
    return sp__load_acquire(&wanted.sp_word_) != 0 && sp_barrier_n_waiting(&barrier) == 1 &&
           sp__load_acquire(&condition.sp_word_) == 1;
}

static void begin_load(void)
{
    ring = sp_queue_of(uint64_t, .maxsize = 3);
    pile = sp_queue_of(uint64_t, .maxsize = 3, .order = SP_LIFO);
    chain = sp_queue_of(uint64_t);
    pool = sp_thread_pool(.max_workers = 2);
    sp_event_set(&set);
    holder = sp_start(hold_for_ever);
    future = sp_submit(pool, wait_at_gate);
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = test_thread(bodies[i], (void *)i);
    sp_semaphore_acquire(&ready);
    sp_semaphore_acquire(&ready);
    test_await(sleepers_sleep());
}

static void end_load(void)
{
    sp__store_release(&over, 1);
    sp_event_set(&busy);
    sp_event_set(&gate);
    sp_condition_notify(&condition, 1);
    assert_int_equal(sp_semaphore_release(&wanted, 1), SP_OK);
    assert_int_equal(sp_barrier_wait(&barrier, NULL, SP_FOREVER), SP_OK);
    for (int i = 0; i < THREADS; i++)
        test_join(threads[i]);
    assert_int_equal(sp_join(holder, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    sp_thread_release(holder);
    sp_future_release(future);
    sp_executor_release(pool);
    sp_queue_release(ring);
    sp_queue_release(pile);
    sp_queue_release(chain);
    stress_assert_nothing_wrong();
}

/* ---- the child ---- */

static void find_locks(void)
{
    double begin = sp_monotonic();
    stress_expect(!sp_lock_acquire_timeout(&lost, 0.001));
    stress_expect(!sp_rlock_acquire_timeout(&lost_rlock, 0.001));
    stress_expect(sp_monotonic() - begin >= 0.002);
    bool held = (sp__load_acquire(&contended.sp_word_) & ((UINT64_C(1) << 62) - 1)) != 0;
    bool got = sp_lock_acquire_timeout(&contended, 0.002); /* its heir, if it was kept for one, does not come */
    stress_expect(got != held);
    if (got)
        sp_lock_release(&contended);
    stress_expect(sp_lock_locked(&mine));
    sp_lock_release(&mine);
    stress_expect(sp_lock_acquire_timeout(&mine, SP_NOWAIT));
}

static void find_queue(sp_queue *queue)
{
    uint64_t item = 1;
    stress_expect(sp_put(queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_get(queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_queue_task_done(queue) == SP_SHUT_DOWN);
    stress_expect(!sp_queue_join(queue, SP_FOREVER));
    sp_queue_shutdown(queue, true);
    sp_queue_release(queue);
}

static void find_semaphores_and_events(void)
{
    for (int i = 0; i < 3; i++)
        stress_expect(sp_semaphore_acquire_timeout(&calm, SP_NOWAIT));
    stress_expect(!sp_semaphore_acquire_timeout(&calm, 0.0001));
    stress_expect(!sp_semaphore_acquire_timeout(&wanted, SP_NOWAIT));
    stress_expect(sp_semaphore_release(&wanted, 1) == SP_OK); /* its sleeper does not exist here */
    stress_expect(sp_semaphore_acquire_timeout(&wanted, SP_NOWAIT));
    stress_expect(sp_event_is_set(&set) && sp_event_wait(&set, SP_FOREVER));
    stress_expect(!sp_event_wait(&unset, 0.0001));
    sp_event_set(&unset);
    stress_expect(sp_event_wait(&unset, SP_FOREVER));
}

static void find_condition_and_barrier(void)
{
    sp_lock_acquire(&of_condition);
    sp_condition_notify(&condition, 1);
    stress_expect(!sp_condition_wait(&condition, &of_condition, 0.0001));
    sp_lock_release(&of_condition);
    stress_expect(sp_barrier_broken(&barrier));
    stress_expect(sp_barrier_wait(&barrier, NULL, SP_FOREVER) == SP_BROKEN_BARRIER);
    sp_barrier_reset(&barrier);
    stress_expect(sp_barrier_n_waiting(&barrier) == 0 && !sp_barrier_broken(&barrier));
}

static void find_threads_and_pools(void)
{
    sp_future *refused = sp_submit(pool, pass, 1);
    stress_expect(sp_join(holder, NULL, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_result(refused, NULL, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_result(future, NULL, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_shutdown(pool) == SP_OK);
    sp_future_release(refused);
    sp_executor_release(pool);
}

/* ---- what is the child's own works ---- */

typedef sp_queue *queue_pointer;

static sp_status feed(sp_queue *const *in, sp_none *out)
{
    (void)out;
    for (int i = 1; i <= OWN_ITEMS; i++)
        if (sp_put(*in, &i, SP_FOREVER) != SP_OK)
            return SP_RUNTIME_ERROR;
    return SP_OK;
}
SP_TASK(feed, queue_pointer, sp_none);

static void use_own(void)
{
    sp_queue *queue = sp_queue_of(int, .maxsize = 5);
    sp_executor *own = sp_thread_pool(.max_workers = 2);
    sp_thread *feeder = sp_start(feed, queue);
    int inputs[4] = { 1, 2, 3, 4 }, outputs[4] = { 0 }, sum = 0, item = 0;
    for (int i = 0; i < OWN_ITEMS; i++, sum += item)
        stress_expect(sp_get(queue, &item, SP_FOREVER) == SP_OK);
    stress_expect(sum == OWN_ITEMS * (OWN_ITEMS + 1) / 2);
    stress_expect(sp_join(feeder, NULL, SP_FOREVER) == SP_OK);
    stress_expect(sp_map(own, pass, inputs, outputs, 4) == SP_OK && outputs[3] == 5);
    sp_thread_release(feeder);
    sp_queue_release(queue);
    sp_executor_release(own); /* without shutdown: it ends, and exit waits for it */
}

/* A child says here that it found all as documented: its exit status belongs to leak checkers, which stumble over what the
   lost threads held. */

static void be_child(void)
{
    find_locks();
    find_queue(ring);
    find_queue(chain);
    find_queue(pile);
    find_semaphores_and_events();
    find_condition_and_barrier();
    find_threads_and_pools();
    use_own();
    leave_well();
}

/* ---- the parent ---- */

static void fork_once(uint64_t *random)
{
    for (uint64_t pauses = test_random(random) % 128; pauses > 0; pauses--)
        stress_dawdle(random);
    sp_lock_acquire(&mine);
    if (ADDRESS_SANITIZER)
        sp_lock_acquire(&allocating);
    pid_t child = fork();
    if (child == 0)
        be_child();
    sp_event_clear(&busy);
    if (ADDRESS_SANITIZER)
        sp_lock_release(&allocating);
    sp_lock_release(&mine);
    assert_true(child > 0);
    assert_true(child_is_well(child, CHILD_LIMIT));
}

static void children_of_a_busy_process(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    struct test_rounds children = test_rounds(100); /* 1,000 with SPOOL_TEST_SCALE=1000 */
    assert_int_equal(pipe2(well, O_CLOEXEC | O_NONBLOCK), 0);
    fflush(stdout);
    begin_load();
    if (THREAD_SANITIZER)
        puts("not under the thread sanitizer: fork");
    while (test_next_round(&children, true)) {
        sp_event_set(&busy);
        if (THREAD_SANITIZER)
            use_own();
        else
            fork_once(&random);
    }
    end_load();
    close(well[0]);
    close(well[1]);
}

/* ---- a child that is made while others change the lists of the library ---- */

static uint32_t enough; /* atomic */

static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(fail_at_once, sp_none, sp_none);

static void say_nothing(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
}

static void say_nothing_of_futures(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

static void *start_and_fail(void *arg)
{
    while (!sp__load_acquire(&enough)) {
        sp_thread_release(sp_start(fail_at_once));
        sp_set_excepthook(say_nothing, NULL);
        sp_set_unseen_error_hook(say_nothing_of_futures, NULL);
        sp_future *failed = sp_future_new(&fail_at_once_sp_task, "");
        stress_expect(sp_future_set_error(failed, &(sp_error){ .status = SP_RUNTIME_ERROR, .message = "no" }) == SP_OK);
        sp_future_release(failed);
    }
    return arg;
}

static void a_child_gets_out_of_fork_while_others_change_the_lists(void **state)
{
    enum { OTHERS = 4 };
    pthread_t others[OTHERS];
    (void)state;
    left_out_if(THREAD_SANITIZER || ADDRESS_SANITIZER);
    sp_set_excepthook(say_nothing, NULL);
    sp_set_unseen_error_hook(say_nothing_of_futures, NULL);
    assert_int_equal(pipe2(well, O_CLOEXEC | O_NONBLOCK), 0);
    for (int i = 0; i < OTHERS; i++)
        others[i] = test_thread(start_and_fail, NULL);
    for (struct test_rounds rounds = test_rounds(300); test_next_round(&rounds, true);) {
        pid_t child = fork();
        if (child == 0) {
            stress_expect(sp_thread_active_count() == 1);
            leave_well();
        }
        assert_true(child > 0);
        assert_true(child_is_well(child, CHILD_LIMIT));
    }
    sp__store_release(&enough, 1);
    for (int i = 0; i < OTHERS; i++)
        test_join(others[i]);
    assert_true(sp_join_all(SP_FOREVER));
    stress_assert_nothing_wrong();
    sp_set_excepthook(NULL, NULL);
    sp_set_unseen_error_hook(NULL, NULL);
    close(well[0]);
    close(well[1]);
}

int main(void)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    if (pthread_sigmask(SIG_BLOCK, &one, NULL) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_gets_out_of_fork_while_others_change_the_lists),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(children_of_a_busy_process),
#endif
    };
#ifdef __SANITIZE_ADDRESS__
    (void)children_of_a_busy_process;
    puts("not under the address sanitizer, whose allocator may be locked for ever in the child (gcc 12): "
         "children_of_a_busy_process");
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
