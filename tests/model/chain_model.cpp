/* The unbounded FIFO: queue/chain_protocol.h as it is, over the checker's atomics, with blocks of two slots.  See README.md.

   SPDX-License-Identifier: MIT */
#include "queue_suite.h"

enum chain_weakness {
    NONE,
    TAIL_ACQUIRE, /* of the position, by putters */
    TAIL_RELEASE, /* of the position that leads into the next block */
    TAIL_ORDER,   /* of the claims of putters in one order with the looks for empty */
    TAIL_CLAIM,   /* the release of these claims */
    LOOK_AT_TAIL,
    HEAD_ACQUIRE, /* as of putters */
    HEAD_RELEASE,
    HEAD_CLAIM,
    NEXT_RELEASE, /* the link to the next block */
    NEXT_ACQUIRE,
    FULL_RELEASE, /* the state that hands the item to a getter */
    FULL_ACQUIRE,
    READ_RELEASE, /* the state that lets the block go */
    READ_ACQUIRE,
    BACK_ACQUIRE, /* the lock of the blocks that were read */
    BACK_RELEASE
};

#define SP__BLOCK_SLOTS 2u
#define SP__KEPT_BLOCKS rl::rand(2) /* at each look another number */
enum { MOST_POSITIONS = 16, MOST_BLOCKS = 8 };

typedef rl::atomic<uint32_t> sp__slot_word;
typedef rl::atomic<struct sp__block *> block_link;

struct slot {
    sp__slot_word state; /* first */
    rl::var<unsigned> item;
};

struct sp__block {
    block_link next;
    struct slot slots[SP__BLOCK_SLOTS];
};

/* A pointer that one thread at a time may use. */
class guarded_block
{
    mutable rl::var<struct sp__block *> block;

  public:
    operator struct sp__block *() const
    {
        return block(RL_INFO).load();
    }
    void operator=(struct sp__block *value)
    {
        block(RL_INFO).store(value);
    }
};

/* The looks at the block of an end.  A load must not see a block that is stored after the claim has succeeded; the checker
   never shows such a store.  So each look leaves a mark for its position, and the thread that stores the next block reads
   the marks of all that claimed a slot in this one: a race, if those looks do not happen before the store. */
struct looks_at_block {
    rl::var<unsigned> marks[MOST_THREADS][MOST_POSITIONS];
    int claimed_by[MOST_POSITIONS];  /* -1: by nobody yet */
    uint64_t position[MOST_THREADS]; /* that a thread has seen last */
};

struct sp__chain {
    struct {
        model_word position;
        block_link block;
    } tail;
    struct {
        model_word position;
        block_link block;
        model_word tail_seen;
    } head;
    struct looks_at_block at_tail, at_head;
    struct {
        rl::atomic<uint32_t> taken;
        rl::atomic<uint32_t> behind;
        guarded_block oldest;
    } back;
};

struct sp__taker {
    unsigned *to;
};

static struct sp__chain *shared;   /* of this schedule */
static bool in_back[MOST_THREADS]; /* holds the lock of the blocks that were read */

/* ---- looks at the block of an end ---- */

static struct looks_at_block *looks_of(const void *word)
{
    return word == &shared->tail.position || word == &shared->tail.block ? &shared->at_tail : &shared->at_head;
}

static void look_begins(const model_word *position, uint64_t seen)
{
    looks_of(position)->position[rl::thread_index()] = seen & (MOST_POSITIONS - 1);
}

static void looks_at(const block_link *block)
{
    struct looks_at_block *looks = looks_of(block);
    looks->marks[rl::thread_index()][looks->position[rl::thread_index()]](RL_INFO).store(1);
}

static void claims(const model_word *position, uint64_t claimed)
{
    looks_of(position)->claimed_by[claimed & (MOST_POSITIONS - 1)] = (int)rl::thread_index();
}

/* The caller has claimed the last slot of a block and stores the next one. */
static void leaves_for_next(const block_link *block)
{
    struct looks_at_block *looks = looks_of(block);
    uint64_t last = looks->position[rl::thread_index()];
    for (uint64_t at = last + 1 - SP__BLOCK_SLOTS; at < last; at++)
        (void)looks->marks[looks->claimed_by[at]][at](RL_INFO).load();
}

/* ---- orders ---- */

static rl::memory_order without(int weakness, rl::memory_order order)
{
    return model_order(weakness, order, rl::mo_relaxed);
}

static uint64_t load(const model_word *word, rl::memory_order order, rl::debug_info_param where)
{
    bool acquires = order == rl::mo_acquire && word != &shared->head.tail_seen;
    if (acquires)
        order = without(word == &shared->tail.position ? TAIL_ACQUIRE : HEAD_ACQUIRE, order);
    else if (order == rl::mo_seq_cst)
        order = model_order(LOOK_AT_TAIL, order, rl::mo_acquire);
    uint64_t seen = word->load(order, where);
    if (word != &shared->head.tail_seen)
        look_begins(word, seen);
    return seen;
}

static struct sp__block *load(const block_link *link, rl::memory_order order, rl::debug_info_param where)
{
    if (link == &shared->tail.block || link == &shared->head.block)
        looks_at(link);
    return link->load(order == rl::mo_acquire ? without(NEXT_ACQUIRE, order) : order, where);
}

static uint32_t load(const rl::atomic<uint32_t> *word, rl::memory_order order, rl::debug_info_param where)
{
    int which = in_back[rl::thread_index()] ? READ_ACQUIRE : FULL_ACQUIRE;
    return word->load(order == rl::mo_acquire ? without(which, order) : order, where);
}

static void store(model_word *word, uint64_t value, rl::memory_order order, rl::debug_info_param where)
{
    word->store(value, order, where);
}

static void store(block_link *link, struct sp__block *value, rl::memory_order order, rl::debug_info_param where)
{
    if (link == &shared->tail.block || link == &shared->head.block)
        leaves_for_next(link);
    link->store(value, order == rl::mo_release ? without(NEXT_RELEASE, order) : order, where);
}

static void store(rl::atomic<uint32_t> *word, uint32_t value, rl::memory_order order, rl::debug_info_param where)
{
    int which = value == 1 ? FULL_RELEASE : READ_RELEASE;
    if (word == &shared->back.taken) {
        in_back[rl::thread_index()] = false;
        which = BACK_RELEASE;
    }
    word->store(value, order == rl::mo_release ? without(which, order) : order, where);
}

static void add(model_word *word, uint64_t value, rl::memory_order order, rl::debug_info_param where)
{
    int which = word == &shared->tail.position ? TAIL_RELEASE : HEAD_RELEASE;
    word->fetch_add(value, order == rl::mo_release ? without(which, order) : order, where);
}

static void add(rl::atomic<uint32_t> *word, uint32_t value, rl::memory_order order, rl::debug_info_param where)
{
    word->fetch_add(value, order, where);
}

/* Of a position. */
static bool cas(model_word *word, uint64_t *expected, uint64_t value, rl::memory_order order,
                rl::debug_info_param where)
{
    uint64_t position = *expected;
    bool of_tail = word == &shared->tail.position;
    if (of_tail)
        order = model_order(TAIL_ORDER, order, rl::mo_acq_rel);
    order = model_order(of_tail ? TAIL_CLAIM : HEAD_CLAIM, order, rl::mo_acquire);
    if (!model_cas(word, expected, value, order, rl::mo_relaxed, where))
        return false;
    claims(word, position);
    return true;
}

/* Of the lock of the blocks that were read. */
static bool cas(rl::atomic<uint32_t> *word, uint32_t *expected, uint32_t value, rl::memory_order order,
                rl::debug_info_param where)
{
    if (order == rl::mo_acquire)
        order = without(BACK_ACQUIRE, order);
    return in_back[rl::thread_index()] = word->compare_exchange_strong(*expected, value, order, where, rl::mo_relaxed,
                                                                       where);
}

#define sp__load_relaxed(p) load((p), rl::mo_relaxed, RL_INFO)
#define sp__load_acquire(p) load((p), rl::mo_acquire, RL_INFO)
#define sp__load_seq_cst(p) load((p), rl::mo_seq_cst, RL_INFO)
#define sp__store_relaxed(p, value) store((p), (value), rl::mo_relaxed, RL_INFO)
#define sp__store_release(p, value) store((p), (value), rl::mo_release, RL_INFO)
#define sp__add_relaxed(p, value) add((p), (value), rl::mo_relaxed, RL_INFO)
#define sp__add_release(p, value) add((p), (value), rl::mo_release, RL_INFO)
#define sp__sub_relaxed(p, value) (void)(p)->fetch_sub((value), rl::mo_relaxed, RL_INFO)
#define sp__cas_relaxed(p, expected, value) cas((p), (expected), (value), rl::mo_relaxed, RL_INFO)
#define sp__cas_acquire(p, expected, value) cas((p), (expected), (value), rl::mo_acquire, RL_INFO)
#define sp__cas_acq_rel(p, expected, value) cas((p), (expected), (value), rl::mo_acq_rel, RL_INFO)
#define sp__cas_seq_cst(p, expected, value) cas((p), (expected), (value), rl::mo_seq_cst, RL_INFO)

/* ---- chain.h and chain.c ---- */

static struct {
    unsigned long no_memory, unlinked, trimmed, spare, waited, slower;
} happened;

static sp__slot_word *sp__chain_state(const struct sp__chain *of, struct sp__block *block, uint64_t offset)
{
    (void)of;
    return &block->slots[offset].state;
}

static struct slot *slot_of(sp__slot_word *state)
{
    return reinterpret_cast<struct slot *>(state);
}

/* A thread that has claimed a slot may be slow, so that whole blocks come and go meanwhile. */
static void take_time(void)
{
    for (unsigned turns = rl::rand(4) == 0 ? 16 : 0; turns > 0; turns--)
        rl::yield(1, RL_INFO);
}

static void sp__chain_write(const struct sp__chain *of, sp__slot_word *state, const void *item)
{
    (void)of;
    take_time();
    slot_of(state)->item(RL_INFO).store(*(const unsigned *)item);
}

static void sp__chain_read(const struct sp__chain *of, sp__slot_word *state, const struct sp__taker *taker)
{
    (void)of;
    take_time();
    *taker->to = slot_of(state)->item(RL_INFO).load();
}

static struct sp__block *sp__chain_new_block(const struct sp__chain *of)
{
    (void)of;
    if (rl::rand(16) == 0)
        return NULL;
    struct sp__block *block = new struct sp__block;
    block->next.store(NULL, rl::mo_relaxed, RL_INFO);
    for (unsigned i = 0; i < SP__BLOCK_SLOTS; i++)
        block->slots[i].state.store(0, rl::mo_relaxed, RL_INFO);
    return block;
}

static void sp__chain_free_block(struct sp__block *block)
{
    *(in_back[rl::thread_index()] ? &happened.trimmed : &happened.spare) += 1;
    delete block;
}

static void sp__chain_was_read(const struct sp__chain *of, struct sp__block *block)
{
    (void)of, (void)block;
    happened.unlinked++;
}

static void sp__chain_back_off(unsigned tries)
{
    (void)tries;
    happened.slower++;
}

static void sp__chain_pass_moment(unsigned *round)
{
    (void)round;
    happened.waited++;
    rl::yield(1, RL_INFO);
}

#include "queue/chain_protocol.h"

static enum sp__tried chain_put(const unsigned *item)
{
    sp__slot_word *slot;
    enum sp__tried tried = sp__chain_claim_slot(shared, &slot);
    if (tried == SP__TRY_DONE)
        sp__chain_finish_put(shared, slot, item);
    return tried;
}

static enum sp__tried chain_get(unsigned *ret_item)
{
    struct sp__taker taker = { ret_item };
    return sp__chain_take_first(shared, &taker);
}

static void looks_init(struct looks_at_block *of)
{
    for (int i = 0; i < MOST_POSITIONS; i++)
        of->claimed_by[i] = -1;
}

/* As sp__chain_init. */
static struct sp__chain *new_chain(void)
{
    struct sp__block *first;
    struct sp__chain *made = new struct sp__chain;
    while ((first = sp__chain_new_block(made)) == NULL)
        continue;
    made->tail.position.store(0, rl::mo_relaxed, RL_INFO);
    made->head.position.store(0, rl::mo_relaxed, RL_INFO);
    made->head.tail_seen.store(0, rl::mo_relaxed, RL_INFO);
    made->tail.block.store(first, rl::mo_relaxed, RL_INFO);
    made->head.block.store(first, rl::mo_relaxed, RL_INFO);
    made->back.taken.store(0, rl::mo_relaxed, RL_INFO);
    made->back.behind.store(0, rl::mo_relaxed, RL_INFO);
    made->back.oldest = first;
    looks_init(&made->at_tail);
    looks_init(&made->at_head);
    return made;
}

/* As sp__chain_free.  A block that is not found here is lost, and the checker says so. */
static void free_chain(struct sp__chain *chain)
{
    struct sp__block *next, *block = chain->back.oldest;
    for (int i = 0; i < MOST_BLOCKS && block != NULL; i++, block = next) {
        next = block->next.load(rl::mo_relaxed, RL_INFO);
        delete block;
    }
    delete chain;
}

/* ---- the suites ---- */

/* How many blocks lie before that of the next get. */
static uint32_t blocks_behind(const struct sp__chain *chain)
{
    uint32_t behind = 0;
    for (struct sp__block *block = chain->back.oldest; block != chain->head.block.debug_value();
         block = block->next.debug_value())
        if (block == NULL || ++behind == MOST_BLOCKS) /* not one chain any more */
            return MOST_BLOCKS;
    return behind;
}

/* What a suite does besides. */
enum { CLOSES = 1, FREES = 2 /* the getter of the last item frees the chain; for one getter */ };

template <int putters, int getters, int items, int does>
struct chain_suite
    : queue_suite<chain_suite<putters, getters, items, does>, putters, getters, items, does & CLOSES ? 8 : 0> {
    void before()
    {
        memset(in_back, 0, sizeof in_back);
        shared = new_chain();
        this->begin();
    }

    /* At every step. */
    void invariant()
    {
        if (shared == NULL)
            return;
        uint64_t puts = sp__chain_count(shared->tail.position.debug_value());
        uint64_t gets = sp__chain_count(shared->head.position.debug_value());
        RL_ASSERT(gets <= puts);
    }

    enum sp__tried try_put(const unsigned *item)
    {
        return chain_put(item);
    }

    enum sp__tried try_get(unsigned *ret_item)
    {
        return chain_get(ret_item);
    }

    void check_put(unsigned, enum sp__tried tried)
    {
        RL_ASSERT(tried != SP__TRY_NOT_NOW);
        happened.no_memory += tried == SP__TRY_NO_MEMORY;
    }

    void close_queue()
    {
        shared->tail.position.fetch_or(SP__CHAIN_CLOSED, rl::mo_seq_cst, RL_INFO); /* as in sp__store_close */
    }

    void thread(unsigned index)
    {
        if (index < (unsigned)putters) {
            this->put_all(index);
            return;
        }
        this->get_all(index);
        if (does & FREES) {
            check_counts();
            free_chain(shared);
            shared = NULL;
        }
    }

    void check_counts()
    {
        RL_ASSERT(sp__chain_count(shared->tail.position.debug_value()) == (uint64_t)this->all.gets_done);
        RL_ASSERT(sp__chain_count(shared->head.position.debug_value()) == (uint64_t)this->all.gets_done);
    }

    void after()
    {
        this->all_have_arrived();
        if (shared != NULL) {
            check_counts();
            RL_ASSERT(shared->back.taken.debug_value() == 0);
            RL_ASSERT(shared->back.behind.debug_value() == blocks_behind(shared));
            free_chain(shared);
        }
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<chain_suite<1, 1, 7, CLOSES> >(program, "1 to 1, closed");
    ok = model_holds<chain_suite<2, 1, 4, FREES> >(program, "2 to 1, freed by the getter") && ok;
    ok = model_holds<chain_suite<1, 2, 7, 0> >(program, "1 to 2") && ok;
    ok = model_holds<chain_suite<2, 2, 4, 0> >(program, "2 to 2") && ok;
    ok = model_holds<chain_suite<2, 2, 3, CLOSES> >(program, "2 to 2, closed") && ok;
    ok = model_happened(program, "another was faster", happened.slower) && ok;
    ok = model_happened(program, "another had put the next block in place", happened.spare) && ok;
    ok = model_happened(program, "waited for a copy or a link", happened.waited) && ok;
    ok = model_happened(program, "no memory", happened.no_memory) && ok;
    ok = model_happened(program, "a block was used again", happened.unlinked - happened.trimmed) && ok;
    ok = model_happened(program, "a block was given back", happened.trimmed) && ok;
    return queue_all_happened(program) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum chain_weakness which;
        const char *name;
    } all[] = { { TAIL_ACQUIRE, "acquire of the position by put" },
                { TAIL_RELEASE, "release of the position by put" },
                { TAIL_ORDER, "seq_cst of the claim by put" },
                { TAIL_CLAIM, "release of the claim by put" },
                { LOOK_AT_TAIL, "seq_cst of the look for empty" },
                { HEAD_ACQUIRE, "acquire of the position by get" },
                { HEAD_RELEASE, "release of the position by get" },
                { HEAD_CLAIM, "release of the claim by get" },
                { NEXT_RELEASE, "release of the link" },
                { NEXT_ACQUIRE, "acquire of the link" },
                { FULL_RELEASE, "release of the item" },
                { FULL_ACQUIRE, "acquire of the item" },
                { READ_RELEASE, "release of the block" },
                { READ_ACQUIRE, "acquire of the block" },
                { BACK_ACQUIRE, "acquire of the blocks that were read" },
                { BACK_RELEASE, "release of the blocks that were read" } };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<chain_suite<2, 2, 4, 0> >(program, "2 to 2", all[i].which, all[i].name) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
