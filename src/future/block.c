/* Memory of futures.

   A program makes and releases futures by the million, most of them of a few sizes.  So blocks are recycled: each thread
   keeps some of each size, and gives or takes a batch when it has too many or none; the rest lies in chunks, which go back
   to the system when they are empty.  README.md, "Memory", says more.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "os/fault.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/word_lock.h"

enum {
    CLASSES = SP__BLOCK_CLASSES,
    UNIT = SP__BLOCK_UNIT,
    CHUNK = 2 * 1024 * 1024,       /* a large page of the usual systems */
    CHUNK_SIZE = CHUNK - 2 * UNIT, /* room for what an allocator puts between two: they lie side by side */
    BATCH = 32,
    MOST_KEPT = 2 * BATCH, /* of a class, by a thread */
    CACHE_LINE = 64
};

struct chunk {
    struct sp__list link;   /* guarded by the depot's lock; in `partial` while it has blocks to give */
    struct sp__block *free; /* guarded by the depot's lock */
    uint32_t used;          /* guarded by the depot's lock; blocks that are out */
    uint32_t carved;        /* guarded by the depot's lock; blocks from here on were never out */
    uint32_t size, room;    /* set once; of a block in bytes; blocks in all */
    _Alignas(UNIT) unsigned char bytes[];
};

/* What all threads share of a class. */
struct depot {
    struct sp__word_lock lock;
    struct sp__list partial; /* guarded by lock; made before main */
    struct chunk *empty;     /* guarded by lock; one is kept, the others go */
    uint32_t chunks;         /* guarded by lock; how many there are */
} __attribute__((aligned(CACHE_LINE)));

static struct depot depots[CLASSES];
SP_TLS_ struct sp__kept sp__kept[CLASSES];
static bool begun, recycles; /* set once, before the first block */

static struct chunk *chunk_of(struct sp__block *block)
{
    return (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK - 1));
}

/* ---- the depot ---- */

/* Of a class's first chunk only the pages that are used cost memory.  Whoever needs a second has so many futures that a fault
   for each small page would cost more than the rest of their lives. */
static struct chunk *new_chunk(size_t class, bool is_first)
{
    struct chunk *chunk = sp__os_alloc_aligned(CHUNK, CHUNK_SIZE);
    if (chunk == NULL)
        return NULL;
    if (!is_first)
        sp__os_prefer_large_pages(chunk, CHUNK);
    uint32_t size = (uint32_t)(sizeof(sp_future) + class * UNIT);
    *chunk = (struct chunk){ .size = size, .room = (uint32_t)(CHUNK_SIZE - sizeof *chunk) / size };
    return chunk;
}

/* Under the lock: a block of the chunk, which has one. */
static struct sp__block *take_from(struct chunk *chunk)
{
    struct sp__block *block = chunk->free;
    if (block != NULL)
        chunk->free = block->next;
    else
        block = (struct sp__block *)(void *)(chunk->bytes + (size_t)chunk->carved++ * chunk->size);
    chunk->used++;
    return block;
}

static bool is_used_up(const struct chunk *chunk)
{
    return chunk->free == NULL && chunk->carved == chunk->room;
}

/* Under the lock: a chunk that has blocks to give, or NULL. */
static struct chunk *find_partial(struct depot *depot) SP__REQUIRES(depot->lock)
{
    if (!sp__list_empty(&depot->partial))
        return sp__container_of(depot->partial.next, struct chunk, link);
    struct chunk *chunk = depot->empty;
    depot->empty = NULL;
    if (chunk != NULL)
        sp__list_append(&depot->partial, &chunk->link);
    return chunk;
}

/* Under the lock: take a batch, in the order of addresses.  False: the depot has nothing. */
static bool fill(struct depot *depot, struct sp__kept *mine) SP__REQUIRES(depot->lock)
{
    struct chunk *chunk = find_partial(depot);
    if (chunk == NULL)
        return false;
    struct sp__block **end = &mine->first;
    uint32_t count = 0;
    do {
        *end = take_from(chunk);
        end = &(*end)->next;
    } while (++count < BATCH && !is_used_up(chunk));
    *end = NULL;
    mine->room = MOST_KEPT - count;
    if (is_used_up(chunk))
        sp__list_remove(&chunk->link);
    return true;
}

/* Get a batch, having none.  False: no memory. */
static bool refill(size_t class, struct sp__kept *mine)
{
    struct depot *depot = &depots[class];
    struct chunk *fresh = NULL;
    (void)sp__self(); /* from now on the thread keeps something: its end must be noticed */
    for (;;) {
        sp__word_lock_acquire(&depot->lock);
        if (fresh != NULL) {
            sp__list_append(&depot->partial, &fresh->link);
            depot->chunks++;
        }
        bool filled = fill(depot, mine), is_first = depot->chunks == 0;
        sp__word_lock_release(&depot->lock);
        if (filled)
            return true;
        fresh = new_chunk(class, is_first); /* without the lock: the allocator may take its time */
        if (fresh == NULL)
            return false;
    }
}

/* Under the lock: the block comes back.  Returns a chunk that nobody needs any more, or NULL. */
static struct chunk *put_back(struct depot *depot, struct sp__block *block) SP__REQUIRES(depot->lock)
{
    struct chunk *chunk = chunk_of(block);
    if (is_used_up(chunk))
        sp__list_append(&depot->partial, &chunk->link);
    block->next = chunk->free;
    chunk->free = block;
    if (--chunk->used > 0)
        return NULL;
    sp__list_remove(&chunk->link);
    struct chunk *surplus = depot->empty;
    depot->empty = chunk;
    depot->chunks -= surplus != NULL;
    return surplus;
}

/* Give back until there is so much room. */
static void give_back(size_t class, struct sp__kept *mine, uint32_t room)
{
    struct depot *depot = &depots[class];
    struct sp__block *surplus = NULL; /* chunks, linked by their first word */
    sp__word_lock_acquire(&depot->lock);
    for (; mine->room < room; mine->room++) {
        struct sp__block *block = mine->first;
        mine->first = block->next;
        struct sp__block *chunk = (struct sp__block *)(void *)put_back(depot, block);
        if (chunk != NULL) {
            chunk->next = surplus;
            surplus = chunk;
        }
    }
    sp__word_lock_release(&depot->lock);
    for (struct sp__block *next; surplus != NULL; surplus = next) {
        next = surplus->next;
        sp__os_free(surplus);
    }
}

/* ---- blocks ---- */

static void give_all_back(void);

/* Before main, or by a constructor of the program that comes first: what was allocated plainly must not come back as a
   block. */
SP__CONSTRUCTOR static void begin(void) SP__UNCHECKED
{
    if (begun)
        return;
    for (size_t i = 0; i < CLASSES; i++)
        sp__list_init(&depots[i].partial);
    recycles = sp__os_recycles();
    sp__runner_leaves = give_all_back;
    begun = true;
}

void *sp__block_alloc_slow(size_t size)
{
    begin();
    if (size > SP__BLOCK_LARGEST || !recycles)
        return sp__os_alloc(size);
    size_t class = sp__block_class(size);
    struct sp__kept *mine = &sp__kept[class];
    if (sp__fault_now() || !refill(class, mine))
        return NULL;
    struct sp__block *block = mine->first;
    mine->first = block->next;
    mine->room++;
    return block;
}

void sp__block_free_slow(void *memory, size_t size)
{
    if (size > SP__BLOCK_LARGEST || !recycles) {
        sp__os_free(memory);
        return;
    }
    size_t class = sp__block_class(size);
    struct sp__kept *mine = &sp__kept[class];
    if (mine->first != NULL) {
        give_back(class, mine, BATCH);
    } else {
        (void)sp__self(); /* as in refill */
        mine->room = MOST_KEPT;
    }
    sp__block_free(memory, size);
}

/* The calling thread ends. */
static void give_all_back(void)
{
    for (size_t class = 0; class < CLASSES; class ++) {
        if (sp__kept[class].first != NULL)
            give_back(class, &sp__kept[class], MOST_KEPT);
        sp__kept[class].room = 0;
    }
}

/* Around a fork the depots are at rest, so that the child finds them whole.  What the other threads kept is lost to it. */
static void lock_all(void) SP__UNCHECKED
{
    for (unsigned class = 0; class < CLASSES; class ++)
        sp__word_lock_acquire(&depots[class].lock);
}

static void unlock_all(void) SP__UNCHECKED
{
    for (unsigned class = 0; class < CLASSES; class ++)
        sp__word_lock_release(&depots[class].lock);
}

const struct sp__fork_handler sp__fork_depots = { .before = lock_all, .in_parent = unlock_all, .in_child = unlock_all };
