/* The once: sync/once_protocol.h as it is, over the checker's atomics and a bucket in miniature.  See README.md.

   SPDX-License-Identifier: MIT */
#include "lot.h"

enum once_weakness {
    NONE,
    LOOK_ACQUIRE,  /* of the word, by each caller */
    BEGIN_ACQUIRE, /* by one who runs the function again */
    END_RELEASE,
    MARK_COMPARISON, /* the mark is put up whatever the word is by then */
    LAST_LOOK,       /* at the word, under the bucket lock, before one sleeps */
    WAKE_ALL         /* who sleeps */
};

typedef model_word sp__once_word;

static bool mark(sp__once_word *word, uint64_t *seen, uint64_t marked, rl::debug_info_param where)
{
    if (model_weakened != MARK_COMPARISON)
        return model_cas(word, seen, marked, rl::mo_relaxed, rl::mo_relaxed, where);
    word->store(marked, rl::mo_relaxed, where);
    return true;
}

#define SP__PAUSE(site) ((void)0)
#define sp__load_acquire(p) (p)->load(model_order(LOOK_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), RL_INFO)
#define sp__cas_acquire(p, expected, value)                                                                            \
    model_cas((p), (expected), (value), model_order(BEGIN_ACQUIRE, rl::mo_acquire, rl::mo_relaxed), rl::mo_relaxed,    \
              RL_INFO)
#define sp__cas_relaxed(p, expected, value) mark((p), (expected), (value), RL_INFO)
#define sp__exchange_release(p, value)                                                                                 \
    (p)->exchange((value), model_order(END_RELEASE, rl::mo_release, rl::mo_relaxed), RL_INFO)

#include "sync/once_protocol.h"

/* How often things happened that the model is about. */
static struct {
    unsigned long failed, woken, freed_by_another;
} happened;

/* ---- sleeping and waking, as once.c does it ---- */

static struct lot *lot; /* of this schedule */

static void sp__once_sleep(sp__once_word *word, uint64_t marked)
{
    lot->lock.lock(RL_INFO);
    bool stays = model_weakened == LAST_LOOK || word->load(rl::mo_relaxed, RL_INFO) == marked;
    if (stays)
        lot_link(lot, 0);
    lot->lock.unlock(RL_INFO);
    lot_happened.changed += !stays;
    if (stays)
        (void)lot_sleep(lot, false);
}

static void sp__once_wake(const sp__once_word *word)
{
    (void)word;
    lot->lock.lock(RL_INFO);
    struct lot_woken woken = lot_unlink(lot, 0, model_weakened == WAKE_ALL ? 1 : LOT_THREADS);
    lot->lock.unlock(RL_INFO);
    lot_wake(&woken);
    happened.woken += woken.count;
}

static uint64_t sp__once_self(const sp__once_word *word, uint64_t seen)
{
    uint64_t self = 2 * rl::thread_index() + 1;
    (void)word;
    RL_ASSERT((seen & ~SP__ONCE_PARKED) != self);
    return self;
}

/* ---- the suites ---- */

/* A once, and what its function makes; freed by the last who uses it, even before the call that ran it has returned. */
struct object {
    sp__once_word word;
    rl::var<unsigned> runs;
    model_word users;
};

/* Each thread calls the once.  With `fails` the function may throw: then its caller calls again, or another is before it. */
template <int threads, bool fails> struct once_suite : rl::test_suite<once_suite<threads, fails>, threads> {
    struct lot parking;
    struct object *object;
    unsigned runs, returned; /* of the function; of calls */
    bool running, done, freed;

    void before()
    {
        lot = &parking;
        lot_init(&parking);
        object = new struct object;
        object->word.store(0, rl::mo_relaxed, RL_INFO);
        object->runs(RL_INFO).store(0);
        object->users.store(threads, rl::mo_relaxed, RL_INFO);
        runs = returned = 0;
        running = done = freed = false;
    }

    bool leave()
    {
        return object->users.fetch_sub(1, rl::mo_acq_rel, RL_INFO) == 1;
    }

    /* The function.  Its caller has no more use for the once, but for the end of the call itself.  False: it throws. */
    bool function()
    {
        RL_ASSERT(!running && !done);
        running = true;
        unsigned before = object->runs(RL_INFO).load();
        RL_ASSERT(before == runs);
        object->runs(RL_INFO).store(before + 1);
        runs++;
        bool throws = fails && rl::rand(2) == 0;
        done = !throws;
        if (done)
            RL_ASSERT(!leave()); /* the others cannot return before it has */
        RL_ASSERT(running);
        running = false;
        happened.failed += throws;
        return !throws;
    }

    void look_and_leave()
    {
        RL_ASSERT(done);
        unsigned seen = object->runs(RL_INFO).load();
        RL_ASSERT(seen == runs);
        if (!leave())
            return;
        delete object;
        freed = true;
        happened.freed_by_another++;
    }

    void thread(unsigned index)
    {
        (void)index;
        for (bool goes_on = true; goes_on;) {
            bool runs_it = sp__once_begin(&object->word);
            if (!runs_it)
                look_and_leave();
            goes_on = runs_it && !function_and_end();
        }
        returned++;
    }

    bool function_and_end()
    {
        bool succeeds = function();
        sp__once_end(&object->word, succeeds ? SP__ONCE_DONE : 0);
        return succeeds;
    }

    void after()
    {
        lot_end(&parking);
        RL_ASSERT(returned == threads && done && freed);
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<once_suite<2, false> >(program, "2 threads");
    ok = model_holds<once_suite<2, true> >(program, "2 threads, exceptions") && ok;
    ok = model_holds<once_suite<3, false> >(program, "3 threads") && ok;
    ok = model_holds<once_suite<3, true> >(program, "3 threads, exceptions") && ok;
    ok = model_holds<once_suite<4, true> >(program, "4 threads, exceptions") && ok;
    ok = model_happened(program, "slept", lot_happened.slept) && ok;
    ok = model_happened(program, "saw the word change instead", lot_happened.changed) && ok;
    ok = model_happened(program, "was woken", happened.woken) && ok;
    ok = model_happened(program, "threw", happened.failed) && ok;
    return model_happened(program, "freed by another than who ran it", happened.freed_by_another) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum once_weakness which;
        const char *name;
    } all[] = { { LOOK_ACQUIRE, "acquire of the look" },
                { BEGIN_ACQUIRE, "acquire before another run" },
                { END_RELEASE, "release of the end" },
                { MARK_COMPARISON, "the comparison of the mark" },
                { LAST_LOOK, "the last look before one sleeps" },
                { WAKE_ALL, "waking all" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<once_suite<3, true> >(program, "3 threads, exceptions", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
