/* Memory of futures.

   A program makes and releases futures by the million, most of them of a few sizes.  So blocks are recycled: each thread
   keeps some of each size, and gives or takes a batch when it has too many or none; the rest lies in chunks, which go back
   to the system when they are empty, and page by page when much of them is.  README.md, "Memory", says more.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/pause.h"
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
    PAGE = 4096,                   /* no block lies across two: so a page without blocks that are out can be given up */
    PAGES = CHUNK / PAGE,
    WORD_BITS = 64,
    WORDS = PAGES / WORD_BITS,
    FEWEST_SWEPT = 8, /* pages; for fewer it is not worth a call */
    BATCH = 32,
    MOST_KEPT = 2 * BATCH, /* of a class, by a thread */
    CACHE_LINE = 64
};

/* Untouched: all is 0.  Idle: some blocks were out, none is. */
struct page {
    uint32_t free;   /* the first block that came back, in bytes from the chunk; 0: none */
    uint16_t used;   /* blocks that are out */
    uint16_t carved; /* blocks from here on were never out */
};

/* A set of a chunk's pages. */
struct pages {
    uint64_t words[WORDS];
};

/* Guarded by the depot's lock, but for what is set once. */
struct chunk {
    struct sp__list link;       /* in `partial` while it has blocks to give */
    struct sp__list sweep_link; /* in `part_idle` */
    uint32_t used;              /* blocks that are out, and sweeps that are on their way */
    uint32_t touched, idle;     /* how many pages; the idle ones are touched too */
    uint32_t giving;            /* pages in `gives` */
    uint32_t size, per_page;    /* set once; of a block in bytes; blocks of a page */
    bool is_in_small_pages;
    struct pages gives; /* those that have blocks to give and are not being swept */
    struct page pages[PAGES];
};

/* The first pages are the head's; in the last one the allocator may have something of its own. */
enum { FIRST_PAGE = (sizeof(struct chunk) + PAGE - 1) / PAGE, END_PAGE = PAGES - 1 };

/* What all threads share of a class. */
struct depot {
    struct sp__word_lock lock;
    struct sp__list partial;   /* guarded by lock; made before main */
    struct sp__list part_idle; /* guarded by lock; chunks to be swept, all but the last; made before main */
    struct chunk *empty;       /* guarded by lock; one is kept, the others go */
    uint32_t chunks;           /* guarded by lock; how many there are */
} __attribute__((aligned(CACHE_LINE)));

static struct depot depots[CLASSES];
SP_TLS_ struct sp__kept sp__kept[CLASSES];
static bool begun, recycles; /* set once, before the first block */

static struct chunk *chunk_of(struct sp__block *block)
{
    return (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK - 1));
}

/* In bytes from its chunk, whose head is no block: 0 for NULL. */
static uint32_t place_of(const struct sp__block *block)
{
    return (uint32_t)((uintptr_t)block & (CHUNK - 1));
}

static struct sp__block *block_at(struct chunk *chunk, uint32_t place)
{
    return (struct sp__block *)(void *)((unsigned char *)chunk + place);
}

static bool has(const struct pages *pages, uint32_t number)
{
    return pages->words[number / WORD_BITS] >> number % WORD_BITS & 1;
}

static void let_give(struct chunk *chunk, uint32_t number)
{
    chunk->gives.words[number / WORD_BITS] |= (uint64_t)1 << number % WORD_BITS;
    chunk->giving++;
}

static void let_not_give(struct chunk *chunk, uint32_t number)
{
    chunk->gives.words[number / WORD_BITS] &= ~((uint64_t)1 << number % WORD_BITS);
    chunk->giving--;
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
    memset(chunk, 0, sizeof *chunk);
    chunk->size = (uint32_t)(sizeof(sp_future) + class * UNIT);
    chunk->per_page = PAGE / chunk->size;
    for (uint32_t i = FIRST_PAGE; i < END_PAGE; i++)
        let_give(chunk, i);
    return chunk;
}

static bool is_used_up(const struct chunk *chunk)
{
    return chunk->giving == 0;
}

/* Under the lock: the first page that has blocks to give, of a chunk that has one.  Always the first, so that the others get
   idle. */
static uint32_t first_giving(const struct chunk *chunk)
{
    uint32_t i = 0;
    while (chunk->gives.words[i] == 0)
        i++;
    return i * WORD_BITS + (uint32_t)__builtin_ctzll(chunk->gives.words[i]);
}

/* Under the lock: a block of a page that has one. */
static struct sp__block *take_from(struct chunk *chunk, uint32_t number)
{
    struct page *page = &chunk->pages[number];
    if (page->carved == 0)
        chunk->touched++;
    else if (page->used == 0)
        chunk->idle--;
    uint32_t place = page->free;
    if (place == 0)
        place = number * PAGE + page->carved++ * chunk->size;
    else
        page->free = place_of(block_at(chunk, place)->next);
    page->used++;
    chunk->used++;
    if (page->used == chunk->per_page)
        let_not_give(chunk, number);
    return block_at(chunk, place);
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
        *end = take_from(chunk, first_giving(chunk));
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

/* Under the lock: the chunk has one reason less to stay.  Returns a chunk that nobody needs any more, or NULL. */
static struct chunk *use_less(struct depot *depot, struct chunk *chunk) SP__REQUIRES(depot->lock)
{
    if (--chunk->used > 0)
        return NULL;
    sp__list_remove(&chunk->link);
    sp__list_remove(&chunk->sweep_link);
    struct chunk *surplus = depot->empty;
    depot->empty = chunk;
    depot->chunks -= surplus != NULL;
    return surplus;
}

/* Under the lock: the page has blocks to give again. */
static void give_again(struct depot *depot, struct chunk *chunk, uint32_t number) SP__REQUIRES(depot->lock)
{
    if (is_used_up(chunk))
        sp__list_append(&depot->partial, &chunk->link);
    let_give(chunk, number);
}

static bool is_part_idle(const struct chunk *chunk)
{
    return chunk->idle >= FEWEST_SWEPT && 4 * chunk->idle >= chunk->touched;
}

/* Under the lock: the block comes back.  Returns a chunk that nobody needs any more, or NULL. */
static struct chunk *put_back(struct depot *depot, struct sp__block *block) SP__REQUIRES(depot->lock)
{
    struct chunk *chunk = chunk_of(block);
    uint32_t number = place_of(block) / PAGE;
    struct page *page = &chunk->pages[number];
    if (page->used-- == chunk->per_page)
        give_again(depot, chunk, number);
    block->next = page->free == 0 ? NULL : block_at(chunk, page->free);
    page->free = place_of(block);
    if (page->used == 0) {
        chunk->idle++;
        if (is_part_idle(chunk) && !sp__list_linked(&chunk->sweep_link))
            sp__list_append(&depot->part_idle, &chunk->sweep_link);
    }
    return use_less(depot, chunk);
}

/* ---- sweeping: the idle pages of a chunk go back to the system, though the chunk stays ---- */

/* Under the lock: a chunk to be swept, or NULL.  Not the last one that got so far: futures are often released in the order
   in which they were made, and then all of it is idle soon. */
static struct chunk *next_to_sweep(struct depot *depot) SP__REQUIRES(depot->lock)
{
    struct sp__list *first;
    while ((first = depot->part_idle.next) != depot->part_idle.prev) {
        struct chunk *chunk = sp__container_of(first, struct chunk, sweep_link);
        sp__list_remove(first);
        if (is_part_idle(chunk)) /* still */
            return chunk;
    }
    return NULL;
}

/* Under the lock: nobody is to take blocks of the idle pages, and the chunk is to stay.  Returns which they were. */
static struct pages hide_idle(struct chunk *chunk)
{
    struct pages hidden = { { 0 } };
    for (uint32_t i = FIRST_PAGE; i < END_PAGE; i++) {
        if (chunk->pages[i].carved == 0 || chunk->pages[i].used > 0)
            continue;
        chunk->pages[i] = (struct page){ 0 };
        hidden.words[i / WORD_BITS] |= (uint64_t)1 << i % WORD_BITS;
        let_not_give(chunk, i);
    }
    chunk->touched -= chunk->idle;
    chunk->idle = 0;
    chunk->used++;
    if (is_used_up(chunk))
        sp__list_remove(&chunk->link);
    return hidden;
}

/* Without the lock.  Pages side by side go with one call. */
static void give_up(struct chunk *chunk, const struct pages *hidden)
{
    for (uint32_t i = FIRST_PAGE, end; i < END_PAGE; i = end + 1) {
        for (end = i; has(hidden, end); end++)
            ;
        if (end > i)
            sp__os_give_up_pages(block_at(chunk, i * PAGE), (size_t)(end - i) * PAGE);
    }
}

/* Releases the lock meanwhile.  Returns as use_less. */
static struct chunk *sweep(struct depot *depot, struct chunk *chunk) SP__REQUIRES(depot->lock)
{
    struct pages hidden = hide_idle(chunk);
    bool was_in_small_pages = chunk->is_in_small_pages;
    chunk->is_in_small_pages = true;
    sp__word_lock_release(&depot->lock);
    if (!was_in_small_pages) /* else the system would make large ones of what is left */
        sp__os_prefer_small_pages(chunk, CHUNK_SIZE);
    give_up(chunk, &hidden);
    SP__PAUSE("block: given up");
    sp__word_lock_acquire(&depot->lock);
    for (uint32_t i = FIRST_PAGE; i < END_PAGE; i++)
        if (has(&hidden, i))
            give_again(depot, chunk, i);
    return use_less(depot, chunk);
}

/* Chunks that nobody needs, linked by their first word. */
static void add_surplus(struct sp__block **surplus, struct chunk *chunk)
{
    struct sp__block *first = (struct sp__block *)(void *)chunk;
    if (first == NULL)
        return;
    first->next = *surplus;
    *surplus = first;
}

/* Give back until there is so much room. */
static void give_back(size_t class, struct sp__kept *mine, uint32_t room)
{
    struct depot *depot = &depots[class];
    struct sp__block *surplus = NULL;
    sp__word_lock_acquire(&depot->lock);
    for (; mine->room < room; mine->room++) {
        struct sp__block *block = mine->first;
        mine->first = block->next;
        add_surplus(&surplus, put_back(depot, block));
    }
    for (struct chunk *chunk; (chunk = next_to_sweep(depot)) != NULL;)
        add_surplus(&surplus, sweep(depot, chunk));
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
    for (size_t i = 0; i < CLASSES; i++) {
        sp__list_init(&depots[i].partial);
        sp__list_init(&depots[i].part_idle);
    }
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
