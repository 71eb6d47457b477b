/* sp_barrier behaves like threading.Barrier.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/bunch.h"

enum { N = 5 };

struct meeting {
    sp_barrier barrier, other;
    double timeout;             /* set once; of the waits under test */
    uint32_t in, out;           /* atomic */
    uint32_t indices;           /* atomic; a bit for each index that was given */
    uint32_t sum;               /* atomic */
    uint32_t actions;           /* atomic */
    uint32_t ok, broken, timed; /* atomic; answers to the waits under test */
    uint32_t again;             /* atomic; SP_OK afterwards */
    uint32_t wrong;             /* atomic; what must not be */
    int passes;                 /* set once */
};

static void count(uint32_t *counter)
{
    sp__add_seq_cst(counter, 1);
}

static void expect(struct meeting *meeting, bool what)
{
    if (!what)
        count(&meeting->wrong);
}

static void note_answer(struct meeting *meeting, sp_status status)
{
    count(status == SP_OK               ? &meeting->ok
          : status == SP_BROKEN_BARRIER ? &meeting->broken
          : status == SP_TIMEOUT        ? &meeting->timed
                                        : &meeting->wrong);
}

/* All arrive; the index of the caller. */
static unsigned meet(struct meeting *meeting, sp_barrier *barrier)
{
    unsigned index = 99;
    expect(meeting, sp_barrier_wait(barrier, &index, SP_FOREVER) == SP_OK);
    expect(meeting, index < N);
    return index;
}

static void run(struct meeting *meeting, void (*body)(void *context))
{
    bunch_of(N, body, meeting);
    assert_int_equal(meeting->wrong, 0);
}

/* ---- lockstep ---- */

static void pass_in_lockstep(void *context)
{
    struct meeting *meeting = context;
    for (uint32_t i = 0; i < (uint32_t)meeting->passes; i++) {
        count(&meeting->in);
        expect(meeting, sp__load_acquire(&meeting->out) == i * N); /* nobody is ahead */
        (void)meet(meeting, &meeting->barrier);
        count(&meeting->out);
        expect(meeting, sp__load_acquire(&meeting->in) == (i + 1) * N); /* nobody is behind */
        (void)meet(meeting, &meeting->barrier);
    }
}

static void lockstep(int passes)
{
    struct meeting meeting = { .barrier = SP_BARRIER(N), .passes = passes };
    run(&meeting, pass_in_lockstep);
    assert_int_equal(meeting.out, (uint32_t)passes * N);
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
    assert_false(sp_barrier_broken(&meeting.barrier));
}

static void all_pass_together(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--)
        lockstep(1);
}

static void all_pass_together_many_times(void **state)
{
    (void)state;
    lockstep(10);
    lockstep((int)test_count(1000));
}

static void note_index(void *context)
{
    struct meeting *meeting = context;
    unsigned index = meet(meeting, &meeting->barrier);
    sp__or_acq_rel(&meeting->indices, 1u << index);
    sp__add_seq_cst(&meeting->sum, index);
}

static void each_waiter_gets_an_index_of_its_own(void **state)
{
    (void)state;
    struct meeting meeting = { .barrier = SP_BARRIER(N) };
    run(&meeting, note_index);
    assert_int_equal(meeting.indices, (1u << N) - 1); /* one of them 0 */
    assert_int_equal(meeting.sum, N * (N - 1) / 2);
}

/* ---- the action ---- */

static bool act(void *context)
{
    struct meeting *meeting = context;
    expect(meeting, sp__load_acquire(&meeting->out) % N == 0); /* nobody has left */
    count(&meeting->actions);
    return true;
}

static void pass_an_action(void *context)
{
    struct meeting *meeting = context;
    (void)meet(meeting, &meeting->barrier);
    expect(meeting, sp__load_acquire(&meeting->actions) == 1);
    count(&meeting->out);
}

static void the_action_runs_once_before_anyone_leaves(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 1 };
    meeting.barrier = (sp_barrier)SP_BARRIER_ACTION(N, act, &meeting);
    run(&meeting, pass_an_action);
    assert_int_equal(meeting.actions, 1);
}

static bool refuse(void *context)
{
    count(&((struct meeting *)context)->actions);
    return false;
}

static void wait_and_note(void *context)
{
    struct meeting *meeting = context;
    note_answer(meeting, sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER));
}

static void an_action_that_returns_false_breaks_it(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 1 };
    meeting.barrier = (sp_barrier)SP_BARRIER_ACTION(N, refuse, &meeting);
    run(&meeting, wait_and_note);
    assert_int_equal(meeting.actions, 1);
    assert_int_equal(meeting.broken, N);
    assert_true(sp_barrier_broken(&meeting.barrier));
}

/* ---- abort and reset ---- */

/* After a first meeting one of them leaves without a second; returns whether the caller is that one.  Who has not left the
   first yet when the second breaks may hear of it there, as in Python. */
static bool one_leaves(struct meeting *meeting)
{
    unsigned index = 99;
    sp_status status = sp_barrier_wait(&meeting->barrier, &index, SP_FOREVER);
    if (status == SP_OK && index == N / 2)
        return true;
    note_answer(meeting, status != SP_OK ? status : sp_barrier_wait(&meeting->barrier, NULL, meeting->timeout));
    return false;
}

static void abort_second(void *context)
{
    struct meeting *meeting = context;
    if (one_leaves(meeting))
        sp_barrier_abort(&meeting->barrier);
}

static void abort_breaks_it_for_all(void **state)
{
    (void)state;
    struct meeting meeting = { .barrier = SP_BARRIER(N), .timeout = SP_FOREVER };
    run(&meeting, abort_second);
    assert_int_equal(meeting.ok + meeting.timed, 0);
    assert_int_equal(meeting.broken, N - 1);
    assert_true(sp_barrier_broken(&meeting.barrier));
    assert_int_equal(sp_barrier_wait(&meeting.barrier, NULL, SP_FOREVER), SP_BROKEN_BARRIER);
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
}

static void reset_second_and_meet(void *context)
{
    struct meeting *meeting = context;
    if (one_leaves(meeting)) {
        test_await(sp_barrier_n_waiting(&meeting->barrier) == N - 1);
        sp_barrier_reset(&meeting->barrier);
    }
    (void)meet(meeting, &meeting->barrier);
    count(&meeting->again);
}

static void reset_frees_who_waits_and_it_works_on(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct meeting meeting = { .barrier = SP_BARRIER(N), .timeout = SP_FOREVER };
        run(&meeting, reset_second_and_meet);
        assert_int_equal(meeting.ok + meeting.timed, 0);
        assert_int_equal(meeting.broken, N - 1);
        assert_int_equal(meeting.again, N);
        assert_false(sp_barrier_broken(&meeting.barrier));
    }
}

static void abort_reset_and_meet(void *context)
{
    struct meeting *meeting = context;
    abort_second(meeting);
    if (meet(meeting, &meeting->other) == N / 2) /* all have left the broken one */
        sp_barrier_reset(&meeting->barrier);
    (void)meet(meeting, &meeting->other); /* nobody comes before the reset */
    (void)meet(meeting, &meeting->barrier);
    count(&meeting->again);
}

static void a_broken_one_can_be_reset(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct meeting meeting = { .barrier = SP_BARRIER(N), .other = SP_BARRIER(N), .timeout = SP_FOREVER };
        run(&meeting, abort_reset_and_meet);
        assert_int_equal(meeting.ok + meeting.timed, 0);
        assert_int_equal(meeting.broken, N - 1);
        assert_int_equal(meeting.again, N);
    }
}

/* ---- time-outs ---- */

static void stay_away(void *context)
{
    struct meeting *meeting = context;
    if (!one_leaves(meeting))
        return;
    test_await(sp_barrier_broken(&meeting->barrier)); /* late: the others have given up */
    expect(meeting, sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER) == SP_BROKEN_BARRIER);
}

static void a_wait_whose_time_is_up_breaks_it(void **state)
{
    (void)state;
    struct meeting meeting = { .barrier = SP_BARRIER(N), .timeout = 0.05 };
    double begin = sp_monotonic();
    run(&meeting, stay_away);
    assert_true(sp_monotonic() - begin >= 0.05);
    assert_int_equal(meeting.ok, 0);
    assert_true(meeting.timed >= 1); /* the first; the others hear of it, or their time is up too */
    assert_true(meeting.timed + meeting.broken >= N - 1);
    assert_true(sp_barrier_broken(&meeting.barrier));
}

static void a_time_of_nothing_is_up_at_once(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(2);
    assert_int_equal(sp_barrier_wait(&barrier, NULL, SP_NOWAIT), SP_TIMEOUT);
    assert_true(sp_barrier_broken(&barrier));
    assert_int_equal(sp_barrier_wait(&barrier, NULL, SP_FOREVER), SP_BROKEN_BARRIER);
    sp_barrier_reset(&barrier);
    assert_false(sp_barrier_broken(&barrier));
}

/* ---- what can be asked ---- */

static void one_of_one_never_waits(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(1);
    for (int i = 0; i < 2; i++) {
        unsigned index = 99;
        assert_int_equal(sp_barrier_wait(&barrier, &index, SP_FOREVER), SP_OK);
        assert_int_equal(index, 0);
    }
}

static void it_says_who_waits_and_whether_it_is_broken(void **state)
{
    (void)state;
    struct meeting meeting = { .barrier = SP_BARRIER(3) };
    struct bunch bunch;
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
    bunch_start(&bunch, 2, wait_and_note, &meeting);
    test_await(sp_barrier_n_waiting(&meeting.barrier) == 2);
    assert_false(sp_barrier_broken(&meeting.barrier));
    assert_int_equal(sp_barrier_wait(&meeting.barrier, NULL, SP_FOREVER), SP_OK);
    bunch_join(&bunch);
    assert_int_equal(meeting.ok, 2);
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
    sp_barrier_abort(&meeting.barrier);
    assert_true(sp_barrier_broken(&meeting.barrier));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pass_together),
        cmocka_unit_test(all_pass_together_many_times),
        cmocka_unit_test(each_waiter_gets_an_index_of_its_own),
        cmocka_unit_test(the_action_runs_once_before_anyone_leaves),
        cmocka_unit_test(an_action_that_returns_false_breaks_it),
        cmocka_unit_test(abort_breaks_it_for_all),
        cmocka_unit_test(reset_frees_who_waits_and_it_works_on),
        cmocka_unit_test(a_broken_one_can_be_reset),
        cmocka_unit_test(a_wait_whose_time_is_up_breaks_it),
        cmocka_unit_test(a_time_of_nothing_is_up_at_once),
        cmocka_unit_test(one_of_one_never_waits),
        cmocka_unit_test(it_says_who_waits_and_whether_it_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
