/* A lock that two threads pass back and forth without pause comes to a third one that waits for it.

   The scheduler helps a starving thread by chance: a holder is preempted, or the third happens to spin when the lock
   comes free.  So the two are made mean: the lock is released only while the third sleeps, and one of them, decided
   before and awake, acquires it at once; who has to be woken first loses such a race.  Without handoff the third is then
   overtaken thousands of times, with one CPU for certain.

   What is counted is how often the two acquired the lock after the third had slept for a millisecond: it becomes the heir
   when it next wakes, the release after that leaves the lock for it, so one or two.  Time would not do: a loaded machine
   lets the heir wait for a CPU.  If that takes longer than the 100 us for which the lock is kept free for it, it is
   overtaken and asks again; each such miss is a draw of its own, the bound leaves room for forty in a row.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stress.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

#include "os/os.h"
#include "park/runner.h"

enum { MOST_OVERTAKEN = 40, A_MILLISECOND = 1000000, LONG_ENOUGH = 20 * A_MILLISECOND };

struct duel {
    sp_lock lock;
    sp_rlock rlock;
    bool is_rlock;
    bool mean;            /* guarded by the lock */
    int64_t section;      /* nanoseconds for which the two hold it; 0: as short as can be */
    uint64_t goes_one_in; /* so often the other of the two is next when they are mean */
    uint32_t waits;       /* atomic; the third is about to acquire, or waits */
    uint32_t sleeps;      /* atomic; how often it fell asleep */
    int64_t slept_since;  /* atomic; its first sleep of this wait, 0: not yet */
    uint32_t next;        /* atomic; which of the two acquires next */
    uint32_t over;        /* atomic */
    uint64_t random;      /* guarded by the lock */
    uint32_t known;       /* guarded by the lock; `sleeps` at the last release */
    uint64_t overtaken;   /* guarded by the lock */
    uint64_t passed;      /* guarded by the lock; how often the lock went from one holder to the other */
    const void *last;     /* guarded by the lock */
};

static bool one_cpu;

struct holder {
    struct duel *duel;
    uint32_t number;
};

static void acquire(struct duel *duel)
{
    if (duel->is_rlock)
        sp_rlock_acquire(&duel->rlock);
    else
        sp_lock_acquire(&duel->lock);
}

static void release(struct duel *duel)
{
    if (duel->is_rlock)
        sp_rlock_release(&duel->rlock);
    else
        sp_lock_release(&duel->lock);
}

/* ---- the two ---- */

static void look_at_third(struct duel *duel, int64_t now)
{
    int64_t since = sp__load_acquire(&duel->slept_since);
    if (since == 0 || now - since < A_MILLISECOND)
        return;
    if (++duel->overtaken > MOST_OVERTAKEN)
        duel->mean = false; /* enough: let the test end */
}

/* The third has not slept since the last release: it is on its way. */
static bool third_is_awake(struct duel *duel)
{
    return sp__load_acquire(&duel->waits) && sp__load_acquire(&duel->sleeps) == duel->known;
}

static void stay(struct duel *duel, int64_t now)
{
    while (sp__os_now() - now < duel->section)
        sp__cpu_relax();
    while (duel->mean && third_is_awake(duel) && sp__os_now() - now < LONG_ENOUGH)
        sched_yield();
    duel->known = sp__load_acquire(&duel->sleeps);
}

/* Before the release: who is to be faster than the third? */
static void choose_next(struct duel *duel)
{
    if (duel->mean && stress_one_in(duel->goes_one_in, &duel->random))
        sp__store_release(&duel->next, 1 - sp__load_acquire(&duel->next));
}

/* Watch for one's turn.  It is rarely offered to others: who is next must not lose its CPU to the third. */
static void await_turn(const struct holder *self)
{
    struct duel *duel = self->duel;
    for (uint64_t i = 1; sp__load_acquire(&duel->next) != self->number && !sp__load_acquire(&duel->over); i++) {
        sp__cpu_relax();
        if (one_cpu || i % 65536 == 0)
            sched_yield();
    }
}

static void *hold_again_and_again(void *arg)
{
    const struct holder *self = arg;
    struct duel *duel = self->duel;
    bool mean = duel->goes_one_in > 0;
    while (!sp__load_acquire(&duel->over)) {
        if (mean)
            await_turn(self);
        acquire(duel);
        int64_t now = sp__os_now();
        look_at_third(duel, now);
        duel->passed += duel->last != self;
        duel->last = self;
        stay(duel, now);
        choose_next(duel);
        release(duel);
    }
    return NULL;
}

/* ---- the third ---- */

static void falls_asleep(void *context)
{
    struct duel *duel = context;
    if (sp__load_relaxed(&duel->slept_since) == 0)
        sp__store_release(&duel->slept_since, sp__os_now());
    sp__add_seq_cst(&duel->sleeps, 1);
}

static void wakes_up(void *context)
{
    (void)context;
}

/* One acquire.  Returns how often it was overtaken. */
static uint64_t acquire_once(struct duel *duel)
{
    sp__store_release(&duel->waits, 1);
    acquire(duel);
    sp__store_release(&duel->waits, 0);
    sp__store_release(&duel->slept_since, 0);
    uint64_t overtaken = duel->overtaken;
    duel->overtaken = 0;
    release(duel);
    return overtaken;
}

static void fight(bool is_rlock, bool mean, int64_t section)
{
    struct duel duel = { .is_rlock = is_rlock, .mean = mean, .section = section, .random = test_seed() };
    struct holder two[2] = { { &duel, 0 }, { &duel, 1 } };
    struct sp__block_hooks hooks = { .before = falls_asleep, .after = wakes_up, .context = &duel };
    uint64_t random = duel.random, sum = 0, most = 0;
    long rounds = test_count(mean ? 60 : 200);       /* SPOOL_TEST_SCALE=1000 for a soak */
    duel.goes_one_in = !mean ? 0 : one_cpu ? 64 : 1; /* with one CPU to run the other is to let the third run, too */
    pthread_t holders[2] = { test_thread(hold_again_and_again, &two[0]), test_thread(hold_again_and_again, &two[1]) };
    /* With SCHED_BATCH it does not push others off a CPU when it is woken; if that is refused the test sees less. */
    (void)sched_setscheduler(0, mean ? SCHED_BATCH : SCHED_OTHER, &(struct sched_param){ 0 });
    sp__self()->hooks = &hooks;
    for (long i = 0; i < rounds && most <= MOST_OVERTAKEN; i++) {
        uint64_t overtaken = acquire_once(&duel);
        sum += overtaken;
        most = mean && overtaken > most ? overtaken : most;
        for (uint64_t pauses = test_random(&random) % 8; pauses > 0; pauses--)
            stress_dawdle(&random);
    }
    sp__self()->hooks = NULL;
    sp__store_release(&duel.over, 1);
    test_join(holders[0]);
    test_join(holders[1]);
    printf("%s, sections of %ld us, %s: overtaken %.2f times a wait, at most %" PRIu64 "; passed %" PRIu64 " times\n",
           is_rlock ? "sp_rlock" : "sp_lock", (long)(section / 1000), mean ? "mean" : "not mean",
           (double)sum / (double)rounds, most, duel.passed);
    if (most > MOST_OVERTAKEN)
        fail_msg("the third was overtaken %" PRIu64 " times after it had slept for a millisecond", most);
}

static void a_lock_that_two_pass_back_and_forth_comes_to_a_third(void **state)
{
    (void)state;
    fight(false, false, 0);
    fight(false, false, 200000);
    fight(true, false, 0);
    fight(true, false, 200000);
}

static void the_third_is_overtaken_a_few_times_after_a_millisecond(void **state)
{
    (void)state;
    fight(false, true, 0);
    fight(false, true, 200000);
    fight(true, true, 0);
    fight(true, true, 200000);
}

/* ---- the same with one CPU: in a child, for the library looks at the mask when it is loaded ---- */

static char *program; /* argv[0] */

static int pin_to_one_cpu(void)
{
    cpu_set_t mine, one;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        return -1;
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &mine))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

static void the_same_with_one_cpu(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        char *const arguments[] = { program, "pinned", NULL };
        if (pin_to_one_cpu() != 0)
            _exit(98);
        test_execute(arguments);
        _exit(99);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest pinned[] = {
        cmocka_unit_test(a_lock_that_two_pass_back_and_forth_comes_to_a_third),
        cmocka_unit_test(the_third_is_overtaken_a_few_times_after_a_millisecond),
    };
    const struct CMUnitTest tests[] = {
        pinned[0],
        pinned[1],
        cmocka_unit_test(the_same_with_one_cpu),
    };
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "pinned") == 0) {
        one_cpu = true;
        return cmocka_run_group_tests(pinned, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
