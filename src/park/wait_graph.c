/* The graph of waits; see wait_graph.h.

   One lock guards it all: edges are published and withdrawn by threads that are about to sleep or have slept, where its
   price does not show.

   SPDX-License-Identifier: MIT */
#include "park/wait_graph.h"

#include <inttypes.h>
#include <string.h>

#include "os/text.h"
#include "park/word_lock.h"

enum {
    RUNNER_BUCKETS = 256,
    MOST_KEPT = 64,
    STEPS = 1024 /* longer chains are not followed: they are no deadlock that anybody could read */
};

static struct sp__word_lock lock;
static struct sp__runner *runners[RUNNER_BUCKETS] SP__GUARDED_BY(lock);
/* Edges of waiting runners that run inside others: the only ones that cannot be found by the id of a thread. */
static struct sp__list helped SP__GUARDED_BY(lock) = { &helped, &helped };
/* All edges, for a thread that ends: somebody may wait for what it leaves behind. */
static struct sp__list published SP__GUARDED_BY(lock) = { &published, &published };
/* Ids up to this one are of runners before the fork that made this process; those in `kept` are the forking thread's own. */
static uint64_t before_fork SP__GUARDED_BY(lock);
static uint64_t kept[MOST_KEPT] SP__GUARDED_BY(lock);

static struct sp__runner **bucket_of(uint64_t id) SP__REQUIRES(lock)
{
    return &runners[id / 2 % RUNNER_BUCKETS]; /* the lowest bit says what kind of id it is */
}

void sp__graph_add(struct sp__runner *runner)
{
    sp__word_lock_acquire(&lock);
    struct sp__runner **first = bucket_of(runner->id);
    runner->next_alive = *first;
    *first = runner;
    sp__word_lock_release(&lock);
}

static struct sp__runner *find(uint64_t id) SP__REQUIRES(lock)
{
    struct sp__runner *at = *bucket_of(id);
    while (at != NULL && at->id != id)
        at = at->next_alive;
    return at;
}

static bool is_kept(uint64_t id) SP__REQUIRES(lock)
{
    for (size_t i = 0; i < MOST_KEPT; i++)
        if (kept[i] == id)
            return true;
    return false;
}

/* Has the runner that had this id ended for sure?  Of those that run inside others that is known only after a fork. */
static bool has_ended(uint64_t id) SP__REQUIRES(lock)
{
    if (sp__is_thread_id(id))
        return find(id) == NULL;
    return id <= before_fork && !is_kept(id);
}

/* Does it stand on the stack of this waiter?  Those below a waiting runner wait with it. */
static bool stands_on(const struct sp__runner *waiter, uint64_t id)
{
    for (; waiter != NULL; waiter = waiter->outer)
        if (waiter->id == id)
            return true;
    return false;
}

static struct sp__runner *thread_of(const struct sp__runner *runner)
{
    while (runner->outer != NULL)
        runner = runner->outer;
    return (struct sp__runner *)(uintptr_t)runner;
}

/* The edge by which the runner waits, or NULL. */
static const struct sp__edge *edge_of(uint64_t id) SP__REQUIRES(lock)
{
    if (sp__is_thread_id(id)) {
        const struct sp__runner *thread = find(id);
        return thread != NULL ? thread->edge : NULL;
    }
    for (const struct sp__list *at = helped.next; at != &helped; at = at->next) {
        const struct sp__edge *edge = sp__container_of(at, const struct sp__edge, link);
        if (stands_on(edge->waiter, id))
            return edge;
    }
    return NULL;
}

enum end { MOVES, CYCLE, REFUSED, GONE };

/* Where does the chain that begins with `first` end?  *ret_length: of how many edges it is. */
static enum end follow(const struct sp__edge *first, unsigned *ret_length, uint64_t *ret_last) SP__REQUIRES(lock)
{
    bool refusable = true;
    const struct sp__edge *at = first;
    for (unsigned length = 1; length <= STEPS; length++) {
        uint64_t owner = at->owner(at->object);
        *ret_length = length;
        *ret_last = owner;
        refusable = refusable && at->may_be_refused;
        if (owner == 0 || (at != first && stands_on(at->waiter, owner)))
            return MOVES; /* it has what it waited for, and will withdraw its edge */
        if (stands_on(first->waiter, owner))
            return refusable ? REFUSED : CYCLE;
        const struct sp__edge *next = edge_of(owner);
        if (next == NULL)
            return has_ended(owner) ? GONE : MOVES;
        at = next;
    }
    return MOVES; /* a cycle of others, who were told, or too long a chain */
}

static void describe(struct sp__text *text, const struct sp__edge *first, unsigned length, enum end end)
    SP__REQUIRES(lock)
{
    const struct sp__edge *at = first;
    if (end == CYCLE)
        sp__text_add(text, "a cycle of %u: ", length);
    for (unsigned i = 0; i < length && at != NULL; i++) {
        uint64_t owner = at->owner(at->object);
        const struct sp__edge *next = i + 1 < length ? edge_of(owner) : first;
        bool gone = end == GONE && i + 1 == length;
        sp__text_add(text, "%s%s (id %" PRIu64 ") %s at %p, ", i > 0 ? "; " : "", sp__runner_name(at->waiter),
                     at->waiter->id, at->does, at->object);
        if (gone)
            sp__text_add(text, "held by id %" PRIu64 ", which has ended", owner);
        else
            sp__text_add(text, "held by %s (id %" PRIu64 ")", next != NULL ? sp__runner_name(next->waiter) : "?",
                         owner);
        at = next;
    }
}

static const struct sp__edge *edge_to(uint64_t id) SP__REQUIRES(lock)
{
    for (const struct sp__list *at = published.next; at != &published; at = at->next) {
        const struct sp__edge *edge = sp__container_of(at, const struct sp__edge, all);
        if (edge->owner(edge->object) == id)
            return edge;
    }
    return NULL;
}

/* Out of line: those who have nothing to report need not have room for the text. */
_Noreturn __attribute__((noinline)) static void report(const struct sp__edge *first, unsigned length, enum end end)
    SP__RELEASES(lock)
{
    struct sp__text text;
    sp__text_init(&text);
    describe(&text, first, length, end);
    sp__word_lock_release(&lock);
    sp__deadlock("%s", text.bytes);
}

void sp__graph_remove(struct sp__runner *runner)
{
    sp__word_lock_acquire(&lock);
    struct sp__runner **at = bucket_of(runner->id);
    while (*at != NULL && *at != runner)
        at = &(*at)->next_alive;
    if (*at != NULL)
        *at = runner->next_alive;
    const struct sp__edge *left = edge_to(runner->id);
    if (left != NULL)
        report(left, 1, GONE);
    sp__word_lock_release(&lock);
}

bool sp__edge_publish(struct sp__edge *edge)
{
    unsigned length = 0;
    uint64_t last = 0;

    edge->waiter = sp__self();
    sp__word_lock_acquire(&lock);
    enum end end = follow(edge, &length, &last);
    if (end == CYCLE || end == GONE)
        report(edge, length, end);
    if (end == MOVES) {
        thread_of(edge->waiter)->edge = edge;
        sp__list_append(&published, &edge->all);
        if (edge->waiter->outer != NULL)
            sp__list_append(&helped, &edge->link);
    }
    sp__word_lock_release(&lock);
    return end == MOVES;
}

void sp__edge_withdraw(struct sp__edge *edge)
{
    sp__word_lock_acquire(&lock);
    thread_of(edge->waiter)->edge = NULL;
    sp__list_remove(&edge->all);
    if (edge->waiter->outer != NULL)
        sp__list_remove(&edge->link);
    sp__word_lock_release(&lock);
}

void sp__graph_before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&lock);
}

void sp__graph_after_fork_in_parent(void) SP__UNCHECKED
{
    sp__word_lock_release(&lock);
}

void sp__graph_after_fork(struct sp__runner *survivor, uint64_t last_id) SP__UNCHECKED
{
    lock = (struct sp__word_lock){ 0 };
    sp__list_init(&helped);
    sp__list_init(&published);
    memset(runners, 0, sizeof runners);
    memset(kept, 0, sizeof kept);
    before_fork = last_id;
    size_t count = 0;
    for (struct sp__runner *at = survivor; at != NULL; at = at->outer) {
        at->edge = NULL;
        if (sp__is_thread_id(at->id))
            sp__graph_add(at);
        else if (count < MOST_KEPT)
            kept[count++] = at->id;
        else
            before_fork = 0; /* too many to remember: then none of them is taken for lost */
    }
}
