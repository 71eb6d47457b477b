/* Barriers: abort, reset and time-outs against arrival, at random.

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <spool.h>

#include "os/fault.h"

enum { PARTIES = 3, SABOTEURS = 2 };

struct meeting {
    sp_barrier barrier;
    uint64_t seed;
    long breaks;        /* of each saboteur */
    bool refuses;       /* the action fails now and then */
    uint32_t next;      /* atomic; numbers of the threads */
    uint32_t over;      /* atomic */
    uint64_t actions;   /* atomic; actions that said yes */
    uint64_t passed;    /* atomic; waits that returned SP_OK */
    uint64_t firsts;    /* atomic; of these, with index 0 */
    uint64_t indexes;   /* atomic; sum of their indexes */
    uint64_t timed_out; /* atomic */
    uint64_t broken;    /* atomic */
};

static bool act(void *context)
{
    struct meeting *meeting = context;
    stress_linger(20);
    uint64_t number = sp__add_seq_cst(&meeting->actions, 1);
    if (meeting->refuses && number % 7 == 3) {
        sp__sub_seq_cst(&meeting->actions, 1);
        return false;
    }
    return true;
}

static double draw_timeout(uint64_t *random)
{
    uint64_t drawn = test_random(random);
    return drawn % 4 == 0 ? (double)(drawn >> 32 & 127) * 1e-6 : drawn % 64 == 1 ? SP_NOWAIT : SP_FOREVER;
}

static void count(struct meeting *meeting, sp_status status, unsigned index, double timeout)
{
    stress_expect(status == SP_OK || status == SP_BROKEN_BARRIER || (status == SP_TIMEOUT && timeout < SP_FOREVER));
    stress_expect(index == UINT32_MAX || status == SP_OK);
    if (status == SP_OK) {
        stress_expect(index < PARTIES);
        sp__add_seq_cst(&meeting->passed, 1);
        sp__add_seq_cst(&meeting->firsts, index == 0);
        sp__add_seq_cst(&meeting->indexes, index);
    } else {
        sp__add_seq_cst(status == SP_TIMEOUT ? &meeting->timed_out : &meeting->broken, 1);
    }
}

static void *arrive_again_and_again(void *arg)
{
    struct meeting *meeting = arg;
    uint64_t random = meeting->seed + sp__add_relaxed(&meeting->next, 1);
    sp_status status = SP_OK;
    while (status == SP_OK || !sp__load_acquire(&meeting->over)) {
        unsigned index = UINT32_MAX;
        double timeout = draw_timeout(&random);
        status = sp_barrier_wait(&meeting->barrier, &index, timeout);
        count(meeting, status, index, timeout);
        if (status != SP_OK)
            stress_dawdle(&random);
    }
    return NULL;
}

static void *break_and_mend(void *arg)
{
    struct meeting *meeting = arg;
    uint64_t random = meeting->seed + sp__add_relaxed(&meeting->next, 1);
    for (long i = 0; i < meeting->breaks; i++) {
        if (stress_one_in(3, &random))
            sp_barrier_abort(&meeting->barrier);
        if (stress_one_in(4, &random))
            stress_dawdle(&random);
        else
            sp_barrier_reset(&meeting->barrier);
        stress_expect(sp_barrier_n_waiting(&meeting->barrier) < PARTIES);
        for (uint64_t pauses = test_random(&random) % 64; pauses > 0; pauses--)
            stress_dawdle(&random);
        (void)sp_barrier_broken(&meeting->barrier);
    }
    return NULL;
}

static void *arrive_once(void *arg)
{
    struct meeting *meeting = arg;
    unsigned index = UINT32_MAX;
    sp_status status = sp_barrier_wait(&meeting->barrier, &index, SP_FOREVER);
    stress_expect(status == SP_OK);
    count(meeting, status, index, SP_FOREVER);
    return NULL;
}

static void join_all(pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++)
        test_join(threads[i]);
}

/* Whatever has happened: after a reset a full round passes. */
static void pass_one_round(struct meeting *meeting)
{
    pthread_t threads[PARTIES];
    meeting->passed = meeting->firsts = meeting->indexes = meeting->actions = 0;
    meeting->refuses = false;
    sp_barrier_reset(&meeting->barrier);
    assert_false(sp_barrier_broken(&meeting->barrier));
    assert_int_equal(sp_barrier_n_waiting(&meeting->barrier), 0);
    for (int i = 0; i < PARTIES; i++)
        threads[i] = test_thread(arrive_once, meeting);
    join_all(threads, PARTIES);
    stress_assert_nothing_wrong();
    assert_int_equal(meeting->passed, PARTIES);
    assert_int_equal(meeting->firsts, 1);
    assert_int_equal(meeting->indexes, PARTIES * (PARTIES - 1) / 2);
    assert_int_equal(meeting->actions, 1);
}

static void meet(struct meeting *meeting)
{
    pthread_t parties[PARTIES], saboteurs[SABOTEURS];
    for (int i = 0; i < PARTIES; i++)
        parties[i] = test_thread(arrive_again_and_again, meeting);
    for (int i = 0; i < SABOTEURS; i++)
        saboteurs[i] = test_thread(break_and_mend, meeting);
    join_all(saboteurs, SABOTEURS);
    sp__store_release(&meeting->over, 1);
    sp_barrier_abort(&meeting->barrier); /* nobody mends it any more: whoever waits, or comes, leaves */
    join_all(parties, PARTIES);
    stress_assert_nothing_wrong();
    assert_true(sp_barrier_broken(&meeting->barrier));
    assert_int_equal(sp_barrier_n_waiting(&meeting->barrier), 0);
    /* A round passes for all of them or for none. */
    assert_int_equal(meeting->passed, PARTIES * meeting->firsts);
    assert_int_equal(meeting->indexes, meeting->firsts * (PARTIES * (PARTIES - 1) / 2));
    assert_true(meeting->actions >= meeting->firsts);
}

static void abort_reset_and_timeouts_against_arrival(void **state)
{
    (void)state;
    uint64_t seed = test_seed(), passed = 0, timed_out = 0, broken = 0;
    long meetings = test_count(60); /* x 2 saboteurs x 100 breaks; 10^6 breaks with SPOOL_TEST_SCALE=8500 */
    sp__fault_spurious(seed, 100);
    for (long i = 0; i < meetings; i++) {
        struct meeting meeting = { .seed = seed + 100 * (uint64_t)i, .breaks = 100, .refuses = i % 2 };
        meeting.barrier = (sp_barrier)SP_BARRIER_ACTION(PARTIES, act, &meeting);
        meet(&meeting);
        passed += meeting.passed;
        timed_out += meeting.timed_out;
        broken += meeting.broken;
        pass_one_round(&meeting);
    }
    sp__fault_spurious(0, 0);
    printf("passed %" PRIu64 ", timed out %" PRIu64 ", broken %" PRIu64 "\n", passed, timed_out, broken);
    assert_true(passed > 0 && broken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abort_reset_and_timeouts_against_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
