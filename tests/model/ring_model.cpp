/* The bounded FIFO: queue/ring_protocol.h as it is, over the checker's atomics.  See README.md.

   SPDX-License-Identifier: MIT */
#include "queue_suite.h"

enum ring_weakness {
    NONE,
    PUT_RELEASE, /* the stamp that hands the item to getters */
    PUT_ACQUIRE, /* of the stamp, before the item is written */
    GET_RELEASE, /* the stamp that hands the slot to putters */
    GET_ACQUIRE, /* of the stamp, before the item is read */
    TAIL_ORDER,  /* of the claims of putters in one order with the looks for empty */
    HEAD_ORDER,  /* of the claims of getters in one order with the looks for full */
    LOOK_AT_TAIL,
    LOOK_AT_HEAD
};

enum { MOST_SLOTS = 3 };

typedef model_word sp__ring_word;

struct sp__ring {
    uint64_t capacity, one_lap;
    sp__ring_word tail, head;
    sp__ring_word stamps[MOST_SLOTS];
    rl::var<unsigned> items[MOST_SLOTS];
};

#define SP__RING_STAMP(ring, index) (&(ring)->stamps[index])
#define SP__RING_WRITE(ring, index, item) (ring)->items[index](RL_INFO).store(*(const unsigned *)(item))
#define SP__RING_BACK_OFF(tries) (void)(tries)
#define SP__RING_READ(ring, index, item) (void)(*(unsigned *)(item) = (ring)->items[index](RL_INFO).load())

static int which_of(int of_put, int of_get)
{
    return putting[rl::thread_index()] ? of_put : of_get;
}

#define sp__load_relaxed(p) (p)->load(rl::mo_relaxed, RL_INFO)
#define sp__load_acquire(p)                                                                                            \
    (p)->load(model_order(which_of(PUT_ACQUIRE, GET_ACQUIRE), rl::mo_acquire, rl::mo_relaxed), RL_INFO)
#define sp__load_seq_cst(p)                                                                                            \
    (p)->load(model_order(which_of(LOOK_AT_HEAD, LOOK_AT_TAIL), rl::mo_seq_cst, rl::mo_acquire), RL_INFO)
#define sp__store_release(p, value)                                                                                    \
    (p)->store((value), model_order(which_of(PUT_RELEASE, GET_RELEASE), rl::mo_release, rl::mo_relaxed), RL_INFO)
#define sp__cas_seq_cst(p, expected, value)                                                                            \
    model_cas((p), (expected), (value), model_order(which_of(TAIL_ORDER, HEAD_ORDER), rl::mo_seq_cst, rl::mo_acq_rel), \
              rl::mo_acquire, RL_INFO)

#include "queue/ring_protocol.h"

static unsigned long full; /* how often a put has said so */

template <int putters, int getters, int capacity, int items, bool closes>
struct ring_suite
    : queue_suite<ring_suite<putters, getters, capacity, items, closes>, putters, getters, items, closes ? 4 : 0> {
    struct sp__ring ring;

    void before()
    {
        ring.capacity = capacity;
        ring.one_lap = 2;
        while (ring.one_lap <= ring.capacity)
            ring.one_lap *= 2;
        ring.tail.store(0, rl::mo_relaxed, RL_INFO);
        ring.head.store(0, rl::mo_relaxed, RL_INFO);
        for (int i = 0; i < MOST_SLOTS; i++)
            ring.stamps[i].store(0, rl::mo_relaxed, RL_INFO);
        this->begin();
    }

    /* At every step. */
    void invariant()
    {
        uint64_t puts = sp__ring_count(&ring, ring.tail.debug_value());
        uint64_t gets = sp__ring_count(&ring, ring.head.debug_value());
        RL_ASSERT(gets <= puts && puts - gets <= ring.capacity);
    }

    enum sp__tried try_put(const unsigned *item)
    {
        return sp__ring_put(&ring, item);
    }

    enum sp__tried try_get(unsigned *ret_item)
    {
        return sp__ring_get(&ring, ret_item);
    }

    void check_put(unsigned thread, enum sp__tried tried)
    {
        RL_ASSERT(tried != SP__TRY_NOT_NOW || this->all.most[thread] >= capacity);
        full += tried == SP__TRY_NOT_NOW;
    }

    void close_queue()
    {
        ring.tail.fetch_or(SP__RING_CLOSED, rl::mo_seq_cst, RL_INFO); /* as in sp__store_close */
    }

    void thread(unsigned index)
    {
        if (index < (unsigned)putters)
            this->put_all(index);
        else
            this->get_all(index);
    }

    void after()
    {
        this->all_have_arrived();
        RL_ASSERT(sp__ring_count(&ring, ring.tail.debug_value()) == (uint64_t)this->all.puts_done);
        RL_ASSERT(sp__ring_count(&ring, ring.head.debug_value()) == (uint64_t)this->all.gets_done);
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<ring_suite<1, 1, 1, 4, false> >(program, "1 to 1, 1 slot");
    ok = model_holds<ring_suite<1, 1, 2, 5, false> >(program, "1 to 1, 2 slots") && ok;
    ok = model_holds<ring_suite<1, 1, 3, 7, false> >(program, "1 to 1, 3 slots") && ok;
    ok = model_holds<ring_suite<2, 2, 1, 2, false> >(program, "2 to 2, 1 slot") && ok;
    ok = model_holds<ring_suite<2, 2, 2, 3, false> >(program, "2 to 2, 2 slots") && ok;
    ok = model_holds<ring_suite<2, 2, 3, 4, false> >(program, "2 to 2, 3 slots") && ok;
    ok = model_holds<ring_suite<1, 1, 1, 3, true> >(program, "1 to 1, 1 slot, closed") && ok;
    ok = model_holds<ring_suite<2, 2, 1, 2, true> >(program, "2 to 2, 1 slot, closed") && ok;
    ok = model_holds<ring_suite<2, 2, 2, 2, true> >(program, "2 to 2, 2 slots, closed") && ok;
    ok = model_holds<ring_suite<2, 2, 3, 3, true> >(program, "2 to 2, 3 slots, closed") && ok;
    ok = model_happened(program, "full", full) && ok;
    return queue_all_happened(program) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum ring_weakness which;
        const char *name;
    } all[] = { { PUT_RELEASE, "release of the stamp by put" },    { PUT_ACQUIRE, "acquire of the stamp by put" },
                { GET_RELEASE, "release of the stamp by get" },    { GET_ACQUIRE, "acquire of the stamp by get" },
                { TAIL_ORDER, "seq_cst of the claim by put" },     { HEAD_ORDER, "seq_cst of the claim by get" },
                { LOOK_AT_TAIL, "seq_cst of the look for empty" }, { LOOK_AT_HEAD, "seq_cst of the look for full" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<ring_suite<1, 1, 2, 5, false> >(program, "1 to 1, 2 slots", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
