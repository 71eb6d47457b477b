/* sp_semaphore behaves like threading.Semaphore and threading.BoundedSemaphore.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/bunch.h"

/* Each test of this section is run with an unbounded and with a bounded one. */
static sp_semaphore of(void **state, unsigned permits)
{
    bool bounded = *(const bool *)*state;
    return bounded ? (sp_semaphore)SP_BOUNDED_SEMAPHORE(permits) : (sp_semaphore)SP_SEMAPHORE(permits);
}

static bool try(sp_semaphore *semaphore)
{
    return sp_semaphore_acquire_timeout(semaphore, SP_NOWAIT);
}

static void give(sp_semaphore *semaphore, unsigned n)
{
    assert_int_equal(sp_semaphore_release(semaphore, n), SP_OK);
}

static void permits_are_taken_and_given(void **state)
{
    for (unsigned permits = 1; permits <= 2; permits++) {
        sp_semaphore semaphore = of(state, permits);
        for (unsigned i = 0; i < permits; i++)
            sp_semaphore_acquire(&semaphore);
        assert_false(try(&semaphore));
        for (unsigned i = 0; i < permits; i++)
            give(&semaphore, 1);
        assert_true(try(&semaphore));
    }
}

static void one_with_a_permit_out_may_be_forgotten(void **state)
{
    sp_semaphore *semaphore = malloc(sizeof *semaphore);
    *semaphore = of(state, 1);
    sp_semaphore_acquire(semaphore);
    *semaphore = of(state, 1); /* its memory becomes a new one */
    assert_true(try(semaphore));
    free(semaphore);
}

static void tries(void **state)
{
    sp_semaphore semaphore = of(state, 2);
    assert_true(try(&semaphore));
    assert_true(try(&semaphore));
    assert_false(try(&semaphore));
    give(&semaphore, 1);
    assert_true(try(&semaphore));
    assert_false(try(&semaphore));
}

struct crowd {
    sp_semaphore semaphore;
    uint32_t phase;     /* atomic */
    uint32_t passed[3]; /* atomic; acquires that returned in each phase */
    uint32_t yes, no;   /* atomic; answers to tries */
};

static uint32_t passed(const struct crowd *crowd)
{
    return sp__load_acquire(&crowd->passed[0]) + sp__load_acquire(&crowd->passed[1]) +
           sp__load_acquire(&crowd->passed[2]);
}

static void acquire_twice(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 2; i++) {
        sp_semaphore_acquire(&crowd->semaphore);
        sp__add_seq_cst(&crowd->passed[sp__load_acquire(&crowd->phase)], 1);
    }
}

/* Ten threads want two permits each of 7, one of which is out: 6 pass, then 7, then 6, then the last. */
static void ten_threads(void **state, bool one_by_one)
{
    struct crowd crowd = { .semaphore = of(state, 7) };
    const unsigned given[3] = { 0, 7, 6 };
    struct bunch bunch;
    uint32_t expected = 6;
    sp_semaphore_acquire(&crowd.semaphore);
    bunch_start(&bunch, 10, acquire_twice, &crowd);
    for (uint32_t phase = 0; phase < 3; phase++) {
        expected += given[phase];
        sp__store_release(&crowd.phase, phase);
        for (unsigned i = 0; one_by_one && i < given[phase]; i++)
            give(&crowd.semaphore, 1);
        if (!one_by_one && given[phase] > 0)
            give(&crowd.semaphore, given[phase]);
        test_await(passed(&crowd) >= expected);
        assert_int_equal(passed(&crowd), expected);
    }
    assert_false(try(&crowd.semaphore));
    give(&crowd.semaphore, 1);
    bunch_join(&bunch);
    assert_int_equal(crowd.passed[0], 6);
    assert_int_equal(crowd.passed[1], 7);
    assert_int_equal(crowd.passed[2], 7);
}

static void as_many_pass_as_there_are_permits(void **state)
{
    ten_threads(state, true);
}

static void several_permits_at_once_let_as_many_pass(void **state)
{
    ten_threads(state, false);
}

static void try_twice(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 2; i++)
        sp__add_seq_cst(try(&crowd->semaphore) ? &crowd->yes : &crowd->no, 1);
}

static void ten_tries_for_three_permits(void **state)
{
    struct crowd crowd = { .semaphore = of(state, 4) };
    sp_semaphore_acquire(&crowd.semaphore);
    bunch_of(5, try_twice, &crowd);
    assert_int_equal(crowd.yes, 3);
    assert_int_equal(crowd.no, 7);
}

static void time_outs(void **state)
{
    sp_semaphore semaphore = of(state, 2);
    assert_true(sp_semaphore_acquire_timeout(&semaphore, 0.005));
    assert_true(sp_semaphore_acquire_timeout(&semaphore, 0.005));
    assert_false(sp_semaphore_acquire_timeout(&semaphore, 0.005));
    give(&semaphore, 1);
    assert_true(sp_semaphore_acquire_timeout(&semaphore, 0.005));
    double begin = sp_monotonic();
    assert_false(sp_semaphore_acquire_timeout(&semaphore, 0.1));
    assert_true(sp_monotonic() - begin >= 0.1);
    assert_false(sp_semaphore_acquire_timeout(&semaphore, -1));
}

static void acquire_and_give(void *context)
{
    sp_semaphore *semaphore = context;
    sp_semaphore_acquire(semaphore);
    give(semaphore, 1);
}

static void a_permit_may_be_given_by_another_thread(void **state)
{
    sp_semaphore semaphore = of(state, 1);
    struct bunch bunch;
    sp_semaphore_acquire(&semaphore);
    bunch_start(&bunch, 1, acquire_and_give, &semaphore);
    bunch_await_sleep(&bunch);
    assert_int_equal(bunch_finished(&bunch), 0);
    give(&semaphore, 1);
    bunch_join(&bunch);
    assert_true(try(&semaphore));
}

static void scopes(sp_semaphore *semaphore, bool leave_early)
{
    SP_HOLD(semaphore);
    assert_true(try(semaphore));
    give(semaphore, 1);
    SP_WITH(semaphore)
    {
        assert_false(try(semaphore));
        if (leave_early)
            return;
    }
    assert_true(try(semaphore));
    give(semaphore, 1);
}

static void a_scope_gives_its_permit_back_however_it_is_left(void **state)
{
    sp_semaphore semaphore = of(state, 2);
    for (int leave_early = 0; leave_early <= 1; leave_early++) {
        scopes(&semaphore, leave_early != 0);
        assert_true(try(&semaphore));
        assert_true(try(&semaphore));
        assert_false(try(&semaphore));
        give(&semaphore, 2);
    }
}

/* ---- where the two kinds differ ---- */

static void an_unbounded_one_grows(void **state)
{
    (void)state;
    sp_semaphore semaphore = SP_SEMAPHORE(1);
    give(&semaphore, 1);
    sp_semaphore_acquire(&semaphore);
    sp_semaphore_acquire(&semaphore);
    assert_false(try(&semaphore));
    give(&semaphore, 1);
}

static void take(void *context)
{
    sp_semaphore_acquire((sp_semaphore *)context);
}

static void give_back(void *context)
{
    give((sp_semaphore *)context, 1);
}

static void a_bounded_one_does_not_go_past_its_first_value(void **state)
{
    (void)state;
    for (int limit = 1; limit < 10; limit++) {
        sp_semaphore semaphore = SP_BOUNDED_SEMAPHORE(limit);
        assert_int_equal(sp_semaphore_release(&semaphore, 1), SP_VALUE_ERROR);
        bunch_of(limit, take, &semaphore);
        assert_false(try(&semaphore));
        bunch_of(limit, give_back, &semaphore);
        assert_int_equal(sp_semaphore_release(&semaphore, 1), SP_VALUE_ERROR);
    }
}

static bool unbounded = false, bounded = true;
#define WITH_BOTH(test)                                                                                                \
    { #test ", unbounded", test, NULL, NULL, &unbounded },                                                             \
    {                                                                                                                  \
#test ", bounded", test, NULL, NULL, &bounded                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOTH(permits_are_taken_and_given),
        WITH_BOTH(one_with_a_permit_out_may_be_forgotten),
        WITH_BOTH(tries),
        WITH_BOTH(as_many_pass_as_there_are_permits),
        WITH_BOTH(several_permits_at_once_let_as_many_pass),
        WITH_BOTH(ten_tries_for_three_permits),
        WITH_BOTH(time_outs),
        WITH_BOTH(a_permit_may_be_given_by_another_thread),
        WITH_BOTH(a_scope_gives_its_permit_back_however_it_is_left),
        cmocka_unit_test(an_unbounded_one_grows),
        cmocka_unit_test(a_bounded_one_does_not_go_past_its_first_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
