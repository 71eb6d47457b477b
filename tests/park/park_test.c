/* The parking lot: no wake-up is lost, none is invented, a grant is never lost to a time-out.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "base/nested.h"
#include "conformance/bunch.h"
#include "os/fault.h"
#include "os/os.h"
#include "park/deadline.h"
#include "park/park.h"

/* ---- pairs: two threads take turns on one word ---- */

struct turns {
    uint32_t turn;             /* atomic; whose turn it is, 0 or 1 */
    bool is_last;              /* of who has the turn: the first player makes it so */
    struct test_rounds rounds; /* the first player's */
    long pairs;                /* the second player's: how many there were */
};

struct player {
    struct turns *turns;
    uint32_t number;
};

static bool not_my_turn(void *context)
{
    const struct player *player = context;
    return sp__load_seq_cst(&player->turns->turn) != player->number; /* seq_cst: after counting in, see park/ */
}

static void *play(void *arg)
{
    struct player *player = arg;
    struct turns *turns = player->turns;
    for (bool is_last = false; !is_last;) {
        while (sp__load_acquire(&turns->turn) != player->number)
            sp__park(&(struct sp__wait){ .address = turns,
                                         .kind = SP__EVENT,
                                         .must_wait = not_my_turn,
                                         .context = player,
                                         .deadline = SP__NEVER });
        if (player->number == 0)
            turns->is_last = !test_next_round(&turns->rounds, true);
        is_last = turns->is_last;
        turns->pairs += player->number;
        uint32_t mine = player->number;
        assert_true(sp__cas_seq_cst(&turns->turn, &mine, 1 - player->number));
        if (sp__park_maybe_waiters(turns))
            sp__unpark(&(struct sp__wake){ .address = turns, .kind = SP__EVENT, .most = 1, .token = SP__PARK_RECHECK });
    }
    return NULL;
}

static void pairs_of_park_and_unpark_with_spurious_wakeups(void **state)
{
    (void)state;
    /* 50,000 as a rule, 10^7 with SPOOL_TEST_SCALE=20000 */
    struct turns turns = { .rounds = test_rounds(50000) };
    struct player players[2] = { { &turns, 0 }, { &turns, 1 } };
    sp__fault_spurious(test_seed(), 200);
    pthread_t threads[2] = { test_thread(play, &players[0]), test_thread(play, &players[1]) };
    test_join(threads[0]);
    test_join(threads[1]);
    sp__fault_spurious(0, 0);
    printf("%ld pairs\n", turns.pairs);
    assert_true(turns.pairs >= turns.rounds.least);
}

/* ---- races of a time-out against a grant ---- */

struct race {
    uint32_t want;    /* atomic; 1: the sleeper asks for a grant */
    uint64_t granted; /* by the waker */
    uint64_t taken;   /* by the sleeper */
    uint64_t timeouts;
    uint32_t over; /* atomic */
    struct test_rounds rounds;
    uint64_t seed;
};

static bool still_wanted(void *context)
{
    struct race *race = context;
    sp__store_release(&race->want, 1);
    return true;
}

static void no_longer_wanted(void *context, bool more)
{
    struct race *race = context;
    assert_false(more);
    sp__store_release(&race->want, 0);
}

static void grant_committed(void *context, size_t woken, bool more)
{
    struct race *race = context;
    assert_false(more);
    if (woken == 1)
        sp__store_release(&race->want, 0);
    race->granted += woken;
}

static void *sleep_shortly(void *arg)
{
    struct race *race = arg;
    uint64_t random = race->seed;
    while (test_next_round(&race->rounds, race->taken > 0 && race->timeouts > 0)) {
        int64_t deadline = sp__os_now() + (int64_t)(test_random(&random) % 60000);
        enum sp__parked parked = sp__park(&(struct sp__wait){ .address = race,
                                                              .kind = SP__SEMAPHORE,
                                                              .must_wait = still_wanted,
                                                              .on_timeout = no_longer_wanted,
                                                              .context = race,
                                                              .deadline = deadline });
        race->taken += parked == SP__PARK_GRANTED;
        race->timeouts += parked == SP__PARK_TIMEOUT;
        assert_true(parked == SP__PARK_GRANTED || parked == SP__PARK_TIMEOUT);
    }
    sp__store_release(&race->over, 1);
    return NULL;
}

static void races_of_timeout_against_grant(void **state)
{
    (void)state;
    /* 20,000 as a rule, 10^6 with SPOOL_TEST_SCALE=5000 */
    struct race race = { .rounds = test_rounds(20000), .seed = test_seed() };
    sp__fault_spurious(race.seed, 100);
    pthread_t thread = test_thread(sleep_shortly, &race);
    uint64_t random = race.seed + 1;
    while (!sp__load_acquire(&race.over)) {
        /* About when the sleeper's time is up; the system wakes it some 50 microseconds late. */
        int64_t about_then = sp__os_now() + (int64_t)(test_random(&random) % 120000);
        while (sp__os_now() < about_then)
            sp__cpu_relax();
        sp__unpark(&(struct sp__wake){ .address = &race,
                                       .kind = SP__SEMAPHORE,
                                       .most = 1,
                                       .token = SP__PARK_GRANTED,
                                       .commit = grant_committed,
                                       .context = &race });
    }
    test_join(thread);
    sp__fault_spurious(0, 0);
    printf("granted %" PRIu64 ", timed out %" PRIu64 "\n", race.granted, race.timeouts);
    assert_int_equal(race.granted, race.taken);
    assert_true(race.granted + race.timeouts >= (uint64_t)race.rounds.least);
    assert_true(race.granted > 0 && race.timeouts > 0);
}

/* ---- an event that its waiter frees while set is still inside ---- */

static void *wait_and_free(void *arg)
{
    sp_event **slot = arg;
    for (;;) {
        sp_event *event = sp__load_acquire(slot);
        if (event == NULL)
            continue;
        if ((uintptr_t)event == 1)
            return NULL;
        assert_true(sp_event_wait(event, SP_FOREVER));
        memset(event, 0xff, sizeof *event); /* whoever reads it now reads nonsense */
        free(event);
        sp__store_release(slot, NULL);
    }
}

static void event_freed_by_its_waiter_while_set_is_inside(void **state)
{
    (void)state;
    sp_event *slot = NULL;
    pthread_t thread = test_thread(wait_and_free, &slot);
    for (struct test_rounds rounds = test_rounds(20000); test_next_round(&rounds, true);) {
        sp_event *event = calloc(1, sizeof *event);
        sp__store_release(&slot, event);
        for (long spin = rounds.begun % 500; spin > 0; spin--)
            sp__cpu_relax();
        sp_event_set(event);
        test_await(sp__load_acquire(&slot) == NULL);
    }
    sp__store_release(&slot, (sp_event *)1);
    test_join(thread);
}

/* ---- matching ---- */

struct sleeper {
    const void *address;
    enum sp__kind kind;
    enum sp__parked result;
    uint32_t asleep; /* atomic; set under the bucket lock */
};

static bool mark_asleep(void *context)
{
    struct sleeper *sleeper = context;
    sp__store_release(&sleeper->asleep, 1);
    return true;
}

static void *sleep_untimed(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->result = sp__park(&(struct sp__wait){ .address = sleeper->address,
                                                   .kind = sleeper->kind,
                                                   .must_wait = mark_asleep,
                                                   .context = sleeper,
                                                   .deadline = SP__NEVER });
    return NULL;
}

static size_t wake(const void *address, enum sp__kind kind, size_t most)
{
    return sp__unpark(&(struct sp__wake){ .address = address, .kind = kind, .most = most, .token = SP__PARK_GRANTED });
}

static void unpark_matches_address_and_kind(void **state)
{
    (void)state;
    uint64_t word;
    struct sleeper sleeper = { .address = &word, .kind = SP__LOCK };
    pthread_t thread = test_thread(sleep_untimed, &sleeper);
    test_await(sp__load_acquire(&sleeper.asleep));
    assert_int_equal(wake(&word, SP__EVENT, SIZE_MAX), 0);
    assert_int_equal(wake(&sleeper, SP__LOCK, SIZE_MAX), 0);
    assert_int_equal(wake(&word, SP__LOCK, 0), 0);
    assert_int_equal(wake(&word, SP__LOCK, 1), 1);
    test_join(thread);
    assert_int_equal(sleeper.result, SP__PARK_GRANTED);
    assert_int_equal(wake(&word, SP__LOCK, SIZE_MAX), 0);
}

static void note_more(void *context, size_t woken, bool more)
{
    int *noted = context;
    *noted = (int)woken * 2 + more;
}

static void unpark_wakes_the_longest_sleepers_and_tells_of_more(void **state)
{
    (void)state;
    uint64_t word;
    struct sleeper sleepers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        sleepers[i] = (struct sleeper){ .address = &word, .kind = SP__LOCK };
        threads[i] = test_thread(sleep_untimed, &sleepers[i]);
        test_await(sp__load_acquire(&sleepers[i].asleep));
    }
    int noted = 0;
    struct sp__wake two = {
        .address = &word, .kind = SP__LOCK, .most = 2, .token = SP__PARK_GRANTED, .commit = note_more, .context = &noted
    };
    assert_int_equal(sp__unpark(&two), 2);
    assert_int_equal(noted, 2 * 2 + 1);
    test_join(threads[0]);
    test_join(threads[1]);
    assert_int_equal(sp__unpark(&two), 1);
    assert_int_equal(noted, 1 * 2 + 0);
    test_join(threads[2]);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static enum sp__parked sleep_on(const void *address, bool (*must_wait)(void *context), int64_t deadline)
{
    return sp__park(
        &(struct sp__wait){ .address = address, .kind = SP__LOCK, .must_wait = must_wait, .deadline = deadline });
}

/* A count that stays too high costs each waker a look. */
static void nobody_is_counted_who_does_not_sleep(void **state)
{
    (void)state;
    uint64_t word = 0;
    struct sleeper sleeper = { .address = &word, .kind = SP__LOCK };
    assert_false(sp__park_maybe_waiters(&word));
    assert_int_equal(sleep_on(&word, never, SP__NEVER), SP__PARK_CHANGED);
    assert_false(sp__park_maybe_waiters(&word));
    assert_int_equal(sleep_on(&word, always, sp__os_now() + 1), SP__PARK_TIMEOUT);
    assert_false(sp__park_maybe_waiters(&word));
    pthread_t thread = test_thread(sleep_untimed, &sleeper);
    test_await(sp__load_acquire(&sleeper.asleep));
    assert_true(sp__park_maybe_waiters(&word));
    assert_int_equal(wake(&word, SP__LOCK, 1), 1);
    assert_false(sp__park_maybe_waiters(&word));
    test_join(thread);
}

struct late {
    uint64_t word;
    int64_t deadline;
    long system_id; /* atomic */
    uint32_t ended; /* atomic */
};

static void *sleep_until_deadline(void *arg)
{
    struct late *late = arg;
    sp__store_release(&late->system_id, syscall(SYS_gettid));
    assert_int_equal(
        sp__park(&(struct sp__wait){
            .address = &late->word, .kind = SP__LOCK, .must_wait = always, .deadline = late->deadline, .spun = true }),
        SP__PARK_GRANTED);
    sp__store_release(&late->ended, 1);
    return NULL;
}

/* Its record is on its stack, and the waker will write into it. */
static void whose_time_is_up_stays_until_its_waker_is_done(void **state)
{
    (void)state;
    struct late late = { .deadline = sp__os_now() + 20000000 };
    struct sp__list woken;
    pthread_t thread = test_thread(sleep_until_deadline, &late);
    sp__list_init(&woken);
    test_await(sp__park_maybe_waiters(&late.word));
    sp__unpark_into(&(struct sp__wake){ .address = &late.word, .kind = SP__LOCK, .most = 1, .token = SP__PARK_GRANTED },
                    &woken);
    assert_false(sp__list_empty(&woken)); /* it was there in time */
    test_await(sp__load_acquire(&late.ended) ||
               (sp__os_now() > late.deadline + 10000000 && thread_sleeps(sp__load_acquire(&late.system_id))));
    assert_false(sp__load_acquire(&late.ended));
    sp__wake_unlinked(&woken);
    test_join(thread);
}

static bool count_asked(void *context)
{
    ++*(int *)context;
    return true;
}

/* What the waker would ask may be gone where nobody sleeps. */
static void nobody_is_asked_to_put_off_a_wake_up_that_there_is_not(void **state)
{
    (void)state;
    uint64_t word = 0;
    int asked = 0;
    struct sp__wake all = { .address = &word, .kind = SP__LOCK, .most = 1, .defer = count_asked, .context = &asked };
    assert_int_equal(sp__unpark(&all), 0);
    assert_int_equal(asked, 0);
}

/* ---- what is done before a call of the system that may take long ---- */

static struct sp__nested_call nested[SP__MOST_NESTED + 1];
static int made;                /* of the calls */
static int made_before_waiting; /* as the wait saw it */

static void look_at_calls(void *context)
{
    (void)context;
    made_before_waiting = made;
}

/* Each makes the next; the last is too deep, and put off.  It comes before the wait, which may be for what it does. */
static void nest(struct sp__nested_call *call)
{
    made++;
    if (call == &nested[SP__MOST_NESTED])
        return;
    (call + 1)->run = nest;
    sp__call_nested(call + 1);
    if (call == &nested[SP__MOST_NESTED - 1])
        sp__park_block(look_at_calls, NULL, NULL);
}

static void a_call_of_the_system_comes_after_what_was_put_off(void **state)
{
    (void)state;
    nested[0].run = nest;
    sp__call_nested(&nested[0]);
    assert_int_equal(made, SP__MOST_NESTED + 1);
    assert_int_equal(made_before_waiting, SP__MOST_NESTED + 1);
}

static sp_lock lock;
static sp_condition condition;
static uint32_t is_awake; /* atomic */

static void note_awake(void *context)
{
    (void)context;
    sp__store_release(&is_awake, 1);
}

static void ignore(void *context)
{
    (void)context;
}

static void *wait_to_be_notified(void *arg)
{
    struct sp__block_hooks hooks = { .before = ignore, .after = note_awake };
    sp_lock_acquire(&lock);
    sp__self()->hooks = &hooks;
    assert_true(sp_condition_wait(&condition, &lock, SP_FOREVER));
    sp__self()->hooks = NULL;
    sp_lock_release(&lock);
    return arg;
}

static void await_awake(void *context)
{
    (void)context;
    test_await(sp__load_acquire(&is_awake));
}

static void whoever_was_notified_is_awake_in_a_call_of_the_system(void **state)
{
    (void)state;
    pthread_t thread = test_thread(wait_to_be_notified, NULL);
    test_await(sp__park_maybe_waiters(&condition));
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    sp__park_block(await_awake, NULL, NULL);
    sp_lock_release(&lock);
    test_join(thread);
}

/* ---- hooks ---- */

static void count_up(void *context)
{
    ++*(int *)context;
}

static void block_hooks_run_around_a_sleep_and_not_without_one(void **state)
{
    (void)state;
    int calls = 0;
    struct sp__block_hooks hooks = { .before = count_up, .after = count_up, .context = &calls };
    sp__self()->hooks = &hooks;
    assert_int_equal(sp__park(&(struct sp__wait){ .address = &calls, .kind = SP__LOCK, .must_wait = never }),
                     SP__PARK_CHANGED);
    assert_int_equal(calls, 0);
    sp_sleep(0.001);
    assert_int_equal(calls, 2);
    sp__park_block(count_up, &calls, NULL);
    assert_int_equal(calls, 5);
    sp__self()->hooks = NULL;
}

/* ---- deadlines ---- */

static void deadlines_round_up_and_saturate(void **state)
{
    (void)state;
    assert_int_equal(sp__deadline(0), SP__PASSED);
    assert_int_equal(sp__deadline(-1), SP__PASSED);
    assert_int_equal(sp__deadline(-1e300), SP__PASSED);
    assert_int_equal(sp__deadline(strtod("nan", NULL)), SP__PASSED);
    assert_int_equal(sp__deadline(SP_FOREVER), SP__NEVER);
    assert_int_equal(sp__deadline(strtod("inf", NULL)), SP__NEVER);
    assert_int_equal(sp__deadline(9.1e9 + 1.5e8), SP__NEVER);
    int64_t before = sp__os_now(), deadline = sp__deadline(1e-12);
    assert_true(deadline > before);
    assert_false(sp__deadline_passed(SP__NEVER));
    assert_true(sp__deadline_passed(SP__PASSED));
    assert_true(sp__deadline_passed(sp__os_now()));
}

static void sleep_never_ends_early(void **state)
{
    (void)state;
    sp__fault_spurious(test_seed(), 500);
    for (int i = 0; i < 20; i++) {
        double begin = sp_monotonic();
        sp_sleep(0.002);
        assert_true(sp_monotonic() - begin >= 0.002);
    }
    sp__fault_spurious(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_park_and_unpark_with_spurious_wakeups),
        cmocka_unit_test(races_of_timeout_against_grant),
        cmocka_unit_test(event_freed_by_its_waiter_while_set_is_inside),
        cmocka_unit_test(unpark_matches_address_and_kind),
        cmocka_unit_test(unpark_wakes_the_longest_sleepers_and_tells_of_more),
        cmocka_unit_test(nobody_is_counted_who_does_not_sleep),
        cmocka_unit_test(whose_time_is_up_stays_until_its_waker_is_done),
        cmocka_unit_test(nobody_is_asked_to_put_off_a_wake_up_that_there_is_not),
        cmocka_unit_test(a_call_of_the_system_comes_after_what_was_put_off),
        cmocka_unit_test(whoever_was_notified_is_awake_in_a_call_of_the_system),
        cmocka_unit_test(block_hooks_run_around_a_sleep_and_not_without_one),
        cmocka_unit_test(deadlines_round_up_and_saturate),
        cmocka_unit_test(sleep_never_ends_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
