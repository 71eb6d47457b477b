/* The lock of a bucket: park/word_lock.h as it is, over the checker's atomics and a futex in miniature.  See README.md.

   SPDX-License-Identifier: MIT */
#include "lot.h"

enum word_lock_weakness {
    NONE,
    FAST_ACQUIRE, /* of the lock that is found free */
    SLOW_ACQUIRE, /* of the one that is waited for */
    RELEASE,
    HELD_AS_2,  /* by one who has slept: others may sleep still */
    COMPARISON, /* of the word, by the system, before one sleeps */
    WAKE        /* by the release */
};

typedef rl::atomic<uint32_t> sp__futex_word;

static bool found_held[LOT_THREADS], has_slept[LOT_THREADS];

static bool cas_acquire(sp__futex_word *word, uint32_t *expected, uint32_t value, rl::debug_info_param where)
{
    bool done = word->compare_exchange_strong(
        *expected, value, model_order(FAST_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), where, rl::mo_relaxed, where);
    found_held[rl::thread_index()] = !done;
    has_slept[rl::thread_index()] = false;
    return done;
}

static uint32_t exchange_acquire(sp__futex_word *word, uint32_t value, rl::debug_info_param where)
{
    RL_ASSERT(found_held[rl::thread_index()]);
    if (model_weakened == HELD_AS_2 && has_slept[rl::thread_index()])
        value = 1;
    return word->exchange(value, model_order(SLOW_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), where);
}

#define SP__MODEL
#define SP__NEVER 0
#define SP__PAUSE(site) ((void)0)
#define sp__cas_acquire(p, expected, value) cas_acquire((p), (expected), (value), RL_INFO)
#define sp__exchange_acquire(p, value) exchange_acquire((p), (value), RL_INFO)
#define sp__exchange_release(p, value)                                                                                 \
    (p)->exchange((value), model_order(RELEASE, rl::mo_release, rl::mo_relaxed), RL_INFO)

/* How often things happened that the model is about. */
static struct {
    unsigned long woken, nobody_to_wake;
} happened;

/* ---- the futex: the system compares, and puts to sleep, in one hold of a lock of its own ---- */

static struct lot *lot; /* of this schedule */

static bool link_if_still(const sp__futex_word *word, uint32_t expected)
{
    lot->lock.lock(RL_INFO);
    bool stays = model_weakened == COMPARISON || word->load(rl::mo_relaxed, RL_INFO) == expected;
    if (stays)
        lot_link(lot, 0);
    lot->lock.unlock(RL_INFO);
    lot_happened.changed += !stays;
    return stays;
}

/* It may return for no reason. */
static void sp__os_futex_wait(const sp__futex_word *word, uint32_t expected, int forever)
{
    (void)forever;
    has_slept[rl::thread_index()] = true;
    if (!link_if_still(word, expected) || lot_sleep(lot, rl::rand(4) == 0))
        return;
    lot->lock.lock(RL_INFO);
    bool withdrawn = lot_withdraw(lot);
    lot->lock.unlock(RL_INFO);
    if (!withdrawn)
        (void)lot_sleep(lot, false);
}

/* The word is only a number. */
static void sp__os_futex_wake(const sp__futex_word *word, int count)
{
    (void)word;
    if (model_weakened == WAKE)
        return;
    lot->lock.lock(RL_INFO);
    struct lot_woken woken = lot_unlink(lot, 0, (size_t)count);
    lot->lock.unlock(RL_INFO);
    lot_wake(&woken);
    *(woken.count > 0 ? &happened.woken : &happened.nobody_to_wake) += 1;
}

#include "park/word_lock.h"

/* ---- the suites ---- */

/* A lock, and what it guards; freed by the last who uses it, as soon as it has released the lock. */
struct guarded {
    struct sp__word_lock lock;
    rl::var<unsigned> sections, users;
};

/* Each thread acquires the lock some times.  In half of the schedules the last of them frees it. */
template <int threads, int most_rounds>
struct word_lock_suite : rl::test_suite<word_lock_suite<threads, most_rounds>, threads> {
    struct lot parking;
    struct guarded *object;
    unsigned sections; /* how often somebody got the lock */
    bool inside, frees;

    void before()
    {
        lot = &parking;
        lot_init(&parking);
        object = new struct guarded;
        object->lock.word.store(0, rl::mo_relaxed, RL_INFO);
        object->sections(RL_INFO).store(0);
        object->users(RL_INFO).store(threads);
        sections = 0;
        inside = false;
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
        unsigned users = object->users(RL_INFO).load();
        if (last)
            object->users(RL_INFO).store(--users);
        RL_ASSERT(inside);
        inside = false;
        return users;
    }

    void thread(unsigned index)
    {
        unsigned users = threads;
        (void)index;
        for (unsigned rounds = rl::rand(most_rounds) + 1; rounds > 0; rounds--) {
            sp__word_lock_acquire(&object->lock);
            users = section(rounds == 1);
            sp__word_lock_release(&object->lock);
        }
        if (frees && users == 0)
            free_object();
    }

    /* Nobody uses the lock any more. */
    void free_object()
    {
        RL_ASSERT(object->lock.word.debug_value() == 0);
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
    bool ok = model_holds<word_lock_suite<2, 4> >(program, "2 threads");
    ok = model_holds<word_lock_suite<3, 3> >(program, "3 threads") && ok;
    ok = model_holds<word_lock_suite<4, 2> >(program, "4 threads") && ok;
    ok = lot_was_used(program) && ok;
    ok = model_happened(program, "woke one", happened.woken) && ok;
    return model_happened(program, "found nobody to wake", happened.nobody_to_wake) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum word_lock_weakness which;
        const char *name;
    } all[] = { { FAST_ACQUIRE, "acquire of a free lock" },
                { SLOW_ACQUIRE, "acquire after a wait" },
                { RELEASE, "release" },
                { HELD_AS_2, "the mark that others may sleep" },
                { COMPARISON, "the comparison before one sleeps" },
                { WAKE, "the wake by the release" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<word_lock_suite<3, 3> >(program, "3 threads", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
