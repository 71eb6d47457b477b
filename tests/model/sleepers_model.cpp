/* Waiting for a queue: queue/sleepers_protocol.h and queue/ring_protocol.h as they are, over the checker's atomics and
   buckets in miniature.  See README.md.

   SPDX-License-Identifier: MIT */
#include "lot.h"

enum sleepers_weakness {
    NONE,
    COUNT_ORDER,         /* of the addition before one looks at the positions */
    SET_OFF_ORDER,       /* of taking WAKING down before one looks again */
    LOOK_FOR_SLEEPERS,   /* its order, when one is to be woken */
    LOOK_FOR_ALL,        /* its order, when all are */
    LOOK_AT_POSITIONS,   /* its order */
    CLAIM_ORDER,         /* of moving a position before one looks for sleepers */
    LAST_LOOK,           /* at the positions, under the bucket lock, before one sleeps */
    PASSING_ON,          /* by the woken, when there is more to have */
    TRY_AFTER_TIME_IS_UP /* what was waited for may have come with the time */
};

enum { MOST_SLOTS = 2, PRODUCER = 16 /* the item n of producer p is p * PRODUCER + n */ };

typedef model_word sp__ring_word;

struct sp__ring {
    uint64_t capacity, one_lap;
    sp__ring_word tail, head;
    sp__ring_word stamps[MOST_SLOTS];
    rl::var<unsigned> items[MOST_SLOTS];
};

struct sp__sleepers {
    model_word word;
    struct lot lot;
};

struct sp_queue {
    struct sp__ring ring;
    struct sp__sleepers putters, getters;
};

static struct sp_queue *shared; /* of this schedule */

static bool shutting_down[LOT_THREADS]; /* what a thread does just now */

/* Which order is that of a seq_cst load of this word? */
static int look_at(const model_word *word)
{
    if (word != &shared->putters.word && word != &shared->getters.word)
        return LOOK_AT_POSITIONS;
    return shutting_down[rl::thread_index()] ? LOOK_FOR_ALL : LOOK_FOR_SLEEPERS;
}

#define SP__RING_STAMP(ring, index) (&(ring)->stamps[index])
#define SP__RING_WRITE(ring, index, item) (ring)->items[index](RL_INFO).store(*(const unsigned *)(item))
#define SP__RING_BACK_OFF(tries) (void)(tries)
#define SP__RING_READ(ring, index, item) (void)(*(unsigned *)(item) = (ring)->items[index](RL_INFO).load())

#define sp__load_relaxed(p) (p)->load(rl::mo_relaxed, RL_INFO)
#define sp__load_acquire(p) (p)->load(rl::mo_acquire, RL_INFO)
#define sp__load_seq_cst(p) (p)->load(model_order(look_at(p), rl::mo_seq_cst, rl::mo_acquire), RL_INFO)
#define sp__store_release(p, value) (p)->store((value), rl::mo_release, RL_INFO)
#define sp__cas_seq_cst(p, expected, value)                                                                            \
    model_cas((p), (expected), (value), model_order(CLAIM_ORDER, rl::mo_seq_cst, rl::mo_acq_rel), rl::mo_acquire,      \
              RL_INFO)
#define sp__add_relaxed(p, value) (void)(p)->fetch_add((value), rl::mo_relaxed, RL_INFO)
#define sp__sub_relaxed(p, value) (void)(p)->fetch_sub((value), rl::mo_relaxed, RL_INFO)
#define sp__add_seq_cst(p, value)                                                                                      \
    (void)(p)->fetch_add((value), model_order(COUNT_ORDER, rl::mo_seq_cst, rl::mo_acq_rel), RL_INFO)
#define sp__and_seq_cst(p, value)                                                                                      \
    (void)(p)->fetch_and((value), model_order(SET_OFF_ORDER, rl::mo_seq_cst, rl::mo_acq_rel), RL_INFO)

#include "queue/ring_protocol.h"
#include "queue/sleepers_protocol.h"

static struct {
    unsigned long woken, not_needed, passed_on, gave_up, closed;
} happened;

/* ---- sleepers.c ---- */

enum slept { CHANGED, WOKEN, TOO_LONG };

static bool link_if_it_must_wait(struct sp__sleepers *sleepers, bool (*must_wait)(const sp_queue *))
{
    sleepers->lot.lock.lock(RL_INFO);
    bool stays = sp__sleepers_count_in(sleepers, shared, must_wait);
    if (stays)
        lot_link(&sleepers->lot, 0);
    sleepers->lot.lock.unlock(RL_INFO);
    lot_happened.changed += !stays;
    return stays;
}

static bool withdraw(struct sp__sleepers *sleepers)
{
    sleepers->lot.lock.lock(RL_INFO);
    bool withdrawn = lot_withdraw(&sleepers->lot);
    if (withdrawn)
        sp__sleepers_count_out(sleepers);
    sleepers->lot.lock.unlock(RL_INFO);
    return withdrawn;
}

static enum slept sleep(struct sp__sleepers *sleepers, bool (*must_wait)(const sp_queue *), bool timed)
{
    if (!link_if_it_must_wait(sleepers, must_wait))
        return CHANGED;
    if (!lot_sleep(&sleepers->lot, timed)) {
        if (withdraw(sleepers))
            return TOO_LONG;
        (void)lot_sleep(&sleepers->lot, false);
    }
    sp__sleepers_set_off(sleepers);
    return WOKEN;
}

static void wake(struct sp__sleepers *sleepers, bool all)
{
    sleepers->lot.lock.lock(RL_INFO);
    struct lot_woken woken = lot_unlink(&sleepers->lot, 0, sp__sleepers_to_wake(sleepers, all));
    sp__sleepers_count_woken(sleepers, woken.count, all);
    sleepers->lot.lock.unlock(RL_INFO);
    lot_wake(&woken);
    happened.woken += woken.count;
}

static void wake_one(struct sp__sleepers *sleepers)
{
    if (sp__sleepers_need_one(sleepers))
        wake(sleepers, false);
    else
        happened.not_needed += sleepers->word.debug_value() != 0;
}

static void wake_all(struct sp__sleepers *sleepers)
{
    if (sp__sleepers_are_there(sleepers))
        wake(sleepers, true);
}

/* ---- store.c ---- */

struct counts {
    uint64_t puts, gets;
    bool closed;
};

static struct counts count(const sp_queue *of)
{
    struct counts counts;
    uint64_t tail = sp__load_seq_cst(&of->ring.tail);
    counts.puts = sp__ring_count(&of->ring, tail);
    counts.closed = (tail & SP__RING_CLOSED) != 0;
    counts.gets = sp__ring_count(&of->ring, sp__load_seq_cst(&of->ring.head));
    return counts;
}

static bool is_empty_and_open(const sp_queue *of)
{
    struct counts counts = count(of);
    return model_weakened == LAST_LOOK || (!counts.closed && counts.puts <= counts.gets);
}

static bool is_full_and_open(const sp_queue *of)
{
    uint64_t before = count(of).gets;
    struct counts counts = count(of);
    return model_weakened == LAST_LOOK || (!counts.closed && counts.puts - before >= of->ring.capacity);
}

/* ---- queue.c ---- */

struct operation {
    bool put;
    unsigned item;
    struct sp__sleepers *sleepers; /* whom it sleeps among */
    struct sp__sleepers *others;   /* whom it wakes */
    bool (*must_wait)(const sp_queue *);
    bool timed, late, slept;
};

static struct operation an_operation(bool put, unsigned item, bool timed)
{
    struct operation operation = { put,
                                   item,
                                   put ? &shared->putters : &shared->getters,
                                   put ? &shared->getters : &shared->putters,
                                   put ? is_full_and_open : is_empty_and_open,
                                   timed,
                                   false,
                                   false };
    return operation;
}

static enum sp__tried attempt(struct operation *operation)
{
    return operation->put ? sp__ring_put(&shared->ring, &operation->item)
                          : sp__ring_get(&shared->ring, &operation->item);
}

/* After a try that could not be done.  False: the time is up. */
static bool wait_between(struct operation *operation, enum sp__tried tried)
{
    if (tried == SP__TRY_BUSY) {
        rl::yield(1, RL_INFO);
        return true;
    }
    if (operation->late)
        return false;
    if (rl::rand(4) == 0) {
        rl::yield(1, RL_INFO); /* it spins */
        return true;
    }
    operation->slept = true;
    if (sleep(operation->sleepers, operation->must_wait, operation->timed) == TOO_LONG)
        operation->late = true; /* one more try */
    return true;
}

static void pass_on(const struct operation *operation)
{
    if (operation->slept && model_weakened != PASSING_ON && !operation->must_wait(shared)) {
        happened.passed_on++;
        wake_one(operation->sleepers);
    }
}

static enum sp__tried operate(struct operation *operation)
{
    enum sp__tried tried = attempt(operation);
    if (tried != SP__TRY_DONE) {
        do
            tried = attempt(operation);
        while (tried != SP__TRY_DONE && tried != SP__TRY_CLOSED && wait_between(operation, tried));
        pass_on(operation);
    }
    if (tried == SP__TRY_DONE)
        wake_one(operation->others);
    happened.gave_up += tried == SP__TRY_NOT_NOW;
    happened.closed += tried == SP__TRY_CLOSED && operation->slept;
    return tried;
}

static void shut_down(void)
{
    shared->ring.tail.fetch_or(SP__RING_CLOSED, rl::mo_seq_cst, RL_INFO);
    shutting_down[rl::thread_index()] = true;
    wake_all(&shared->getters);
    wake_all(&shared->putters);
    shutting_down[rl::thread_index()] = false;
}

/* ---- the suites ---- */

template <int putters, int getters, int capacity, int items, bool limits, bool closes>
struct sleepers_suite
    : rl::test_suite<sleepers_suite<putters, getters, capacity, items, limits, closes>, putters + getters> {
    struct sp_queue object;
    int put, got, wanted; /* items that arrived; or that a getter is waiting for, as well */
    bool seen[putters][PRODUCER];

    void before()
    {
        shared = &object;
        object.ring.capacity = capacity;
        object.ring.one_lap = capacity == 1 ? 2 : 4;
        object.ring.tail.store(0, rl::mo_relaxed, RL_INFO);
        object.ring.head.store(0, rl::mo_relaxed, RL_INFO);
        for (int i = 0; i < MOST_SLOTS; i++)
            object.ring.stamps[i].store(0, rl::mo_relaxed, RL_INFO);
        object.putters.word.store(0, rl::mo_relaxed, RL_INFO);
        object.getters.word.store(0, rl::mo_relaxed, RL_INFO);
        lot_init(&object.putters.lot);
        lot_init(&object.getters.lot);
        memset(shutting_down, 0, sizeof shutting_down);
        memset(seen, 0, sizeof seen);
        put = got = wanted = 0;
    }

    void arrives(unsigned item)
    {
        unsigned producer = item / PRODUCER, number = item % PRODUCER;
        RL_ASSERT(producer < putters && number >= 1 && number <= items);
        RL_ASSERT(!seen[producer][number]);
        seen[producer][number] = true;
        got++;
    }

    void put_all(unsigned thread)
    {
        for (unsigned number = 1; number <= items;) {
            if (closes && thread == 0 && rl::rand(4) == 0)
                shut_down();
            struct operation operation = an_operation(true, thread * PRODUCER + number, limits && rl::rand(2) == 0);
            enum sp__tried tried = operate(&operation);
            if (tried == SP__TRY_CLOSED)
                return;
            RL_ASSERT(tried == SP__TRY_DONE || operation.timed);
            put += tried == SP__TRY_DONE;
            number += tried == SP__TRY_DONE;
        }
        if (closes && thread == 0)
            shut_down();
    }

    /* As many gets as there are puts: if one waits for ever, a wake-up was lost. */
    void get_all()
    {
        while (closes || wanted < putters * items) {
            wanted++;
            struct operation operation = an_operation(false, 0, limits && rl::rand(2) == 0);
            enum sp__tried tried = operate(&operation);
            if (tried == SP__TRY_CLOSED)
                return;
            RL_ASSERT(tried == SP__TRY_DONE || operation.timed);
            if (tried == SP__TRY_DONE)
                arrives(operation.item);
            else
                wanted--;
        }
    }

    void thread(unsigned index)
    {
        if (index < (unsigned)putters)
            put_all(index);
        else
            get_all();
    }

    void after()
    {
        RL_ASSERT(put == got && (closes || put == putters * items));
        RL_ASSERT(object.putters.word.debug_value() == 0 && object.getters.word.debug_value() == 0);
        lot_end(&object.putters.lot);
        lot_end(&object.getters.lot);
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<sleepers_suite<1, 1, 1, 4, false, false> >(program, "1 to 1");
    ok = model_holds<sleepers_suite<1, 3, 2, 4, false, false> >(program, "1 to 3") && ok;
    ok = model_holds<sleepers_suite<3, 1, 2, 2, false, false> >(program, "3 to 1") && ok;
    ok = model_holds<sleepers_suite<2, 2, 1, 2, false, false> >(program, "2 to 2") && ok;
    ok = model_holds<sleepers_suite<1, 3, 2, 4, true, false> >(program, "1 to 3, limits") && ok;
    ok = model_holds<sleepers_suite<2, 2, 1, 3, true, false> >(program, "2 to 2, limits") && ok;
    ok = model_holds<sleepers_suite<2, 2, 1, 2, true, true> >(program, "2 to 2, limits, shut down") && ok;
    ok = lot_was_used(program) && ok;
    ok = model_happened(program, "woken", happened.woken) && ok;
    ok = model_happened(program, "somebody slept, another was on its way", happened.not_needed) && ok;
    ok = model_happened(program, "the woken passed it on", happened.passed_on) && ok;
    ok = model_happened(program, "gave up", happened.gave_up) && ok;
    return model_happened(program, "slept and were told of the shutdown", happened.closed) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum sleepers_weakness which;
        const char *name;
    } all[] = { { COUNT_ORDER, "seq_cst of counting oneself" },
                { SET_OFF_ORDER, "seq_cst of taking WAKING down" },
                { LOOK_FOR_SLEEPERS, "seq_cst of the look for sleepers" },
                { LOOK_AT_POSITIONS, "seq_cst of the look at positions" },
                { CLAIM_ORDER, "seq_cst of the claims" },
                { LAST_LOOK, "the last look before one sleeps" },
                { PASSING_ON, "passing on" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<sleepers_suite<1, 3, 2, 4, true, false> >(program, "1 to 3", all[i].which, all[i].name) && ok;
    return model_breaks<sleepers_suite<1, 3, 2, 4, true, true> >(program, "1 to 3, shut down", LOOK_FOR_ALL,
                                                                 "seq_cst of the look for sleepers") &&
           ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
