/* What a fork leaves in the child: each kind of object, made before by threads that do not exist there.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "thread/thread.h"

static const char *program;
static sp_lock lock;
static sp_rlock rlock;
static sp_event set, unset;
static sp_semaphore two = SP_SEMAPHORE(2), empty, arrived;
static sp_condition condition;
static sp_barrier pair = SP_BARRIER(2), unused = SP_BARRIER(1);
static sp_once once;
static sp_queue *queue;
static sp_future *done, *open_future;
static sp_executor *pool;
static sp_thread *thread;

static void nothing(void *context)
{
    (void)context;
}

static int triple(int x)
{
    return 3 * x;
}
SP_FUNCTION(triple, int, int);

/* ---- locks of the forking thread ---- */

static void own_locks_in_child(void)
{
    must(sp_lock_locked(&lock) && !sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    sp_lock_release(&lock);
    must(sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    must(sp_rlock_is_owned(&rlock));
    sp_rlock_release(&rlock);
    sp_rlock_release(&rlock);
    must(!sp_rlock_locked(&rlock));
}

static void own_locks(void)
{
    sp_lock_acquire(&lock);
    sp_rlock_acquire(&rlock);
    sp_rlock_acquire(&rlock);
    forked(own_locks_in_child);
    sp_lock_release(&lock);
    must(sp_rlock_is_owned(&rlock));
}

/* ---- events, semaphores, once: as they were ---- */

static void *take_permit(void *arg)
{
    sp_semaphore_acquire(arg);
    return NULL;
}

static void values_in_child(void)
{
    must(sp_event_wait(&set, SP_FOREVER) && !sp_event_wait(&unset, SP_NOWAIT));
    must(sp_semaphore_acquire_timeout(&two, SP_NOWAIT) && sp_semaphore_acquire_timeout(&two, SP_NOWAIT));
    must(!sp_semaphore_acquire_timeout(&two, 0.001));
    must(sp_semaphore_release(&empty, 1) == SP_OK); /* the parent's sleeper is not given it */
    must(empty.sp_word_ == 1);
    must(sp_semaphore_acquire_timeout(&empty, SP_FOREVER) && !sp_semaphore_acquire_timeout(&empty, SP_NOWAIT));
    sp_once_call(&once, nothing, NULL);
    sp_event_set(&unset);
    must(sp_event_wait(&unset, SP_FOREVER));
}

static void values(void)
{
    sp_event_set(&set);
    sp_once_call(&once, nothing, NULL);
    pthread_t sleeper = test_thread(take_permit, &empty);
    test_await(sp__load_acquire(&empty.sp_word_) >> 32 == 1);
    forked(values_in_child);
    must(!sp_event_is_set(&unset));
    must(sp_semaphore_release(&empty, 1) == SP_OK);
    test_join(sleeper);
}

/* ---- condition: nobody waits; barrier: broken if somebody waited ---- */

static void *wait_on_condition(void *arg)
{
    (void)arg;
    sp_lock_acquire(&lock);
    (void)sp_condition_wait(&condition, &lock, SP_FOREVER);
    sp_lock_release(&lock);
    return NULL;
}

static void *wait_at_barrier(void *arg)
{
    (void)arg;
    must(sp_barrier_wait(&pair, NULL, SP_FOREVER) == SP_OK);
    return NULL;
}

static void waiters_in_child(void)
{
    sp_lock other = { 0 };
    sp_lock_acquire(&other); /* with another lock than the parent's waiter: it is not here any more */
    must(!sp_condition_wait(&condition, &other, 0.001));
    sp_condition_notify_all(&condition);
    must(!sp_condition_wait(&condition, &other, SP_NOWAIT));
    sp_lock_release(&other);
    must(sp_barrier_broken(&pair) && sp_barrier_n_waiting(&pair) == 0);
    must(sp_barrier_wait(&pair, NULL, SP_FOREVER) == SP_BROKEN_BARRIER);
    sp_barrier_reset(&pair);
    must(!sp_barrier_broken(&pair));
    pthread_t guest = test_thread(wait_at_barrier, NULL);
    must(sp_barrier_wait(&pair, NULL, SP_FOREVER) == SP_OK);
    test_join(guest);
    must(sp_barrier_wait(&unused, NULL, SP_FOREVER) == SP_OK);
}

static void waiters(void)
{
    pthread_t waiter = test_thread(wait_on_condition, NULL), guest = test_thread(wait_at_barrier, NULL);
    test_await(sp__load_acquire(&condition.sp_word_) == 1 && sp_barrier_n_waiting(&pair) == 1);
    sp_lock_acquire(&lock); /* the waiter has given it up */
    forked(waiters_in_child);
    sp_condition_notify(&condition, 1);
    sp_lock_release(&lock);
    must(!sp_barrier_broken(&pair) && sp_barrier_wait(&pair, NULL, SP_FOREVER) == SP_OK);
    test_join(waiter);
    test_join(guest);
}

/* ---- the main thread ---- */

static void main_in_child(void)
{
    must(sp_thread_native_id(sp_thread_current()) == (uint64_t)getpid());
    must(sp_thread_main() == sp_thread_current() && sp_thread_is_alive(sp_thread_main()));
    must(sp_thread_active_count() == 1 && !sp_thread_is_daemon(sp_thread_main()));
    must(sp__load_acquire(&sp_thread_main()->refs) == 2); /* it stays whatever becomes of the thread */
}

static void *fork_here(void *arg)
{
    forked(main_in_child);
    return arg;
}

/* Nothing was started before: no call of the library's has prepared the process for a fork. */
static void main_thread(void)
{
    pthread_t guest;
    forked(main_in_child);
    must(pthread_create(&guest, NULL, fork_here, NULL) == 0 && pthread_join(guest, NULL) == 0);
    must(sp_thread_native_id(sp_thread_main()) == (uint64_t)getpid());
}

/* ---- threads of the parent ---- */

static sp_thread *slow, *quick, *failed;
static bool said_in_child;

static sp_status wait_until_set(const sp_none *in, sp_none *out);
static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(wait_until_set, sp_none, sp_none);
SP_TASK(fail_at_once, sp_none, sp_none);

static void note_report(sp_thread *handle, const sp_error *error, void *context)
{
    (void)handle, (void)error, (void)context;
    said_in_child = true;
}

static void threads_in_child(void)
{
    int value = 0;
    must(sp_thread_native_id(slow) == 0); /* it had not run: it never will */
    must(sp_join(slow, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_thread_wait(slow, SP_NOWAIT) == SP_SHUT_DOWN);
    must(!sp_thread_is_alive(slow) && sp_thread_set_name(slow, "renamed") == SP_OK);
    must(sp_join(quick, &value, SP_FOREVER) == SP_OK && value == 12 && sp_thread_native_id(quick) != 0);
    must(sp_join(failed, NULL, SP_NOWAIT) == SP_RUNTIME_ERROR && sp_thread_error(failed) != NULL);
    must(sp_thread_active_count() == 1 && sp_join_all(SP_FOREVER));
    sp_thread_release(sp_thread_retain(slow));
    sp_thread_release(slow);
    sp_thread_release(quick);
    sp_thread_release(failed);
    must(!said_in_child);
}

static void threads(void)
{
    sp_set_excepthook(note_report, NULL);
    slow = sp_start(wait_until_set);
    quick = sp_start(triple, 4);
    failed = sp_start(fail_at_once);
    sp_semaphore_acquire(&arrived);
    test_await(!sp_thread_is_alive(quick) && !sp_thread_is_alive(failed));
    uint64_t native_id = sp__exchange_acq_rel(&slow->native_id, 0); /* as if it had not run yet */
    forked(threads_in_child);
    sp__store_release(&slow->native_id, native_id);
    sp_event_set(&set);
    must(sp_join(slow, NULL, SP_FOREVER) == SP_OK && sp_join(quick, NULL, SP_FOREVER) == SP_OK);
    sp_thread_release(slow);
    sp_thread_release(quick);
    must(!said_in_child);
    sp_thread_release(failed); /* nobody has looked at its error here */
    must(said_in_child);
}

/* ---- marks in a lock that were for threads of the parent ---- */

#define PARKED (UINT64_C(1) << 63)
#define HANDOFF (UINT64_C(1) << 62)
#define OWES (UINT64_C(1) << 61)

/* Free, or held by the forking thread, with each set of marks. */
static sp_lock marked[8], held[8];
static sp_rlock rmarked[8], rheld[8];

static uint64_t marks_of(uint64_t i)
{
    return ((i & 1) != 0 ? PARKED : 0) | ((i & 2) != 0 ? HANDOFF : 0) | ((i & 4) != 0 ? OWES : 0);
}

static void must_be_had(sp_lock *free_lock, sp_rlock *free_rlock)
{
    must(!sp_lock_locked(free_lock) && !sp_rlock_locked(free_rlock));
    must(sp_lock_acquire_timeout(free_lock, SP_NOWAIT) && sp_rlock_acquire_timeout(free_rlock, SP_NOWAIT));
    must(!sp_lock_acquire_timeout(free_lock, SP_NOWAIT) && sp_rlock_acquire_timeout(free_rlock, SP_NOWAIT));
    sp_rlock_release(free_rlock);
    sp_rlock_release(free_rlock);
    sp_lock_release(free_lock);
    sp_lock_acquire(free_lock);
    sp_rlock_acquire(free_rlock);
    sp_rlock_release(free_rlock);
    sp_lock_release(free_lock);
}

static void marks_in_child(void)
{
    for (int i = 0; i < 8; i++) {
        if (i < 4) /* OWES is the owner's: a free lock has it not */
            must_be_had(&marked[i], &rmarked[i]);
        sp_lock_release(&held[i]);
        sp_rlock_release(&rheld[i]);
        must_be_had(&held[i], &rheld[i]);
    }
}

static void lock_marks(void)
{
    for (uint64_t i = 0; i < 8; i++) {
        sp_lock_acquire(&held[i]);
        sp_rlock_acquire(&rheld[i]);
        held[i].sp_word_ |= marks_of(i);
        rheld[i].sp_word_ |= marks_of(i);
        marked[i].sp_word_ = rmarked[i].sp_word_ = marks_of(i);
    }
    forked(marks_in_child);
}

/* ---- the action of a barrier forks ---- */

static sp_barrier acting, alone;

static void end_of_round_in_child(void)
{
    must(sp_barrier_wait(&alone, NULL, SP_FOREVER) == SP_OK);
}

static bool fork_in_action(void *context)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        must(waitpid(child, &status, 0) == child && status == 0);
    *(bool *)context = child == 0;
    return true;
}

static void *arrive(void *arg)
{
    must(sp_barrier_wait(&acting, NULL, SP_FOREVER) == SP_OK);
    return arg;
}

static void barrier_action(void)
{
    bool is_child = false;
    pthread_t other;
    acting = (sp_barrier)SP_BARRIER_ACTION(2, fork_in_action, &is_child);
    alone = (sp_barrier)SP_BARRIER_ACTION(1, fork_in_action, &is_child);
    must(pthread_create(&other, NULL, arrive, NULL) == 0);
    test_await(sp_barrier_n_waiting(&acting) == 1);
    sp_status passed = sp_barrier_wait(&acting, NULL, SP_FOREVER);
    if (is_child) {
        must(passed == SP_BROKEN_BARRIER && sp_barrier_broken(&acting));
        sp_barrier_reset(&acting);
        must(!sp_barrier_broken(&acting) && sp_barrier_n_waiting(&acting) == 0);
        _exit(0);
    }
    must(passed == SP_OK && !sp_barrier_broken(&acting) && pthread_join(other, NULL) == 0);
    end_of_round_in_child(); /* in both processes: nobody else had arrived */
    if (is_child)
        _exit(0);
}

static sp_event acts, may_end;

static bool act_until_told(void *context)
{
    (void)context;
    sp_event_set(&acts);
    return sp_event_wait(&may_end, SP_FOREVER);
}

static void *arrive_alone(void *arg)
{
    must(sp_barrier_wait(&alone, NULL, SP_FOREVER) == SP_OK);
    return arg;
}

static void action_of_another_in_child(void)
{
    must(sp_barrier_broken(&alone));
    must(sp_barrier_wait(&alone, NULL, SP_FOREVER) == SP_BROKEN_BARRIER);
}

/* Nobody sleeps there: whoever runs the action has come alone. */
static void action_of_another(void)
{
    alone = (sp_barrier)SP_BARRIER_ACTION(1, act_until_told, NULL);
    pthread_t other = test_thread(arrive_alone, NULL);
    sp_event_wait(&acts, SP_FOREVER);
    forked(action_of_another_in_child);
    sp_event_set(&may_end);
    test_join(other);
    must(!sp_barrier_broken(&alone));
}

/* ---- queue: shut down ---- */

static void queue_in_child(void)
{
    int item = 9;
    size_t n = 7;
    must(sp_get(queue, &item, SP_FOREVER) == SP_SHUT_DOWN && item == 9);
    must(sp_put(queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    must(sp_queue_put_many(queue, &item, 1, &n, SP_FOREVER) == SP_SHUT_DOWN && n == 0);
    must(sp_queue_get_many(queue, &item, 1, &n, SP_FOREVER) == SP_SHUT_DOWN && n == 0);
    must(sp_queue_task_done(queue) == SP_SHUT_DOWN && !sp_queue_join(queue, SP_FOREVER));
    sp_queue_shutdown(queue, true);
    sp_queue_release(queue);
    sp_auto(sp_queue) own = sp_queue_of(int);
    must(sp_put(own, &item, SP_FOREVER) == SP_OK && sp_get(own, &item, SP_FOREVER) == SP_OK);
}

static void must_not_drop(void *item)
{
    (void)item;
    _exit(1);
}

static void queues(void)
{
    int item = 4;
    queue = sp_queue_of(int, .drop = must_not_drop); /* in the child the item is the parent's */
    must(sp_put(queue, &item, SP_FOREVER) == SP_OK);
    forked(queue_in_child);
    must(sp_get(queue, &item, SP_NOWAIT) == SP_OK && item == 4 && sp_queue_task_done(queue) == SP_OK);
    sp_queue_release(queue);
}

/* ---- handles ---- */

static sp_status wait_until_set(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    if (sp_semaphore_release(&arrived, 1) != SP_OK)
        _exit(1);
    sp_event_wait(&set, SP_FOREVER);
    return SP_OK;
}

static void handles_in_child(void)
{
    int value = 0;
    must(sp_result(done, &value, SP_NOWAIT) == SP_OK && value == 6);
    must(sp_result(open_future, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_result(open_future, NULL, 0.5) == SP_SHUT_DOWN);
    must(!sp_future_wait(open_future, SP_FOREVER));
    must(sp_wait(&open_future, 1, SP_ALL_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN);
    must(sp_post(pool, triple, 1) == SP_SHUT_DOWN && sp_shutdown(pool) == SP_OK);
    must(sp_join(thread, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_thread_wait(thread, 1) == SP_SHUT_DOWN);
    must(!sp_thread_is_alive(thread) && sp_join_all(SP_FOREVER));
    sp_auto(sp_executor) own = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) later = sp_submit(own, triple, 3);
    must(sp_result(later, &value, SP_FOREVER) == SP_OK && value == 9);
}

static void handles(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    done = sp_submit(pool, triple, 2);
    must(sp_result(done, NULL, SP_FOREVER) == SP_OK);
    open_future = sp_submit(pool, wait_until_set);
    thread = sp_start(wait_until_set);
    sp_semaphore_acquire(&arrived);
    sp_semaphore_acquire(&arrived);
    forked(handles_in_child);
    sp_event_set(&set);
    must(sp_result(open_future, NULL, SP_FOREVER) == SP_OK && sp_join(thread, NULL, SP_FOREVER) == SP_OK);
    sp_future_release(done);
    sp_future_release(open_future);
    sp_thread_release(thread);
    must(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "own locks", own_locks },
    { "values", values },
    { "waiters", waiters },
    { "marks", lock_marks },
    { "action", barrier_action },
    { "main", main_thread },
    { "action of another", action_of_another },
    { "threads", threads },
    { "queues", queues },
    { "handles", handles },
};

static void passes(const char *name)
{
    fork_case_passes(program, name);
}

static void locks_of_the_forking_thread_are_its_own(void **state)
{
    (void)state;
    passes("own locks");
}

static void events_semaphores_and_once_are_as_they_were(void **state)
{
    (void)state;
    passes("values");
}

static void conditions_have_no_waiters_and_barriers_that_had_are_broken(void **state)
{
    (void)state;
    passes("waiters");
}

static void the_forking_thread_is_the_main_thread_with_its_own_number(void **state)
{
    (void)state;
    passes("main");
}

static void a_free_lock_is_to_be_had_whatever_marks_it_has(void **state)
{
    (void)state;
    passes("marks");
}

static void a_barrier_whose_action_forks_is_broken_for_the_last_one_too(void **state)
{
    (void)state;
    passes("action");
}

static void a_barrier_whose_action_another_thread_runs_is_broken(void **state)
{
    (void)state;
    passes("action of another");
}

static void threads_are_not_waited_for_and_results_are_kept(void **state)
{
    (void)state;
    passes("threads");
}

static void queues_are_shut_down(void **state)
{
    (void)state;
    passes("queues");
}

static void handles_made_before_are_closed_and_new_ones_work(void **state)
{
    (void)state;
    passes("handles");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_of_the_forking_thread_are_its_own),
        cmocka_unit_test(events_semaphores_and_once_are_as_they_were),
        cmocka_unit_test(conditions_have_no_waiters_and_barriers_that_had_are_broken),
        cmocka_unit_test(the_forking_thread_is_the_main_thread_with_its_own_number),
        cmocka_unit_test(a_free_lock_is_to_be_had_whatever_marks_it_has),
        cmocka_unit_test(a_barrier_whose_action_forks_is_broken_for_the_last_one_too),
        cmocka_unit_test(a_barrier_whose_action_another_thread_runs_is_broken),
        cmocka_unit_test(threads_are_not_waited_for_and_results_are_kept),
        cmocka_unit_test(queues_are_shut_down),
        cmocka_unit_test(handles_made_before_are_closed_and_new_ones_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
