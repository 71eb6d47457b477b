/* Where the system refuses futexes, as in a sandbox, every wait still ends: when its time is up, or when it is woken.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <spool.h>

#include "os/fault.h"

static const char *program;

/* ---- by the fault table: each kind of wait ---- */

static sp_lock lock;
static sp_rlock rlock;
static sp_event event, go;
static sp_semaphore semaphore;
static sp_condition condition;
static sp_barrier barrier = SP_BARRIER(2);
static sp_queue *queue;
static sp_once once;

static void pass_some_time(void *context)
{
    (void)context;
    sp_sleep(0.003);
}

static void nothing_left_to_do(void *context)
{
    (void)context;
}

/* Ends what the main thread waits for, one after the other, each a little later. */
static sp_status end_waits(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    sp_rlock_acquire(&rlock);
    sp_event_set(&go);
    sp_sleep(0.003);
    sp_lock_release(&lock);
    sp_sleep(0.003);
    sp_rlock_release(&rlock);
    sp_sleep(0.003);
    sp_event_set(&event);
    sp_sleep(0.003);
    if (sp_semaphore_release(&semaphore, 1) != SP_OK)
        return SP_RUNTIME_ERROR;
    sp_event_wait(&go, SP_FOREVER);
    sp_sleep(0.003);
    if (sp_put(queue, &(int){ 1 }, SP_FOREVER) != SP_OK || sp_barrier_wait(&barrier, NULL, SP_FOREVER) != SP_OK)
        return SP_RUNTIME_ERROR;
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    sp_lock_release(&lock);
    sp_once_call(&once, pass_some_time, NULL);
    return SP_OK;
}
SP_TASK(end_waits, sp_none, sp_none);

static bool is_waited_for(void *context)
{
    (void)context;
    return false;
}

static void every_kind_of_wait_ends_when_it_is_woken(void **state)
{
    (void)state;
    int item = 0;
    queue = sp_queue_of(int, .maxsize = 1);
    sp__fault_futex(true);
    sp_thread *thread = sp_start(end_waits);
    sp_event_wait(&go, SP_FOREVER);
    sp_lock_acquire(&lock);
    sp_rlock_acquire(&rlock);
    sp_rlock_release(&rlock);
    assert_true(sp_event_wait(&event, SP_FOREVER));
    sp_semaphore_acquire(&semaphore);
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_OK);
    assert_int_equal(sp_barrier_wait(&barrier, NULL, SP_FOREVER), SP_OK);
    assert_true(sp_condition_wait(&condition, &lock, SP_FOREVER));
    sp_lock_release(&lock);
    sp_once_call(&once, nothing_left_to_do, NULL);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    sp__fault_futex(false);
    sp_thread_release(thread);
    sp_queue_release(queue);
}

static void every_wait_with_a_limit_ends_when_its_time_is_up(void **state)
{
    (void)state;
    sp_event unset = { 0 };
    sp_semaphore none = SP_SEMAPHORE(0);
    sp_barrier lonely = SP_BARRIER(2);
    sp_lock held = { 0 };
    int item;
    sp_queue *empty = sp_queue_of(int, .maxsize = 1);
    sp__fault_futex(true);
    double begin = sp_monotonic();
    sp_lock_acquire(&held);
    sp_sleep(0.01);
    assert_false(sp_event_wait(&unset, 0.01));
    assert_false(sp_semaphore_acquire_timeout(&none, 0.01));
    assert_int_equal(sp_barrier_wait(&lonely, NULL, 0.01), SP_TIMEOUT);
    assert_false(sp_lock_acquire_timeout(&held, 0.01));
    assert_false(sp_condition_wait(&condition, &held, 0.01));
    assert_false(sp_condition_wait_for(&condition, &held, is_waited_for, NULL, 0.01));
    assert_int_equal(sp_get(empty, &item, 0.01), SP_EMPTY);
    double took = sp_monotonic() - begin;
    sp__fault_futex(false);
    sp_lock_release(&held);
    sp_queue_release(empty);
    assert_true(took >= 0.08);
}

static int twice(int n)
{
    sp_sleep(0.001);
    return 2 * n;
}
SP_FUNCTION(twice, int, int);

static void pools_and_timers_work(void **state)
{
    (void)state;
    sp__fault_futex(true);
    sp_executor *pool = sp_thread_pool(.max_workers = 2);
    for (int i = 0; i < 10; i++) {
        int result = 0;
        sp_future *future = sp_submit(pool, twice, i);
        assert_int_equal(sp_result(future, &result, SP_FOREVER), SP_OK);
        assert_int_equal(result, 2 * i);
        sp_future_release(future);
    }
    sp_timer *timer = sp_timer_start(0.005, twice, 1);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
    sp_timer_release(timer);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp__fault_futex(false);
}

/* ---- by the system itself ---- */

/* Of <linux/filter.h> and <linux/seccomp.h>, which not every C library's compiler finds. */
struct filter_step {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};
enum { LOAD_WORD = 0x20, JUMP_IF_EQUAL = 0x15, ANSWER = 0x06 };
enum { NUMBER_OF_THE_CALL = 0, FILTERED = 2, REFUSE = 0x50000, ALLOW = 0x7fff0000 };

static void refuse_futex(void)
{
    const struct filter_step steps[] = { { LOAD_WORD, 0, 0, NUMBER_OF_THE_CALL },
                                         { JUMP_IF_EQUAL, 0, 1, SYS_futex },
                                         { ANSWER, 0, 0, REFUSE | EPERM },
                                         { ANSWER, 0, 0, ALLOW } };
    const struct {
        unsigned short length;
        const struct filter_step *steps;
    } filter = { sizeof steps / sizeof steps[0], steps };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, FILTERED, &filter) != 0)
        _exit(90); /* no filters here */
}

static void sleep_in_a_sandbox(void)
{
    sp_event unset = { 0 };
    refuse_futex();
    double begin = sp_monotonic();
    sp_sleep(0.05);
    bool set = sp_event_wait(&unset, 0.05);
    _exit(!set && sp_monotonic() - begin >= 0.1 ? 0 : 91);
}

static const struct child_case cases[] = { { "sandbox", sleep_in_a_sandbox } };

static void waits_end_in_a_sandbox(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "sandbox", NULL);
    assert_true(!end.hung && WIFEXITED(end.status));
    if (WEXITSTATUS(end.status) == 90)
        puts("the system has no filters: only the fault table refuses futexes here");
    else
        assert_int_equal(WEXITSTATUS(end.status), 0);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_wait_ends_when_it_is_woken),
        cmocka_unit_test(every_wait_with_a_limit_ends_when_its_time_is_up),
        cmocka_unit_test(pools_and_timers_work),
        cmocka_unit_test(waits_end_in_a_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
