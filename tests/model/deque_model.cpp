/* A worker's deque: executor/deque_protocol.h as it is, over the checker's atomics.  See README.md.

   SPDX-License-Identifier: MIT */
#include "model.h"

enum deque_weakness {
    NONE,
    PUT_LOOK,    /* acquire of top, before a slot is used again */
    PUT_RELEASE, /* the bottom that hands the item to takers */
    PUT_ORDER,   /* of the bottom in one order with the looks for empty */
    BACK_STORE,  /* of the bottom, before one looks at top */
    BACK_LOOK,   /* at top, after it */
    BACK_CLAIM,  /* the compare-and-swap for the last item: a step left out */
    TAKE_TOP,    /* before bottom: a step done later */
    TAKE_BOTTOM, /* the look at it */
    TAKE_ORDER,  /* of the claims in one order with the looks at top */
    TAKE_RELEASE /* of the claims: the slot has been read */
};

enum { MOST_SLOTS = 3, MOST_THREADS = 4, MOST_PLACES = 8 /* a place: a value of top or bottom */ };

/* ---- what deque_protocol.h wants ---- */

struct item {
    rl::var<unsigned> content; /* its number, put in by the owner; 0, by who took it out */
};

typedef struct item sp__deque_item;
typedef rl::atomic<struct item *> slot_word;

struct sp__deque {
    model_word top, bottom;
    slot_word slots[MOST_SLOTS];
    /* Written by whoever reads the slot for this place, and read by the owner before it writes that slot again, if this
       reader took the item out.  So that a reader whom the owner need not wait for is found out. */
    rl::var<unsigned> readers[MOST_THREADS][MOST_PLACES];
    int taken_by[MOST_PLACES]; /* -1: by nobody, or taken back */
};

static struct sp__deque *shared; /* of this schedule */
static uint64_t slots;           /* as above */

#define SP__DEQUE_SLOTS slots

/* What a thread does just now, to tell the orders of one function from those of another. */
static struct {
    enum { PUT, TAKE_BACK, TAKE } call;
    uint64_t top;    /* that it has seen */
    uint64_t bottom; /* as above, ahead of time */
} does[MOST_THREADS];

static uint64_t load_seq_cst(const model_word *word, rl::debug_info_param where)
{
    unsigned self = rl::thread_index();
    if (does[self].call == does[self].TAKE_BACK)
        return word->load(model_order(BACK_LOOK, rl::mo_seq_cst, rl::mo_acquire), where);
    if (word == &shared->top) {
        if (model_weakened == TAKE_TOP)
            does[self].bottom = shared->bottom.load(rl::mo_seq_cst, where);
        return does[self].top = word->load(rl::mo_seq_cst, where);
    }
    return model_weakened == TAKE_TOP ? does[self].bottom
                                      : word->load(model_order(TAKE_BOTTOM, rl::mo_seq_cst, rl::mo_acquire), where);
}

static void store_seq_cst(model_word *word, uint64_t value, rl::debug_info_param where)
{
    bool puts = does[rl::thread_index()].call == does[0].PUT;
    rl::memory_order order = model_order(puts ? PUT_ORDER : BACK_STORE, rl::mo_seq_cst, rl::mo_release);
    word->store(value, puts ? model_order(PUT_RELEASE, order, rl::mo_relaxed) : order, where);
}

static bool cas_seq_cst(model_word *word, uint64_t *expected, uint64_t value, rl::debug_info_param where)
{
    unsigned self = rl::thread_index();
    if (does[self].call == does[self].TAKE_BACK && model_weakened == BACK_CLAIM)
        return true;
    rl::memory_order order = model_order(TAKE_ORDER, rl::mo_seq_cst, rl::mo_acq_rel);
    if (model_weakened == TAKE_RELEASE)
        order = rl::mo_acquire;
    bool done = model_cas(word, expected, value, order, rl::mo_acquire, where);
    if (done)
        shared->taken_by[value - 1] = does[self].call == does[self].TAKE ? (int)self : -1;
    return done;
}

static uint64_t load_relaxed(const model_word *word, rl::debug_info_param where)
{
    return word->load(rl::mo_relaxed, where);
}

static struct item *load_relaxed(const slot_word *slot, rl::debug_info_param where)
{
    unsigned self = rl::thread_index();
    if (does[self].call == does[self].TAKE)
        shared->readers[self][does[self].top](where).store(1);
    return slot->load(rl::mo_relaxed, where);
}

static void store_relaxed(model_word *word, uint64_t value, rl::debug_info_param where)
{
    word->store(value, rl::mo_relaxed, where);
}

static void store_relaxed(slot_word *slot, struct item *item, rl::debug_info_param where)
{
    uint64_t place = shared->bottom.debug_value();
    if (place >= slots && shared->taken_by[place - slots] >= 0)
        (void)shared->readers[shared->taken_by[place - slots]][place - slots](where).load();
    slot->store(item, rl::mo_relaxed, where);
}

#define sp__load_relaxed(p) load_relaxed((p), RL_INFO)
#define sp__load_acquire(p) (p)->load(model_order(PUT_LOOK, rl::mo_acquire, rl::mo_relaxed), RL_INFO)
#define sp__load_seq_cst(p) load_seq_cst((p), RL_INFO)
#define sp__store_relaxed(p, value) store_relaxed((p), (value), RL_INFO)
#define sp__store_seq_cst(p, value) store_seq_cst((p), (value), RL_INFO)
#define sp__cas_seq_cst(p, expected, value) cas_seq_cst((p), (expected), (value), RL_INFO)

#include "executor/deque_protocol.h"

static struct {
    unsigned long full, empty, taken, own_taken, taken_back, last_taken_back, not_ours, not_last, first_taken, not_first;
} happened;

/* ---- the suites ---- */

/* The owner, thread 0, puts numbered items, takes some back and takes some from the top; the others take from the top. */
template <int thieves, int capacity, int items>
struct deque_suite : rl::test_suite<deque_suite<thieves, capacity, items>, thieves + 1> {
    struct sp__deque object;
    struct item all[items + 1]; /* by number, from 1 */
    int at[MOST_PLACES];        /* the number of the item that was put there last */
    bool lies[items + 1];       /* put, and neither taken nor about to be taken back */
    bool out[items + 1];        /* taken, or taken back */
    int least[thieves + 1];     /* so many lay there at each moment of a thread's call */

    void before()
    {
        shared = &object;
        slots = capacity;
        object.top.store(0, rl::mo_relaxed, RL_INFO);
        object.bottom.store(0, rl::mo_relaxed, RL_INFO);
        for (int i = 0; i < MOST_SLOTS; i++)
            object.slots[i].store(NULL, rl::mo_relaxed, RL_INFO);
        for (int i = 0; i < MOST_PLACES; i++)
            object.taken_by[i] = -1;
        memset(does, 0, sizeof does);
        memset(lies, 0, sizeof lies);
        memset(out, 0, sizeof out);
    }

    /* At every step. */
    void invariant()
    {
        int64_t count = (int64_t)(object.bottom.debug_value() - object.top.debug_value());
        RL_ASSERT(count >= -1 && count <= capacity);
    }

    void observe()
    {
        int count = 0;
        for (int number = 1; number <= items; number++)
            count += lies[number];
        for (int thread = 0; thread <= thieves; thread++)
            if (count < least[thread])
                least[thread] = count;
    }

    /* It shows what was put in, and is the caller's alone. */
    void leaves(int number)
    {
        RL_ASSERT(!out[number]);
        out[number] = true;
        lies[number] = false;
        observe();
        RL_ASSERT((int)all[number].content(RL_INFO).load() == number);
        all[number].content(RL_INFO).store(0);
    }

    bool put(int number)
    {
        all[number].content(RL_INFO).store((unsigned)number);
        does[0].call = does[0].PUT;
        bool done = sp__deque_put(&object, &all[number]);
        happened.full += !done;
        if (done) {
            at[object.bottom.debug_value() - 1] = number;
            lies[number] = true;
        }
        return done;
    }

    /* Only if nothing was put after it, but for what was taken back; and then always, unless a thief has it. */
    void take_back(int number)
    {
        uint64_t bottom = object.bottom.debug_value();
        bool last = bottom > 0 && at[bottom - 1] == number;
        bool alone = last && bottom - object.top.debug_value() == 1;
        if (last)
            lies[number] = false;
        observe();
        does[0].call = does[0].TAKE_BACK;
        if (sp__deque_take_back(&object, &all[number])) {
            RL_ASSERT(last);
            leaves(number);
            happened.taken_back++;
            happened.last_taken_back += alone;
            return;
        }
        RL_ASSERT(!last || out[number]);
        happened.not_ours += last;
        happened.not_last += !last;
    }

    /* Nothing that was put before it is left; or there was nothing at a moment of the call. */
    bool take()
    {
        unsigned self = rl::thread_index();
        does[self].call = does[self].TAKE;
        least[self] = items;
        observe();
        struct item *item = sp__deque_take(&object);
        if (item == NULL) {
            RL_ASSERT(least[self] == 0);
            happened.empty++;
            return false;
        }
        RL_ASSERT(item > all && item <= all + items);
        int number = (int)(item - all);
        for (int before = 1; before < number; before++)
            RL_ASSERT(!lies[before]);
        leaves(number);
        happened.taken++;
        happened.own_taken += self == 0;
        return true;
    }

    /* Only if nothing that was put before it is left. */
    void take_first(int number)
    {
        does[rl::thread_index()].call = does[0].TAKE;
        if (!sp__deque_take_first(&object, &all[number])) {
            happened.not_first++;
            return;
        }
        for (int before = 1; before < number; before++)
            RL_ASSERT(!lies[before]);
        leaves(number);
        happened.first_taken++;
    }

    void own()
    {
        for (int number = 1; number <= items;) {
            unsigned choice = rl::rand(7);
            if (choice == 0)
                (void)take();
            else if (choice == 3)
                take_first(1 + (int)rl::rand((unsigned)number));
            else if (choice == 1 && number > 1)
                take_back(1 + (int)rl::rand((unsigned)number - 1));
            else if (choice == 2 && number > 1)
                take_back(number - 1);
            else if (put(number))
                number++;
            else
                rl::yield(1, RL_INFO);
        }
        for (unsigned times = rl::rand(3); times > 0; times--)
            take_back(items);
    }

    void thread(unsigned index)
    {
        if (index == 0)
            own();
        else
            for (unsigned tries = 1 + rl::rand(items); tries > 0; tries--)
                if (rl::rand(3) == 0)
                    take_first(1 + (int)rl::rand(items));
                else
                    (void)take();
    }

    void after()
    {
        while (take())
            continue;
        for (int number = 1; number <= items; number++)
            RL_ASSERT(out[number]);
        RL_ASSERT(object.top.debug_value() == object.bottom.debug_value());
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<deque_suite<1, 1, 4> >(program, "1 thief, 1 slot");
    ok = model_holds<deque_suite<1, 2, 6> >(program, "1 thief, 2 slots") && ok;
    ok = model_holds<deque_suite<2, 2, 5> >(program, "2 thieves, 2 slots") && ok;
    ok = model_holds<deque_suite<2, 3, 7> >(program, "2 thieves, 3 slots") && ok;
    ok = model_holds<deque_suite<3, 2, 5> >(program, "3 thieves, 2 slots") && ok;
    ok = model_happened(program, "full", happened.full) && ok;
    ok = model_happened(program, "empty", happened.empty) && ok;
    ok = model_happened(program, "taken", happened.taken) && ok;
    ok = model_happened(program, "taken by the owner", happened.own_taken) && ok;
    ok = model_happened(program, "taken back", happened.taken_back) && ok;
    ok = model_happened(program, "taken back, the only one", happened.last_taken_back) && ok;
    ok = model_happened(program, "wanted back, a thief had it", happened.not_ours) && ok;
    ok = model_happened(program, "taken, being the first", happened.first_taken) && ok;
    ok = model_happened(program, "wanted, not the first", happened.not_first) && ok;
    return model_happened(program, "wanted back, not the last", happened.not_last) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum deque_weakness which;
        const char *name;
    } all[] = { { PUT_LOOK, "acquire of the look at top by put" },
                { PUT_RELEASE, "release of the bottom by put" },
                { PUT_ORDER, "seq_cst of the bottom by put" },
                { BACK_STORE, "seq_cst of the bottom by take_back" },
                { BACK_LOOK, "seq_cst of the look at top by take_back" },
                { BACK_CLAIM, "the claim of the last item by take_back" },
                { TAKE_TOP, "the look at top before that at bottom" },
                { TAKE_BOTTOM, "seq_cst of the look at bottom by take" },
                { TAKE_ORDER, "seq_cst of the claim by take" },
                { TAKE_RELEASE, "release of the claim by take" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<deque_suite<2, 2, 5> >(program, "2 thieves", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
