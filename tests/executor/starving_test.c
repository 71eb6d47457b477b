/* Which pools count as starving, from when on, and what the report says.

   SPDX-License-Identifier: MIT */
#include "abreast.h"

#include <spool.h>

#include "base/atomic.h"
#include "executor/pool.h"

static const char *program;

static sp_event gate; /* what tasks wait for */

enum { MOST = 5 };
static struct {
    sp_lock lock;
    unsigned count;        /* guarded by lock: reports */
    char text[MOST][8192]; /* guarded by lock: the first ones */
    double at;             /* guarded by lock: when the last one came */
    sp_semaphore came;
} told;

static void tell(const char *report, void *context)
{
    (void)context;
    SP_HOLD(&told.lock);
    told.at = sp_monotonic();
    if (told.count < MOST)
        snprintf(told.text[told.count], sizeof told.text[0], "%s", report);
    told.count++;
    if (sp_semaphore_release(&told.came, 1) != SP_OK)
        abort();
}

static unsigned reports(void)
{
    SP_HOLD(&told.lock);
    return told.count;
}

static double told_at(void)
{
    SP_HOLD(&told.lock);
    return told.at;
}

static int listen(void **state)
{
    (void)state;
    memset(&told, 0, sizeof told);
    sp_event_clear(&gate);
    sp_set_starvation_hook(tell, NULL);
    return 0;
}

/* Also when a test has failed: nothing is to be waited for. */
static int stop_listening(void **state)
{
    (void)state;
    sp_event_set(&gate);
    sp_set_starvation_hook(NULL, NULL);
    return 0;
}

/* ---- tasks ---- */

static sp_status set_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_set(&gate);
    return SP_OK;
}
SP_TASK(set_gate, sp_none, sp_none);

static uint32_t all_is_queued = 1; /* atomic; before that nobody sleeps */

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    test_await(sp__load_acquire(&all_is_queued)); /* acquire: pairs with the release of who has queued all */
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static sp_status wait_as_well(const sp_none *in, sp_none *out)
{
    return wait_at_gate(in, out);
}
SP_TASK(wait_as_well, sp_none, sp_none);

/* The worker by a new name. */
static char new_name[4096];

static sp_status rename_and_wait(const sp_none *in, sp_none *out)
{
    if (sp_thread_set_name(sp_thread_current(), "another") != SP_OK ||
        sp_thread_set_name(sp_thread_current(), new_name) != SP_OK)
        return SP_MEMORY_ERROR;
    return wait_at_gate(in, out);
}
SP_TASK(rename_and_wait, sp_none, sp_none);

static double began; /* when the last wait began; written before it, read behind the report */

/* It wakes now and then before it waits for good. */
static sp_status wait_again_and_again(const sp_none *in, sp_none *out)
{
    sp_event never = { 0 };
    for (int i = 0; i < 3; i++)
        (void)sp_event_wait(&never, 0.4);
    began = sp_monotonic();
    return wait_at_gate(in, out);
}
SP_TASK(wait_again_and_again, sp_none, sp_none);

typedef sp_executor *pool_pointer;

/* It runs the other one on its own stack. */
static sp_status run_one_that_waits(const pool_pointer *pool, sp_none *out)
{
    (void)out;
    sp_auto(sp_future) inner = sp_submit(*pool, wait_again_and_again);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(run_one_that_waits, pool_pointer, sp_none);

static void assert_ends(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    sp_future_release(future);
}

/* The report has come; now the gate opens, by somebody from outside, and all ends. */
static void open_and_end(sp_future *waits, sp_future *sets)
{
    sp_event_set(&gate);
    assert_ends(waits);
    assert_ends(sets);
}

/* ---- from when on ---- */

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_task_that_is_run_by_a_waiting_one_is_reported_once_a_second_after_its_last_wait(void **state)
{
    (void)state;
    sp_event never = { 0 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *waits = sp_submit(pool, run_one_that_waits, pool), *sets = sp_submit(pool, set_gate);
    assert_true(sp_semaphore_acquire_timeout(&told.came, 20.0));
    assert_true(told_at() - began >= 1);
    double before = cpu_seconds();
    assert_false(sp_event_wait(&never, 1.1)); /* they look again each second, and not all the time */
    assert_true(cpu_seconds() - before < 0.1);
    assert_int_equal(reports(), 1);
    open_and_end(waits, sets);
    assert_int_equal(reports(), 1);
}

/* Who has slept for long is no news before something is queued; then whoever queues it tells. */
static void tasks_that_sleep_are_no_starvation_until_something_is_queued(void **state)
{
    (void)state;
    sp_event never = { 0 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *waits = sp_submit(pool, wait_at_gate);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 1); /* it sleeps */
    assert_false(sp_event_wait(&never, 1.1));
    assert_int_equal(reports(), 0);
    sp_future *sets = sp_submit(pool, set_gate);
    assert_int_equal(reports(), 1);
    open_and_end(waits, sets);
}

/* It leaves its tasks in its own queue. */
static sp_future *own[4];

static sp_status submit_own_and_wait(const pool_pointer *pool, sp_none *out)
{
    for (int i = 0; i < 4; i++)
        own[i] = sp_submit(*pool, set_gate);
    return wait_at_gate(&(sp_none){ 0 }, out);
}
SP_TASK(submit_own_and_wait, pool_pointer, sp_none);

static void what_was_cancelled_is_not_queued_any_more(void **state)
{
    (void)state;
    sp_event never = { 0 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *waits = sp_submit(pool, submit_own_and_wait, pool);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 1);
    for (int i = 3; i >= 0; i--) /* all but the first lie there until they are met */
        assert_true(sp_future_cancel(own[i]));
    assert_false(sp_event_wait(&never, 1.3));
    assert_int_equal(reports(), 0);
    sp_future *sets = sp_submit(pool, set_gate);
    assert_int_equal(reports(), 1);
    open_and_end(waits, sets);
    sp_release_all(own, 4);
}

/* One that was woken, and works now, has slept before for as long as those that still do. */
static sp_event wakes, works;

static sp_status wait_then_work(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&wakes, SP_FOREVER);
    sp_event_set(&works);
    sp_sleep(1.3); /* this is no wait */
    return SP_OK;
}
SP_TASK(wait_then_work, sp_none, sp_none);

/* True: nobody had told before the first one worked. */
static bool one_works_and_nobody_tells(void)
{
    assert_int_equal(listen(NULL), 0);
    sp_event_clear(&wakes);
    sp_event_clear(&works);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    sp_future *first = sp_submit(pool, wait_then_work);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 1);
    sp_sleep(0.3);
    sp_future *second = sp_submit(pool, wait_at_gate), *next = sp_submit(pool, set_gate);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 2); /* the second looks in a second */
    sp_sleep(0.4);
    sp_event_set(&wakes);
    sp_event_wait(&works, SP_FOREVER);
    bool early = reports() == 0;
    assert_ends(first);
    assert_true(!early || reports() == 0);
    assert_ends(next); /* the first one's worker runs it: that ends the other wait */
    assert_ends(second);
    return early;
}

static void one_that_works_again_does_not_count_as_asleep(void **state)
{
    (void)state;
    int rounds = 0;
    while (!one_works_and_nobody_tells()) /* the machine is so busy that the second was over */
        assert_true(++rounds < 10);
}

/* ---- what it says ---- */

static sp_status submit_and_wait(const pool_pointer *pool, sp_none *out)
{
    sp_auto(sp_future) first = sp_submit(*pool, set_gate);
    sp_auto(sp_future) second = sp_submit(*pool, set_gate);
    return wait_at_gate(&(sp_none){ 0 }, out);
}
SP_TASK(submit_and_wait, pool_pointer, sp_none);

/* It does not count: it waits, with a limit, for a future of its own pool, which another worker runs. */
static sp_status wait_for_one_that_waits(const pool_pointer *pool, sp_none *out)
{
    (void)out;
    sp_auto(sp_future) inner = sp_submit(*pool, wait_at_gate);
    return sp_result(inner, NULL, 60.0);
}
SP_TASK(wait_for_one_that_waits, pool_pointer, sp_none);

static sp_status do_nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(do_nothing, sp_none, sp_none);

static void assert_says(const char *words)
{
    SP_HOLD(&told.lock);
    for (unsigned i = 0; i < MOST; i++)
        if (strcmp(told.text[i], words) == 0)
            return;
    fail_msg("nobody said: %s\nbut, for example: %s", words, told.text[0]);
}

/* One of them begins and ends with these words, and has about a thousand characters. */
static void assert_says_in_short(const char *begin, const char *end)
{
    SP_HOLD(&told.lock);
    for (unsigned i = 0; i < MOST; i++) {
        size_t length = strlen(told.text[i]);
        if (strncmp(told.text[i], begin, strlen(begin)) != 0)
            continue;
        assert_in_range(length, 1000, 1200);
        assert_string_equal(told.text[i] + length - strlen(end), end);
        return;
    }
    fail_msg("nobody said: %s", begin);
}

enum { MANY = 40 };

/* Five pools starve, all at the same time. */
static void it_names_the_pool_the_tasks_their_workers_and_the_next(void **state)
{
    (void)state;
    char expected[sizeof new_name + 128];
    memset(new_name, 'n', sizeof new_name - 1);
    sp__store_release(&all_is_queued, 0); /* release: for form's sake, nobody waits yet */
    sp_executor *pools[MOST] = { sp_thread_pool(.max_workers = 2, .thread_name_prefix = "two"),
                                 sp_thread_pool(.max_workers = 1, .thread_name_prefix = "nest"),
                                 sp_thread_pool(.max_workers = 1, .thread_name_prefix = "renamed"),
                                 sp_thread_pool(.max_workers = MANY, .thread_name_prefix = "many"),
                                 sp_thread_pool(.max_workers = 1, .thread_name_prefix = "lent") };
    assert_ends(sp_submit(pools[1], do_nothing)); /* it is over, and not named */
    sp_future *first = sp_submit(pools[0], wait_at_gate);
    test_await(sp_future_running(first));
    sp_future *futures[] = { first,
                             sp_submit(pools[0], wait_as_well),
                             sp_submit(pools[0], set_gate),
                             sp_submit(pools[0], wait_at_gate),
                             sp_submit(pools[1], submit_and_wait, pools[1]),
                             sp_submit(pools[2], rename_and_wait),
                             sp_submit(pools[2], set_gate),
                             sp_submit(pools[4], wait_for_one_that_waits, pools[4]),
                             sp_submit(pools[4], wait_as_well) };
    for (int i = 0; i < MANY + 1; i++)
        assert_int_equal(sp_post(pools[3], wait_at_gate), SP_OK);
    sp__store_release(&all_is_queued, 1); /* release: pairs with the acquire in wait_at_gate */
    for (int i = 0; i < MOST; i++)
        assert_true(sp_semaphore_acquire_timeout(&told.came, 20.0));
    assert_says("pool two makes no progress: wait_at_gate in worker two-0 waits; wait_as_well in worker two-1 waits; "
                "2 tasks are queued, the first is set_gate");
    assert_says("pool nest makes no progress: submit_and_wait in worker nest-0 waits; 2 tasks that these submitted are "
                "queued");
    assert_says("pool lent makes no progress: wait_at_gate in worker lent-1 waits; 1 tasks are queued, the first is "
                "wait_as_well");
    snprintf(
        expected, sizeof expected,
        "pool renamed makes no progress: rename_and_wait in worker %s waits; 1 tasks are queued, the first is set_gate",
        new_name);
    assert_says(expected);
    /* all have slept, though not all of them are named */
    assert_says_in_short(
        "pool many makes no progress: wait_at_gate in worker many-0 waits; wait_at_gate in worker many-1",
        "; 1 tasks are queued, the first is wait_at_gate");
    sp_event_set(&gate);
    for (size_t i = 0; i < sizeof futures / sizeof futures[0]; i++)
        assert_ends(futures[i]);
    for (int i = 0; i < MOST; i++) {
        assert_int_equal(sp_shutdown(pools[i]), SP_OK);
        sp_executor_release(pools[i]);
    }
    assert_int_equal(reports(), MOST);
}

/* Those that wait for the first one: when they sleep, and something is queued, the second one's permit goes to another. */
static sp_future *first_of_all;

static sp_status wait_for_first(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_result(first_of_all, NULL, SP_FOREVER);
}
SP_TASK(wait_for_first, sp_none, sp_none);

static unsigned count_of(const unsigned *count, sp_executor *pool)
{
    SP_HOLD(&sp__pool_of(pool)->lock);
    return *count;
}

static void it_does_not_name_those_whose_permits_others_have(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .max_compensation = 1, .thread_name_prefix = "p");
    first_of_all = sp_submit(pool, wait_at_gate);
    test_await(sp_future_running(first_of_all));
    sp_future *waiters[2];
    for (unsigned i = 0; i < 2; i++) {
        waiters[i] = sp_submit(pool, wait_for_first);
        test_await(count_of(&sp__pool_of(pool)->lent, pool) == 1 && sp__load_seq_cst(&sp__pool_of(pool)->kept) == i);
    }
    sp_future *next = sp_submit(pool, wait_as_well), *last = sp_submit(pool, set_gate);
    assert_true(sp_semaphore_acquire_timeout(&told.came, 20.0));
    assert_says("pool p makes no progress: wait_at_gate in worker p-0 waits; wait_as_well in worker p-3 waits; "
                "1 tasks are queued, the first is set_gate");
    open_and_end(next, last);
    assert_ends(waiters[0]);
    assert_ends(waiters[1]);
    assert_ends(first_of_all);
}

/* ---- in a child: the default, to standard error ---- */

static void starve_and_wait(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1); /* the first without a name */
    sp_set_starvation_hook(tell, NULL);
    sp_set_starvation_hook(NULL, NULL);
    sp_auto(sp_future) waits = sp_submit(pool, wait_at_gate);
    sp_auto(sp_future) sets = sp_submit(pool, set_gate);
    sp_event never = { 0 };
    if (sp_event_wait(&never, 2.2) || told.count != 0)
        _exit(97);
    sp_event_set(&gate);
}

static void without_a_hook_it_is_printed_once_and_the_pool_waits_on(void **state)
{
    (void)state;
    child_says(
        program, "starve",
        "spool: starvation: pool sp-1 makes no progress: wait_at_gate in worker sp-1-0 waits; 1 tasks are queued, "
        "the first is set_gate\n");
}

int main(int argc, char **argv)
{
    static const struct child_case cases[] = { { "starve", starve_and_wait } };
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], cases[0].name) == 0)
        return child_main(cases, 1, argv[1]);
#define STARVING_TEST(test) cmocka_unit_test_setup_teardown(test, listen, stop_listening)
    static const struct CMUnitTest tests[] = {
        STARVING_TEST(a_task_that_is_run_by_a_waiting_one_is_reported_once_a_second_after_its_last_wait),
        STARVING_TEST(tasks_that_sleep_are_no_starvation_until_something_is_queued),
        STARVING_TEST(what_was_cancelled_is_not_queued_any_more),
        STARVING_TEST(one_that_works_again_does_not_count_as_asleep),
        STARVING_TEST(it_names_the_pool_the_tasks_their_workers_and_the_next),
        STARVING_TEST(it_does_not_name_those_whose_permits_others_have),
        STARVING_TEST(without_a_hook_it_is_printed_once_and_the_pool_waits_on),
    };
    return abreast_run(program, argv[1], tests, sizeof tests / sizeof tests[0]);
}
