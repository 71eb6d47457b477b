/* The lock: sync/lock_protocol.h as it is, over the checker's atomics and a parking lot in miniature.  See README.md.

   SPDX-License-Identifier: MIT */
#include "lot.h"

enum lock_weakness {
    NONE,
    FREE_RELEASE, /* in sp__lock_make_free */
    TAKE_ACQUIRE, /* in sp__lock_take */
    FAST_RELEASE, /* in the inline part */
    FAST_ACQUIRE,
    LAST_LOOK, /* at the word, under the bucket lock, before one sleeps */
    WHOLE_HOLD /* of the bucket lock: first unlink, then make the lock free */
};

typedef model_word sp__lock_word;

#define sp__load_relaxed(p) (p)->load(rl::mo_relaxed, RL_INFO)
#define sp__cas_relaxed(p, expected, value) model_cas((p), (expected), (value), rl::mo_relaxed, rl::mo_relaxed, RL_INFO)
#define sp__cas_acquire(p, expected, value)                                                                            \
    model_cas((p), (expected), (value), model_order(TAKE_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), rl::mo_relaxed,     \
              RL_INFO)
#define sp__cas_release(p, expected, value)                                                                            \
    model_cas((p), (expected), (value), model_order(FREE_RELEASE, rl::mo_release, rl::mo_relaxed), rl::mo_relaxed,     \
              RL_INFO)

struct sp__lock_env {
    bool timed, late; /* set once */
    bool slept;
    int spins;
};

#include "sync/lock_protocol.h"

/* How often things happened that the model is about. */
static struct {
    unsigned long heirs, took_from_heirs, gave_up;
} happened;

/* ---- sleeping and waking, as lock_word.c does it ---- */

enum { OTHERS, HEIRS }; /* the kinds of sleepers */

static struct lot *lot; /* of this schedule */

static bool sp__lock_wake(sp__lock_word *word, bool heirs)
{
    lot->lock.lock(RL_INFO);
    struct lot_woken woken = lot_unlink(lot, heirs ? HEIRS : OTHERS, heirs ? LOT_THREADS : 1);
    if (model_weakened == WHOLE_HOLD) {
        lot->lock.unlock(RL_INFO);
        lot->lock.lock(RL_INFO);
    }
    bool made = sp__lock_make_free(word, heirs);
    lot->lock.unlock(RL_INFO);
    lot_wake(&woken);
    return made;
}

static void sp__lock_wake_heirs(sp__lock_word *word)
{
    (void)word;
    lot->lock.lock(RL_INFO);
    struct lot_woken woken = lot_unlink(lot, HEIRS, LOT_THREADS);
    lot->lock.unlock(RL_INFO);
    lot_wake(&woken);
}

static bool link_if_still(sp__lock_word *word, uint64_t seen, bool heir)
{
    lot->lock.lock(RL_INFO);
    bool stays = model_weakened == LAST_LOOK || sp__load_relaxed(word) == seen;
    if (stays)
        lot_link(lot, heir ? HEIRS : OTHERS);
    lot->lock.unlock(RL_INFO);
    return stays;
}

static bool withdraw(sp__lock_word *word, bool heir)
{
    lot->lock.lock(RL_INFO);
    bool withdrawn = lot_withdraw(lot);
    if (withdrawn && !heir && lot_first(lot, OTHERS) == NULL)
        word->fetch_and(~SP__LOCK_PARKED, rl::mo_relaxed, RL_INFO);
    lot->lock.unlock(RL_INFO);
    return withdrawn;
}

static enum sp__slept sp__lock_sleep(struct sp__lock_env *env, sp__lock_word *word, uint64_t seen, bool heir)
{
    env->slept = true;
    if (!link_if_still(word, seen, heir)) {
        lot_happened.changed++;
        return SP__SLEPT_NOT;
    }
    if (!lot_sleep(lot, env->timed)) {
        if (withdraw(word, heir))
            return SP__SLEPT_TOO_LONG;
        (void)lot_sleep(lot, false);
    }
    return SP__SLEPT_WOKEN;
}

/* ---- time, which is chance ---- */

/* The chances differ from schedule to schedule: some bugs need that the same rare thing happens again and again. */
static struct {
    unsigned spinning, starving, impatient; /* in this of 4 cases */
    unsigned section;                       /* the longest, in moments */
} chances;

static void draw_chances(void)
{
    chances.spinning = rl::rand(3);
    chances.starving = 1 + rl::rand(4);
    chances.impatient = 1 + rl::rand(3);
    chances.section = rl::rand(2) == 0 ? 0 : 16;
}

static bool sp__lock_spin(struct sp__lock_env *env)
{
    return env->spins++ < 2 && rl::rand(4) < chances.spinning;
}

static bool sp__lock_yield(struct sp__lock_env *env)
{
    (void)env;
    rl::yield(1, RL_INFO);
    bool patient = rl::rand(4) >= chances.impatient;
    happened.took_from_heirs += !patient;
    return patient;
}

static bool sp__lock_starves(struct sp__lock_env *env)
{
    bool starves = env->slept && rl::rand(4) < chances.starving;
    happened.heirs += starves;
    return starves;
}

static bool sp__lock_is_late(struct sp__lock_env *env)
{
    return env->late;
}

/* ---- acquire and release, as the inline part and lock.c have it ---- */

static bool acquire(sp__lock_word *word, uint64_t id, bool timed)
{
    uint64_t expected = 0;
    if (model_cas(word, &expected, id, model_order(FAST_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), rl::mo_relaxed,
                  RL_INFO))
        return true;
    struct sp__contender self = { word, id, false, false };
    struct sp__lock_env env = { timed, timed && rl::rand(4) == 0, false, 0 };
    bool acquired = sp__lock_contend(&self, &env);
    happened.gave_up += !acquired;
    return acquired;
}

static void release(sp__lock_word *word, uint64_t id)
{
    if (!model_cas(word, &id, 0, model_order(FAST_RELEASE, rl::mo_release, rl::mo_relaxed), rl::mo_relaxed, RL_INFO))
        sp__lock_release_marked(word);
}

/* ---- the suites ---- */

/* A lock, and what it guards; freed by the last who uses it, as soon as it has released the lock. */
struct guarded {
    sp__lock_word word;
    rl::var<unsigned> sections, users;
};

/* Each thread acquires the lock some times, perhaps with a time limit.  In half of the schedules all do so once more, without
   one, and the last frees the lock. */
template <int threads, int most_rounds, bool limits>
struct lock_suite : rl::test_suite<lock_suite<threads, most_rounds, limits>, threads> {
    struct lot parking;
    struct guarded *object;
    unsigned sections; /* how often somebody got the lock */
    bool inside, frees;

    void before()
    {
        lot = &parking;
        lot_init(&parking);
        object = new struct guarded;
        object->word.store(0, rl::mo_relaxed, RL_INFO);
        object->sections(RL_INFO).store(0);
        object->users(RL_INFO).store(threads);
        sections = 0;
        inside = false;
        draw_chances();
        frees = rl::rand(2) == 0;
    }

    /* With the lock held.  Returns how many will come again. */
    unsigned section(bool last)
    {
        RL_ASSERT(!inside);
        inside = true;
        unsigned before = object->sections(RL_INFO).load();
        RL_ASSERT(before == sections);
        object->sections(RL_INFO).store(before + 1);
        sections++;
        for (unsigned moments = rl::rand(chances.section + 1); moments > 0; moments--)
            rl::yield(1, RL_INFO);
        unsigned users = object->users(RL_INFO).load();
        if (last)
            object->users(RL_INFO).store(--users);
        RL_ASSERT(inside);
        inside = false;
        return users;
    }

    void thread(unsigned index)
    {
        sp__lock_word *word = &object->word;
        uint64_t id = 2 * index + 1;
        for (unsigned rounds = 1 + rl::rand(most_rounds); rounds > 0; rounds--)
            if (acquire(word, id, limits && rl::rand(2) == 0)) {
                (void)section(false);
                release(word, id);
            }
        if (!frees)
            return;
        acquire(word, id, false);
        unsigned users = section(true);
        release(word, id);
        if (users == 0)
            free_object();
    }

    /* Nobody uses the lock any more.  Only PARKED may be left: it costs the next release a look. */
    void free_object()
    {
        RL_ASSERT((object->word.debug_value() & ~SP__LOCK_PARKED) == 0);
        delete object;
    }

    void after()
    {
        lot_end(&parking);
        if (!frees)
            free_object();
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<lock_suite<2, 3, true> >(program, "2 threads, limits");
    ok = model_holds<lock_suite<3, 2, false> >(program, "3 threads") && ok;
    ok = model_holds<lock_suite<3, 3, true> >(program, "3 threads, limits") && ok;
    ok = model_holds<lock_suite<4, 2, true> >(program, "4 threads, limits") && ok;
    ok = lot_was_used(program) && ok;
    ok = model_happened(program, "wanted to be the heir", happened.heirs) && ok;
    ok = model_happened(program, "lost patience with an heir", happened.took_from_heirs) && ok;
    return model_happened(program, "gave up", happened.gave_up) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum lock_weakness which;
        const char *name;
    } all[] = {
        { FREE_RELEASE, "release in sp__lock_make_free" }, { TAKE_ACQUIRE, "acquire in sp__lock_take" },
        { FAST_RELEASE, "release in the inline part" },    { FAST_ACQUIRE, "acquire in the inline part" },
        { LAST_LOOK, "the last look before one sleeps" },  { WHOLE_HOLD, "unlinking and making free in one hold" }
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<lock_suite<3, 2, true> >(program, "3 threads", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
