/* Timers: races of cancel and firing, many at once, no thread to run on, the end of the process.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "park/runner.h"
#include "os/fault.h"

static uint32_t runs, drops; /* atomic */

static sp_status count_run(const int *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&runs, 1);
    return SP_OK;
}

static void count_drop(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&drops, 1);
}
SP_TASK_OWNING(count_run, int, sp_none, count_drop, NULL);

static void starts_from_nothing(void)
{
    sp__store_relaxed(&runs, 0);
    sp__store_relaxed(&drops, 0);
}

/* ---- the first timer of a process ---- */

static void drop_and_start_timer(void *arg)
{
    (void)arg;
    sp_timer_release(sp_timer_start(0, count_run, 1));
    sp__add_seq_cst(&drops, 1);
}

static sp_status end_at_once(const int *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK_OWNING(end_at_once, int, sp_none, drop_and_start_timer, NULL);

static bool exists(uint64_t native_id)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%llu", (unsigned long long)native_id);
    return access(path, F_OK) == 0;
}

/* A start collects threads that are gone, and drops what they had; so did that of the timer thread, under the timers' lock. */
static void a_drop_may_start_a_timer_while_the_first_is_started(void **state)
{
    (void)state;
    starts_from_nothing();
    assert_int_equal(sp_thread_active_count(), 1);
    sp_thread *thread = sp_start(end_at_once, 1);
    uint64_t native_id = sp_thread_native_id(thread);
    sp_thread_release(thread);
    test_await(!exists(native_id));
    assert_int_equal(sp__load_seq_cst(&drops), 0); /* it is there to be collected */
    sp_timer *timer = sp_timer_start(0, count_run, 1);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
    sp_timer_release(timer);
    assert_true(sp_join_all(SP_FOREVER));
    assert_true(sp_join_all(SP_FOREVER)); /* its drop has started the second */
    assert_int_equal(sp__load_seq_cst(&runs), 2);
}

/* Each runs once or is cancelled, never both, and its argument is dropped once. */
static void cancel_and_firing_decide_for_one(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    enum { AT_ONCE = 16 };
    sp_timer *timers[AT_ONCE];
    starts_from_nothing();
    uint32_t cancelled = 0, started = 0;
    for (long round = test_count(50); round > 0; round--) {
        for (int i = 0; i < AT_ONCE; i++)
            timers[i] = sp_timer_start((double)(test_random(&random) % 300) * 1e-6, count_run, i);
        for (int i = 0; i < AT_ONCE; i++) {
            sp_timer *timer = timers[test_random(&random) % AT_ONCE];
            assert_int_equal(sp_timer_cancel(timer), sp_timer_cancel(timer)); /* what is decided stays */
        }
        for (int i = 0; i < AT_ONCE; i++) {
            sp_status status = sp_timer_join(timers[i], SP_FOREVER);
            assert_int_equal(status == SP_CANCELLED, sp_timer_cancel(timers[i]));
            assert_true(status == SP_OK || status == SP_CANCELLED);
            cancelled += status == SP_CANCELLED;
            started += status == SP_OK;
            sp_timer_release(timers[i]);
        }
    }
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(sp__load_seq_cst(&runs), started);
    test_await(sp__load_seq_cst(&drops) == started + cancelled);
}

/* A timer fires between these two; the time at which its call began and ended, and its seconds later. */
struct due {
    double earliest, latest;
};

/* What a timer says when it fires.  Its thread may be late, but later ones have a higher number. */
struct fired {
    int which;
    uint64_t ident;
    double time;
};

static sp_queue *fired;

static sp_status note(const int *in, sp_none *out)
{
    (void)out;
    struct fired now = { *in, sp_thread_ident(sp_thread_current()), sp_monotonic() };
    return sp_put(fired, &now, SP_FOREVER);
}
SP_TASK(note, int, sp_none);

static int by_ident(const void *a, const void *b)
{
    const struct fired *first = a, *second = b;
    return (first->ident > second->ident) - (first->ident < second->ident);
}

static void fires_in_the_order_of_time(void **state)
{
    enum { TIMERS = 6 };
    static const double seconds[TIMERS] = { 0.14, 0.02, 0.1, 0.06, 0.18, 0.04 };
    struct fired all[TIMERS];
    struct due due[TIMERS];
    sp_timer *timers[TIMERS];
    (void)state;
    fired = sp_queue_of(struct fired);
    for (int i = 0; i < TIMERS; i++) {
        due[i].earliest = sp_monotonic() + seconds[i];
        timers[i] = sp_timer_start(seconds[i], note, i);
        due[i].latest = sp_monotonic() + seconds[i];
    }
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(sp_get(fired, &all[i], 20), SP_OK);
    qsort(all, TIMERS, sizeof all[0], by_ident);
    for (int i = 0; i < TIMERS; i++) {
        assert_true(all[i].time >= due[all[i].which].earliest);
        assert_true(i == 0 || due[all[i - 1].which].earliest <= due[all[i].which].latest);
    }
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(sp_timer_join(timers[i], SP_FOREVER), SP_OK);
        sp_timer_release(timers[i]);
    }
    sp_queue_release(fired);
}

/* The last in the heap fills the place of the cancelled one, and is sooner than the one above that place. */
static void one_that_fills_a_gap_fires_before_what_was_above_the_gap(void **state)
{
    (void)state;
    enum { N = 15, CANCELLED = 3, LAST = 6 };
    static const double seconds[N] = { 0.2, 1e6, 0.21, 1e6, 1e6, 0.22, 0.23, 2e6, 2e6, 2e6, 2e6, 2e6, 2e6, 2e6, 2e6 };
    sp_timer *timers[N];
    starts_from_nothing();
    for (int i = 0; i < N; i++) {
        timers[i] = sp_timer_start(seconds[i], count_run, i);
        if (i == LAST)
            assert_true(sp_timer_cancel(timers[CANCELLED]));
    }
    for (int i = 0; i <= LAST; i++)
        if (seconds[i] < 1)
            assert_int_equal(sp_timer_join(timers[i], (double)test_patience()), SP_OK);
    for (int i = 0; i < N; i++) {
        (void)sp_timer_cancel(timers[i]);
        sp_timer_release(timers[i]);
    }
    test_await(sp__load_seq_cst(&drops) == N);
}

/* However many are cancelled in the middle of the heap: none that is soon stays behind one that is far away. */
static void those_that_are_soon_fire_whatever_was_cancelled(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    enum { MANY = 60 };
    for (long round = test_count(20); round > 0; round--) {
        sp_timer *timers[MANY];
        bool is_soon[MANY], is_cancelled[MANY] = { false };
        starts_from_nothing();
        for (int i = 0; i < MANY; i++) {
            is_soon[i] = test_random(&random) % 4 == 0;
            double jitter = (double)(test_random(&random) % 1000);
            timers[i] = sp_timer_start(is_soon[i] ? 0.01 + jitter * 1e-6 : 1e6 + jitter, count_run, i);
        }
        for (int n = 0; n < MANY / 2; n++) {
            size_t i = (size_t)(test_random(&random) % MANY);
            is_cancelled[i] = sp_timer_cancel(timers[i]);
        }
        for (int i = 0; i < MANY; i++)
            if (is_soon[i] && !is_cancelled[i])
                assert_int_equal(sp_timer_join(timers[i], 50), SP_OK);
        for (int i = 0; i < MANY; i++) {
            (void)sp_timer_cancel(timers[i]);
            sp_timer_release(timers[i]);
        }
        test_await(sp__load_seq_cst(&drops) == MANY);
    }
}

static void many_pending_are_cancelled_in_any_order(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    enum { MANY = 1000 };
    sp_timer *timers[MANY];
    starts_from_nothing();
    for (int i = 0; i < MANY; i++)
        timers[i] = sp_timer_start(1000 + (double)(test_random(&random) % 1000), count_run, i);
    for (int i = 0; i < MANY; i++) {
        size_t other = (size_t)(test_random(&random) % MANY);
        sp_timer *swapped = timers[i];
        timers[i] = timers[other];
        timers[other] = swapped;
    }
    assert_int_equal(sp_timer_join(timers[0], 0.001), SP_TIMEOUT);
    for (int i = 0; i < MANY; i++) {
        assert_true(sp_timer_cancel(timers[i]));
        assert_int_equal(sp_timer_join(timers[i], SP_NOWAIT), SP_CANCELLED);
        sp_timer_release(timers[i]);
    }
    assert_int_equal(sp__load_seq_cst(&drops), MANY);
    assert_int_equal(sp__load_seq_cst(&runs), 0);
}

static char unseen[200];

static void remember(const sp_error *error, void *context)
{
    (void)context;
    assert_int_not_equal(error->os_errno, 0);
    snprintf(unseen, sizeof unseen, "%s: %s", sp_status_name(error->status), error->task);
}

/* Every call that can fail is made to fail in turn. */
static void failures_come_back(void **state)
{
    (void)state;
    starts_from_nothing();
    uint32_t made = 0, refused = 0;
    for (uint64_t call = 1; call < 6; call++) {
        sp__fault_arm(call, true);
        sp_timer *timer = sp_timer_start(1000, count_run, 1);
        sp__fault_disarm();
        if (timer == NULL) {
            assert_int_equal(errno, ENOMEM);
            refused++;
            continue;
        }
        made++;
        assert_true(sp_timer_cancel(timer));
        sp_timer_release(timer);
    }
    assert_true(refused > 0 && made > 0);
    assert_int_equal(sp__load_seq_cst(&drops), made + refused);
    assert_null(sp_timer_start(strtod("nan", NULL), count_run, 1));
    assert_int_equal(errno, EINVAL);

    sp_set_unseen_error_hook(remember, NULL);
    for (int looked = 0; looked < 2; looked++) {
        sp__fault_arm(UINT64_MAX, false);
        sp_timer *later = sp_timer_start(1000, count_run, 1);
        uint32_t before = sp__load_seq_cst(&drops);
        sp__fault_arm(sp__fault_calls() + 1, true); /* the thread of the task is not to be had */
        sp_timer *timer = sp_timer_start(0, count_run, 1);
        test_await(sp__load_seq_cst(&drops) == before + 1); /* it is not pending any more */
        assert_true(sp_timer_cancel(later));
        sp_timer_release(later);
        if (looked)
            assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OS_ERROR);
        else
            test_await(sp_timer_cancel(timer)); /* true: it will never run */
        sp__fault_disarm();
        unseen[0] = '\0';
        sp_timer_release(timer);
        assert_string_equal(unseen, looked ? "" : "SP_OS_ERROR: count_run");
    }
    sp_set_unseen_error_hook(NULL, NULL);
    assert_int_equal(sp__load_seq_cst(&runs), 0);
}

static sp_timer *own;
static sp_event own_is_set;

static sp_status join_own(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&own_is_set, SP_FOREVER);
    return sp_timer_join(own, SP_FOREVER);
}
SP_TASK(join_own, sp_none, sp_none);

static void statuses_of_join(void **state)
{
    (void)state;
    assert_int_equal(sp_timer_join(NULL, 1), SP_MEMORY_ERROR);
    assert_false(sp_timer_cancel(NULL));
    sp_timer_release(NULL);
    own = sp_timer_start(0, join_own);
    sp_event_set(&own_is_set);
    assert_int_equal(sp_timer_join(own, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_timer_join(own, SP_FOREVER), SP_DEADLOCK);
    assert_false(sp_timer_cancel(own));
    sp_timer_release(own);
}

static sp_status say(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return write(STDOUT_FILENO, "x", 1) == 1 ? SP_OK : sp_raise_errno("write");
}
SP_TASK(say, sp_none, sp_none);

static void process_exit_waits_for_a_pending_timer(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    printf("forks are not run under the thread sanitizer\n");
#else
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    sp_timer *inherited = sp_timer_start(1000, count_run, 1);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        bool closed = !sp_timer_cancel(inherited) && sp_timer_join(inherited, 1) == SP_SHUT_DOWN;
        if (write(STDOUT_FILENO, closed ? "closed" : "open??", 6) == 6)
            sp_timer_release(sp_timer_start(0.05, say));
        exit(0);
    }
    char said[8] = "";
    int status; /* belongs to leak checkers: the parent's timers are not given back in the child */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(sp_timer_cancel(inherited));
    assert_int_equal(read(ends[0], said, sizeof said - 1), 7);
    assert_string_equal(said, "closedx");
    sp_timer_release(inherited);
    close(ends[0]);
    close(ends[1]);
#endif
}

static int plain; /* protected by nothing but the order of start, task and join */

static sp_status add_one(const int *in, int *ret_sum)
{
    plain += *in;
    *ret_sum = plain;
    return SP_OK;
}
SP_TASK(add_one, int, int);

static void order_of_start_task_and_join(void **state)
{
    (void)state;
    for (long i = 0; i < test_count(100); i++) {
        plain = (int)i;
        sp_auto(sp_timer) timer = sp_timer_start(i % 2 ? -1 : 1e-5, add_one, 1);
        assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
        assert_int_equal(plain, i + 1);
    }
}

/* ---- joiners ---- */

enum { JOINERS = 20 };
static uint32_t sleeps, ended; /* atomic */

static void note_sleep(void *context)
{
    (void)context;
    sp__add_relaxed(&sleeps, 1);
}

static void note_nothing(void *context)
{
    (void)context;
}

static sp_status join_it(sp_timer *const *in, sp_status *out)
{
    struct sp__block_hooks hooks = { .before = note_sleep, .after = note_nothing };
    sp__self()->hooks = &hooks;
    *out = sp_timer_join(*in, SP_FOREVER);
    sp__self()->hooks = NULL;
    sp__add_relaxed(&ended, 1);
    return SP_OK;
}
typedef sp_timer *a_timer;
SP_TASK(join_it, a_timer, sp_status);

static void joiners_are_woken_by_their_own_timer_only(void **state)
{
    (void)state;
    sp_timer *far = sp_timer_start(1e6, add_one, 1);
    sp_thread *joiners[JOINERS];
    sp__store_relaxed(&sleeps, 0);
    for (int i = 0; i < JOINERS; i++)
        joiners[i] = sp_start(join_it, far);
    test_await(sp__load_relaxed(&sleeps) >= JOINERS); /* more: one may sleep for the lock of the timers first */
    long rounds = test_count(1000);
    for (long i = rounds; i > 0; i--) {
        sp_timer *other = sp_timer_start(1e5, add_one, 1);
        assert_true(sp_timer_cancel(other));
        assert_int_equal(sp_timer_join(other, SP_FOREVER), SP_CANCELLED);
        sp_timer_release(other);
    }
    assert_in_range(sp__load_relaxed(&sleeps), JOINERS, 2 * JOINERS + rounds / 2); /* not all of them in each round */
    assert_true(sp_timer_cancel(far));
    for (int i = 0; i < JOINERS; i++) {
        sp_status status = SP_OK;
        assert_int_equal(sp_join(joiners[i], &status, SP_FOREVER), SP_OK);
        assert_int_equal(status, SP_CANCELLED);
        sp_thread_release(joiners[i]);
    }
    sp_timer_release(far);
}

static void the_last_handle_may_go_while_it_is_joined(void **state)
{
    (void)state;
    for (long i = test_count(20); i > 0; i--) {
        bool cancels = i % 2;
        sp_timer *timer = sp_timer_start(cancels ? 1e6 : 0.002, add_one, 1);
        sp__store_relaxed(&sleeps, 0);
        sp__store_relaxed(&ended, 0);
        sp_thread *joiner = sp_start(join_it, timer);
        test_await(sp__load_relaxed(&sleeps) > 0 || sp__load_relaxed(&ended) > 0);
        if (cancels)
            assert_true(sp_timer_cancel(timer));
        sp_timer_release(timer);
        sp_status status = SP_RUNTIME_ERROR;
        assert_int_equal(sp_join(joiner, &status, SP_FOREVER), SP_OK);
        assert_int_equal(status, cancels ? SP_CANCELLED : SP_OK);
        sp_thread_release(joiner);
    }
}

/* ---- the drop of a timer that nobody holds ---- */

static uint32_t late_drops; /* atomic: those in the timer thread, which had the last reference */
static uint32_t all_drops;  /* not atomic: sp_join_all orders them before what follows, for the thread sanitizer */

static void drop_slowly(void *arg)
{
    (void)arg;
    if (strcmp(sp_thread_name(sp_thread_current()), "spool-timer") == 0) {
        sp_sleep(0.002);
        sp__add_relaxed(&late_drops, 1);
    }
    all_drops++;
}

static sp_status do_nothing(const int *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK_OWNING(do_nothing, int, sp_none, drop_slowly, NULL);

/* Who has the last reference is a matter of chance: as often as it takes for the timer thread to have it. */
static void join_all_waits_for_drops_in_the_timer_thread(void **state)
{
    enum { SECONDS = 10, ENOUGH = 6 };
    (void)state;
    sp__store_relaxed(&late_drops, 0);
    double end = sp_monotonic() + SECONDS;
    for (uint32_t i = 1; sp_monotonic() < end && sp__load_relaxed(&late_drops) < ENOUGH; i++) {
        sp_timer_release(sp_timer_start(0, do_nothing, 0));
        if (i % 2 == 0)
            sp_sleep(0.005); /* then there may be nothing left to wait for */
        assert_true(sp_join_all(SP_FOREVER));
        assert_int_equal(all_drops, i);
    }
    if (sp__load_relaxed(&late_drops) == 0) { /* an emulator, or memcheck, may have one order always */
        puts("the timer thread never had the last reference");
        skip();
    }
}

/* A drop in the timer thread that waits for all that there is: not for the timer whose argument it drops. */
static void drop_when_all_is_done(void *arg)
{
    (void)arg;
    assert_true(sp_join_all(SP_FOREVER));
    sp__add_seq_cst(&drops, 1);
}

static sp_status never_run(const int *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&runs, 1);
    return SP_OK;
}
SP_TASK_OWNING(never_run, int, sp_none, drop_when_all_is_done, NULL);

static void a_drop_in_the_timer_thread_does_not_wait_for_itself(void **state)
{
    (void)state;
    starts_from_nothing();
    sp_timer *timer = sp_timer_start(0.05, never_run, 0);
    sp__fault_arm(1, true); /* its thread is not to be had: the timer thread drops the argument */
    test_await(sp__load_seq_cst(&drops) == 1);
    sp__fault_disarm();
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OS_ERROR);
    sp_timer_release(timer);
    assert_int_equal(sp__load_seq_cst(&runs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_may_start_a_timer_while_the_first_is_started), /* first: no timer thread yet */
        cmocka_unit_test(cancel_and_firing_decide_for_one),
        cmocka_unit_test(fires_in_the_order_of_time),
        cmocka_unit_test(one_that_fills_a_gap_fires_before_what_was_above_the_gap),
        cmocka_unit_test(those_that_are_soon_fire_whatever_was_cancelled),
        cmocka_unit_test(many_pending_are_cancelled_in_any_order),
        cmocka_unit_test(failures_come_back),
        cmocka_unit_test(statuses_of_join),
        cmocka_unit_test(order_of_start_task_and_join),
        cmocka_unit_test(joiners_are_woken_by_their_own_timer_only),
        cmocka_unit_test(the_last_handle_may_go_while_it_is_joined),
        cmocka_unit_test(join_all_waits_for_drops_in_the_timer_thread),
        cmocka_unit_test(a_drop_in_the_timer_thread_does_not_wait_for_itself),
        cmocka_unit_test(process_exit_waits_for_a_pending_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
