/* What threads that are started on demand have from whom: CPU mask, scheduling, signal mask.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

struct traits {
    int cpus, policy, priority, nice;
    bool takes_term, takes_usr1;
};

static struct traits own_traits(void)
{
    cpu_set_t cpus;
    sigset_t blocked;
    struct sched_param parameters = { 0 };
    struct traits traits = { 0 };
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    assert_int_equal(pthread_getschedparam(pthread_self(), &traits.policy, &parameters), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    traits.cpus = CPU_COUNT(&cpus);
    traits.priority = parameters.sched_priority;
    traits.nice = getpriority(PRIO_PROCESS, 0);
    traits.takes_term = sigismember(&blocked, SIGTERM) == 0;
    traits.takes_usr1 = sigismember(&blocked, SIGUSR1) == 0;
    return traits;
}

static sp_status look(const sp_none *in, struct traits *out)
{
    (void)in;
    *out = own_traits();
    return SP_OK;
}
SP_TASK(look, sp_none, struct traits);

static struct traits traits_of_worker(sp_executor *pool)
{
    struct traits traits = { 0 };
    sp_auto(sp_future) future = sp_submit(pool, look);
    assert_int_equal(sp_result(future, &traits, SP_FOREVER), SP_OK);
    return traits;
}

static void pin_to_one_cpu(void)
{
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &cpus))
        first++;
    CPU_ZERO(&cpus);
    CPU_SET(first, &cpus);
    assert_int_equal(sched_setaffinity(0, sizeof cpus, &cpus), 0);
}

/* False, with a word: this process may not. */
static bool become_real_time(void)
{
    int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){ .sched_priority = 10 });
    if (error != 0)
        printf("not tested: SCHED_FIFO is refused (errno %d)\n", error);
    return error == 0;
}

/* In threads of their own, so that main stays as it is. */
static void *submit_pinned(void *pool)
{
    pin_to_one_cpu();
    (void)traits_of_worker(pool);
    return NULL;
}

static void *submit_in_real_time(void *pool)
{
    if (become_real_time())
        (void)traits_of_worker(pool);
    return NULL;
}

static void *submit_nicely(void *pool)
{
    assert_int_equal(setpriority(PRIO_PROCESS, 0, 7), 0);
    (void)traits_of_worker(pool);
    return NULL;
}

static void workers_have_the_cpus_of_the_maker(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    test_join(test_thread(submit_pinned, pool));
    assert_int_equal(traits_of_worker(pool).cpus, own_traits().cpus);
}

static void *make_pinned(void *ret_pool)
{
    pin_to_one_cpu();
    *(sp_executor **)ret_pool = sp_thread_pool(.max_workers = 1);
    return NULL;
}

static void workers_stay_where_a_pinned_maker_is(void **state)
{
    (void)state;
    sp_executor *pool = NULL;
    test_join(test_thread(make_pinned, &pool));
    assert_int_equal(traits_of_worker(pool).cpus, 1);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void *make_in_real_time(void *ret_pool)
{
    if (!become_real_time())
        return NULL;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(traits_of_worker(pool).policy, SCHED_OTHER);
    (void)ret_pool;
    return NULL;
}

static void workers_are_not_real_time_because_a_submitter_or_the_maker_is(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    test_join(test_thread(submit_in_real_time, pool));
    struct traits traits = traits_of_worker(pool);
    assert_int_equal(traits.policy, SCHED_OTHER);
    assert_int_equal(traits.priority, 0);
    test_join(test_thread(make_in_real_time, NULL));
}

static void workers_are_not_nice_because_a_submitter_is(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NICE, &limit), 0);
    if (geteuid() != 0 && limit.rlim_cur < 20) {
        printf("not tested: only root may become less nice here\n");
        skip();
    }
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    test_join(test_thread(submit_nicely, pool));
    assert_int_equal(traits_of_worker(pool).nice, own_traits().nice);
}

/* By its first version, as in traits.c. */
static bool reset_at_fork(int nice_value)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t times[3];
    } schedule = { .size = sizeof schedule, .policy = SCHED_OTHER, .flags = 1, .nice = nice_value };
    return syscall(SYS_sched_setattr, 0, &schedule, 0u) == 0;
}

static void *make_with_a_priority_that_is_not_inherited(void *ret_was_made)
{
    if (!reset_at_fork(-5))
        return NULL;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(traits_of_worker(pool).nice, 0);
    *(bool *)ret_was_made = true;
    return NULL;
}

static void workers_do_not_take_a_priority_that_is_not_inherited(void **state)
{
    (void)state;
    bool was_made = false;
    test_join(test_thread(make_with_a_priority_that_is_not_inherited, &was_made));
    if (!was_made) {
        printf("not tested: only root may take such a priority here\n");
        skip();
    }
}

static void set_blocked(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    assert_int_equal(pthread_sigmask(how, &set, NULL), 0);
}

static void workers_may_have_the_signal_mask_of_the_maker(void **state)
{
    (void)state;
    sp_auto(sp_executor) deaf = sp_thread_pool(.max_workers = 1);
    set_blocked(SIG_BLOCK, SIGUSR1);
    sp_auto(sp_executor) hearing = sp_thread_pool(.max_workers = 1, .inherit_signal_mask = true);
    set_blocked(SIG_UNBLOCK, SIGUSR1);
    set_blocked(SIG_BLOCK, SIGTERM); /* the submitter's is no matter */
    struct traits of_deaf = traits_of_worker(deaf), of_hearing = traits_of_worker(hearing);
    set_blocked(SIG_UNBLOCK, SIGTERM);
    assert_false(of_deaf.takes_term || of_deaf.takes_usr1);
    assert_true(of_hearing.takes_term);
    assert_false(of_hearing.takes_usr1);
}

static struct traits of_timer;

static sp_status note(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    of_timer = own_traits();
    return SP_OK;
}
SP_TASK(note, sp_none, sp_none);

static void run_timer(void)
{
    sp_auto(sp_timer) timer = sp_timer_start(0, note);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
}

static void *run_timer_pinned(void *unused)
{
    (void)unused;
    pin_to_one_cpu();
    run_timer();
    return NULL;
}

/* Called first: the thread that keeps the time is started here, by a pinned thread. */
static void timers_have_the_cpus_of_the_main_thread(void **state)
{
    (void)state;
    test_join(test_thread(run_timer_pinned, NULL));
    assert_int_equal(of_timer.cpus, own_traits().cpus);
    run_timer();
    assert_int_equal(of_timer.cpus, own_traits().cpus);
}

static void the_task_of_a_timer_has_the_signal_mask_of_who_started_it(void **state)
{
    (void)state;
    run_timer();
    assert_true(of_timer.takes_term && of_timer.takes_usr1);
    set_blocked(SIG_BLOCK, SIGUSR1);
    sp_auto(sp_timer) timer = sp_timer_start(0.001, note);
    set_blocked(SIG_UNBLOCK, SIGUSR1);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
    assert_true(of_timer.takes_term);
    assert_false(of_timer.takes_usr1);
}

static void *start_pinned(void *ret_cpus)
{
    struct traits traits;
    pin_to_one_cpu();
    sp_auto(sp_thread) thread = sp_start(look);
    assert_int_equal(sp_join(thread, &traits, SP_FOREVER), SP_OK);
    *(int *)ret_cpus = traits.cpus;
    return NULL;
}

static void a_thread_inherits_the_cpus_of_who_starts_it(void **state)
{
    (void)state;
    int cpus = 0;
    test_join(test_thread(start_pinned, &cpus));
    assert_int_equal(cpus, 1);
}

/* A program that a task starts, and that SIGTERM ends. */
static sp_status start_program(const sp_none *in, pid_t *child)
{
    (void)in;
    *child = fork();
    if (*child == 0) {
        alarm(20);
        for (;;)
            pause();
    }
    return *child > 0 ? SP_OK : sp_raise_errno("fork");
}
SP_TASK(start_program, sp_none, pid_t);

static void what_a_task_starts_takes_signals_where_the_maker_does(void **state)
{
    (void)state;
    pid_t child = 0;
    int status = 0;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1, .inherit_signal_mask = true);
    sp_auto(sp_future) future = sp_submit(pool, start_program);
    assert_int_equal(sp_result(future, &child, SP_FOREVER), SP_OK);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* A program that was compiled when .gil was the last of the options. */
static void options_of_an_older_program_are_not_read_beyond_their_end(void **state)
{
    (void)state;
    sp_thread_pool_options options;
    memset(&options, 0xff, sizeof options);
    memset(&options, 0, offsetof(sp_thread_pool_options, inherit_signal_mask));
    options.struct_size = offsetof(sp_thread_pool_options, inherit_signal_mask);
    options.max_workers = 1;
    sp_executor *pool = sp_thread_pool_new(&options);
    assert_false(traits_of_worker(pool).takes_term);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_have_the_cpus_of_the_main_thread),
        cmocka_unit_test(the_task_of_a_timer_has_the_signal_mask_of_who_started_it),
        cmocka_unit_test(workers_have_the_cpus_of_the_maker),
        cmocka_unit_test(workers_stay_where_a_pinned_maker_is),
        cmocka_unit_test(workers_are_not_real_time_because_a_submitter_or_the_maker_is),
        cmocka_unit_test(workers_are_not_nice_because_a_submitter_is),
        cmocka_unit_test(workers_do_not_take_a_priority_that_is_not_inherited),
        cmocka_unit_test(workers_may_have_the_signal_mask_of_the_maker),
        cmocka_unit_test(a_thread_inherits_the_cpus_of_who_starts_it),
        cmocka_unit_test(what_a_task_starts_takes_signals_where_the_maker_does),
        cmocka_unit_test(options_of_an_older_program_are_not_read_beyond_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
