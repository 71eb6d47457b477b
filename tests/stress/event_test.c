/* Events that several threads set and clear at once: who waited when a set happened is released.

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <spool.h>

#include "os/fault.h"
#include "park/runner.h"

enum { WAITERS = 4, SETTERS = 2, CLEARERS = 2 };

/* ---- rounds: all sleep; each setter sets once while others clear; nobody may stay asleep ---- */

struct round {
    sp_event event;
    uint64_t seed;
    long rounds;
    uint32_t next;    /* atomic; numbers of the threads */
    uint32_t asleep;  /* atomic; how many waiters of this round sleep, or slept */
    uint32_t woken;   /* atomic; how many waiters came back, in all */
    uint32_t number;  /* atomic; of the round, from 1 */
    uint32_t changed; /* atomic; setters and clearers that are done with the round, in all */
};

static void falls_asleep(void *context)
{
    sp__add_seq_cst((uint32_t *)context, 1);
}

static void wakes_up(void *context)
{
    (void)context;
}

static void await_round(struct round *round, uint32_t number)
{
    while (sp__load_acquire(&round->number) < number)
        sched_yield();
}

/* A wait that sleeps once tells the hook once: spurious wake-ups stay inside.  Sets come only when all sleep. */
static void *wait_each_round(void *arg)
{
    struct round *round = arg;
    struct sp__block_hooks hooks = { .before = falls_asleep, .after = wakes_up, .context = &round->asleep };
    for (uint32_t i = 1; i <= round->rounds; i++) {
        await_round(round, i);
        sp__self()->hooks = &hooks;
        stress_expect(sp_event_wait(&round->event, SP_FOREVER));
        sp__self()->hooks = NULL;
        sp__add_seq_cst(&round->woken, 1);
    }
    return NULL;
}

static void change_each_round(struct round *round, void (*change)(sp_event *event))
{
    uint64_t random = round->seed + sp__add_relaxed(&round->next, 1);
    for (uint32_t i = 1; i <= round->rounds; i++) {
        await_round(round, i);
        while (sp__load_acquire(&round->asleep) < i * WAITERS)
            sched_yield();
        stress_linger(test_random(&random) % 64);
        change(&round->event);
        sp__add_seq_cst(&round->changed, 1);
    }
}

static void set_and_clear(sp_event *event)
{
    sp_event_set(event);
    sp_event_clear(event);
}

static void clear_twice(sp_event *event)
{
    sp_event_clear(event);
    sp_event_clear(event);
}

static void *set_each_round(void *arg)
{
    change_each_round(arg, set_and_clear);
    return NULL;
}

static void *clear_each_round(void *arg)
{
    change_each_round(arg, clear_twice);
    return NULL;
}

static void all_who_sleep_are_released_by_a_set_however_it_is_cleared(void **state)
{
    (void)state;
    /* 3,000 rounds as a rule, 10^6 with SPOOL_TEST_SCALE=33000 */
    struct round round = { .rounds = test_count(3000), .seed = test_seed() };
    void *(*const bodies[])(void *) = { wait_each_round, set_each_round, clear_each_round };
    const int counts[] = { WAITERS, SETTERS, CLEARERS };
    pthread_t threads[WAITERS + SETTERS + CLEARERS];
    int n = 0;
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < counts[kind]; i++)
            threads[n++] = test_thread(bodies[kind], &round);
    for (uint32_t i = 1; i <= round.rounds; i++) {
        sp__store_release(&round.number, i);
        test_await(sp__load_acquire(&round.woken) == i * WAITERS);
        test_await(sp__load_acquire(&round.changed) == i * (SETTERS + CLEARERS));
    }
    for (int i = 0; i < n; i++)
        test_join(threads[i]);
    stress_assert_nothing_wrong();
}

/* ---- a storm: waits with time-outs; a wait that returns false has seen no set begin and end while it slept ---- */

struct storm {
    sp_event event;
    uint64_t seed;
    long waits;       /* of each waiter; more if nobody was released in time: there may be few under an emulator */
    uint32_t next;    /* atomic; numbers of the threads */
    uint32_t setters; /* atomic; numbers of the setters */
    uint32_t left;    /* atomic; waiters that have ended */
    uint64_t begun[SETTERS]; /* atomic; sets that each setter has begun */
    uint64_t ended[SETTERS]; /* atomic; sets that each setter has ended */
    uint64_t released;       /* atomic; waits that returned true */
    uint64_t timed_out;      /* atomic */
};

struct waiter {
    struct storm *storm;
    bool slept;
    uint64_t begun[SETTERS]; /* when it first fell asleep: later ones are inside of the wait */
    uint64_t ended[SETTERS]; /* when it last woke up: these are, too */
};

static void note_begun(void *context)
{
    struct waiter *waiter = context;
    for (int i = 0; i < SETTERS && !waiter->slept; i++)
        waiter->begun[i] = sp__load_seq_cst(&waiter->storm->begun[i]);
    waiter->slept = true;
}

static void note_ended(void *context)
{
    struct waiter *waiter = context;
    for (int i = 0; i < SETTERS; i++)
        waiter->ended[i] = sp__load_seq_cst(&waiter->storm->ended[i]);
}

static bool slept_through_a_set(const struct waiter *waiter)
{
    for (int i = 0; i < SETTERS; i++)
        if (waiter->slept && waiter->ended[i] > waiter->begun[i])
            return true;
    return false;
}

static void *wait_with_timeouts(void *arg)
{
    struct storm *storm = arg;
    uint64_t random = storm->seed + sp__add_relaxed(&storm->next, 1);
    struct waiter self = { .storm = storm };
    struct sp__block_hooks hooks = { .before = note_begun, .after = note_ended, .context = &self };
    sp__self()->hooks = &hooks;
    for (long i = 0; i < storm->waits || sp__load_seq_cst(&storm->released) == 0; i++) {
        self.slept = false;
        bool released = sp_event_wait(&storm->event, (double)(test_random(&random) % 200) * 1e-6);
        stress_expect(released || !slept_through_a_set(&self));
        sp__add_seq_cst(released ? &storm->released : &storm->timed_out, 1);
    }
    sp__self()->hooks = NULL;
    sp__add_seq_cst(&storm->left, 1);
    return NULL;
}

static void *set_now_and_then(void *arg)
{
    struct storm *storm = arg;
    uint32_t number = sp__add_relaxed(&storm->next, 1), me = sp__add_relaxed(&storm->setters, 1);
    uint64_t random = storm->seed + number;
    while (sp__load_acquire(&storm->left) < WAITERS) {
        sp__add_seq_cst(&storm->begun[me], 1);
        sp_event_set(&storm->event);
        sp__add_seq_cst(&storm->ended[me], 1);
        sp_event_clear(&storm->event);
        sp_sleep((double)(test_random(&random) % 300) * 1e-6); /* a pace that leaves room for time-outs */
    }
    return NULL;
}

static void *clear_now_and_then(void *arg)
{
    struct storm *storm = arg;
    uint64_t random = storm->seed + sp__add_relaxed(&storm->next, 1);
    while (sp__load_acquire(&storm->left) < WAITERS) {
        sp_event_clear(&storm->event);
        stress_dawdle(&random);
    }
    return NULL;
}

static void no_wait_sleeps_through_a_set(void **state)
{
    (void)state;
    /* 4 x 5,000 waits as a rule, 10^6 with SPOOL_TEST_SCALE=5000 */
    struct storm storm = { .waits = test_count(5000), .seed = test_seed() };
    pthread_t threads[WAITERS + SETTERS + CLEARERS];
    int n = 0;
    sp__fault_spurious(storm.seed, 100);
    for (int i = 0; i < WAITERS; i++)
        threads[n++] = test_thread(wait_with_timeouts, &storm);
    for (int i = 0; i < SETTERS; i++)
        threads[n++] = test_thread(set_now_and_then, &storm);
    for (int i = 0; i < CLEARERS; i++)
        threads[n++] = test_thread(clear_now_and_then, &storm);
    for (int i = 0; i < n; i++)
        test_join(threads[i]);
    sp__fault_spurious(0, 0);
    printf("released %" PRIu64 ", timed out %" PRIu64 "\n", storm.released, storm.timed_out);
    stress_assert_nothing_wrong();
    assert_true(storm.released > 0); /* with one CPU there may be no time-out: a set comes before the sleeper runs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_sleep_are_released_by_a_set_however_it_is_cleared),
        cmocka_unit_test(no_wait_sleeps_through_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
