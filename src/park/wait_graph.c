/* The graph of waits; see wait_graph.h.

   One lock guards it all: edges are published and withdrawn by threads that are about to sleep or have slept, where its
   price does not show.  Nothing here takes longer for more threads, but for a walk, which is as long as the chain it
   follows; and a waiter for which nobody waits does not walk.

   Three indices: runners by id; edges by object, where one edge to an object leads the others to it; and leaders by the
   owner of their object, as of the last look at it.

   SPDX-License-Identifier: MIT */
#include "park/wait_graph.h"

#include <inttypes.h>
#include <string.h>

#include "os/text.h"
#include "park/word_lock.h"

enum {
    BUCKET_BITS = 12,
    BUCKETS = 1 << BUCKET_BITS,
    UNKNOWN_BUCKETS = 256,
    MOST_NAMED = 16 /* members of a cycle that a report describes */
};

static struct sp__word_lock lock;
/* Threads, and the runners inside others on whose stack somebody has waited. */
static struct sp__runner *runners[BUCKETS] SP__GUARDED_BY(lock);
static struct sp__edge *objects[BUCKETS] SP__GUARDED_BY(lock);
/* Leaders whose owner is a runner inside another that is not known, by the owner's id; next == NULL until first used. */
static struct sp__list unknown_owners[UNKNOWN_BUCKETS] SP__GUARDED_BY(lock);
/* All edges: whoever is in the graph sleeps. */
static struct sp__list sleepers SP__GUARDED_BY(lock) = { &sleepers, &sleepers };
/* How many edges of several owners there are.  These are in no index. */
static size_t multiple SP__GUARDED_BY(lock);
static uint64_t last_walk SP__GUARDED_BY(lock);
/* Ids up to this one were given before the fork that made this process. */
static uint64_t before_fork SP__GUARDED_BY(lock);

/* Fibonacci hashing, as in park.c: ids come in blocks, addresses in steps. */
static size_t bucket_of(uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - BUCKET_BITS));
}

/* ---- runners ---- */

static struct sp__runner *find_runner(uint64_t id) SP__REQUIRES(lock)
{
    struct sp__runner *at = runners[bucket_of(id)];
    while (at != NULL && at->id != id)
        at = at->next_known;
    return at;
}

static void make_known(struct sp__runner *runner) SP__REQUIRES(lock)
{
    struct sp__runner **first = &runners[bucket_of(runner->id)];
    runner->next_known = *first;
    *first = runner;
    runner->known = true;
}

static void make_unknown(struct sp__runner *runner) SP__REQUIRES(lock)
{
    struct sp__runner **at = &runners[bucket_of(runner->id)];
    while (*at != NULL && *at != runner)
        at = &(*at)->next_known;
    if (*at != NULL)
        *at = runner->next_known;
    runner->known = false;
}

/* Has the runner that had this id ended for sure?  Of those that run inside others that is known only after a fork. */
static bool has_ended(uint64_t id) SP__REQUIRES(lock)
{
    return id != 0 && (sp__is_thread_id(id) || id <= before_fork) && find_runner(id) == NULL;
}

/* The edge by which the runner waits, or NULL: those below a waiting runner wait with it. */
static struct sp__edge *edge_of(uint64_t id) SP__REQUIRES(lock)
{
    const struct sp__runner *runner = find_runner(id);
    return runner != NULL ? runner->thread_runner->edge : NULL;
}

/* Does it stand on the stack of this waiter? */
static bool stands_on(const struct sp__runner *waiter, uint64_t id) SP__REQUIRES(lock)
{
    const struct sp__runner *runner = find_runner(id);
    return runner != NULL && runner->thread_runner == waiter->thread_runner;
}

/* ---- walks ---- */

static bool has_several_owners(const struct sp__edge *edge)
{
    return edge->owner == NULL;
}

/* The next sleeping runner that holds up this wait; 0: there is no more. */
static uint64_t next_holder(struct sp__edge *edge) SP__REQUIRES(lock)
{
    while ((edge->asked = edge->asked->next) != &sleepers) {
        const struct sp__edge *other = sp__container_of(edge->asked, struct sp__edge, asleep);
        for (const struct sp__runner *at = other->waiter; at != NULL; at = at->outer)
            if (edge->is_held_by(edge->object, at))
                return at->id;
    }
    return 0;
}

static void begin_with_owners(struct sp__edge *edge) SP__REQUIRES(lock)
{
    edge->at = 0;
    edge->asked = &sleepers;
}

/* The next runner that must move for this wait to end; 0: there is none, or no more. */
static uint64_t next_owner(struct sp__edge *edge) SP__REQUIRES(lock)
{
    if (edge->is_held_by != NULL)
        return next_holder(edge);
    if (edge->next_owner != NULL)
        return edge->next_owner(edge->object, &edge->at);
    return edge->at++ == 0 ? edge->owner(edge->object) : 0;
}

static void come_to(struct sp__edge *edge, struct sp__edge *previous) SP__REQUIRES(lock)
{
    edge->walk = last_walk;
    edge->previous = previous;
    begin_with_owners(edge);
}

/* Is there a cycle through `first`?  Returns the last edge of one, from which `previous` leads back to the first; NULL: there
   is none.  Depth first, each edge once.  An owner whose own edge this is has just got what it waited for, and will withdraw
   it; but the first waiter, while it publishes, has got nothing. */
static struct sp__edge *find_cycle(struct sp__edge *first, bool publishes) SP__REQUIRES(lock)
{
    last_walk++;
    come_to(first, NULL);
    for (struct sp__edge *at = first; at != NULL;) {
        uint64_t owner = next_owner(at);
        if (owner == 0) {
            at = at->previous;
            continue;
        }
        if (stands_on(first->waiter, owner) && (at != first || publishes))
            return at;
        struct sp__edge *next = edge_of(owner);
        if (next != NULL && next->walk != last_walk) {
            come_to(next, at);
            at = next;
        }
    }
    return NULL;
}

static bool is_refusable(const struct sp__edge *last) SP__REQUIRES(lock)
{
    bool refusable = true;
    for (const struct sp__edge *at = last; at != NULL; at = at->previous)
        refusable = refusable && at->may_be_refused;
    return refusable;
}

/* ---- reports ---- */

static void describe_wait(struct sp__text *text, const struct sp__edge *edge) SP__REQUIRES(lock)
{
    sp__text_add(text, "%s (id %" PRIu64 ") %s at %p, held by ", sp__runner_name(edge->waiter), edge->waiter->id,
                 edge->does, edge->object);
}

/* The runner by which the waiter of `next` holds up that of `edge`. */
static uint64_t owner_between(struct sp__edge *edge, const struct sp__edge *next) SP__REQUIRES(lock)
{
    uint64_t owner;
    begin_with_owners(edge);
    do
        owner = next_owner(edge);
    while (owner != 0 && !stands_on(next->waiter, owner));
    return owner;
}

/* Let `previous` lead from the first edge of a cycle to the last.  Returns the first. */
static struct sp__edge *turn_round(struct sp__edge *last, unsigned *ret_length) SP__REQUIRES(lock)
{
    struct sp__edge *after = NULL;
    for (*ret_length = 0; last != NULL; ++*ret_length) {
        struct sp__edge *before = last->previous;
        last->previous = after;
        after = last;
        last = before;
    }
    return after;
}

static void describe_cycle(struct sp__text *text, struct sp__edge *last) SP__REQUIRES(lock)
{
    unsigned length, named = 0;
    struct sp__edge *first = turn_round(last, &length);
    sp__text_add(text, "a cycle of %u: ", length);
    for (struct sp__edge *at = first; at != NULL && named < MOST_NAMED; at = at->previous, named++) {
        const struct sp__edge *next = at->previous != NULL ? at->previous : first;
        uint64_t owner = owner_between(at, next);
        const struct sp__runner *runner = find_runner(owner);
        sp__text_add(text, "%s", named > 0 ? "; " : "");
        describe_wait(text, at);
        sp__text_add(text, "%s (id %" PRIu64 ")", runner != NULL ? sp__runner_name(runner) : "?", owner);
    }
    if (named < length)
        sp__text_add(text, "; and %u more", length - named);
}

/* Out of line: those who have nothing to report need not have room for the text. */
_Noreturn __attribute__((noinline)) static void report_cycle(struct sp__edge *last) SP__RELEASES(lock)
{
    struct sp__text text;
    sp__text_init(&text);
    describe_cycle(&text, last);
    sp__word_lock_release(&lock);
    sp__deadlock("%s", text.bytes);
}

_Noreturn __attribute__((noinline)) static void report_gone(const struct sp__edge *edge, uint64_t owner)
    SP__RELEASES(lock)
{
    struct sp__text text;
    sp__text_init(&text);
    describe_wait(&text, edge);
    sp__text_add(&text, "id %" PRIu64 ", which has ended", owner);
    sp__word_lock_release(&lock);
    sp__deadlock("%s", text.bytes);
}

/* ---- edges by object, and by the owner of the object ---- */

static struct sp__edge **place_of(const void *object) SP__REQUIRES(lock)
{
    struct sp__edge **at = &objects[bucket_of((uint64_t)(uintptr_t)object)];
    while (*at != NULL && (*at)->object != object)
        at = &(*at)->next;
    return at;
}

/* List it under the owner of its object. */
static void list_leader(struct sp__edge *leader) SP__REQUIRES(lock)
{
    uint64_t owner = leader->last_owner = leader->owner(leader->object);
    const struct sp__runner *runner = find_runner(owner);
    sp__list_remove(&leader->held);
    if (owner == 0)
        return;
    struct sp__list *list = runner != NULL ? &runner->thread_runner->awaited
                                           : &unknown_owners[bucket_of(owner) % UNKNOWN_BUCKETS];
    if (list->next == NULL)
        sp__list_init(list);
    sp__list_append(list, &leader->held);
}

/* Look who owns the object of a leader now.  One that does not know yet that others wait for it, and waits itself, has not
   walked: then it is done here. */
static void look(struct sp__edge *leader) SP__REQUIRES(lock)
{
    uint64_t before = leader->last_owner;
    list_leader(leader);
    if (has_ended(leader->last_owner))
        report_gone(leader, leader->last_owner);
    struct sp__edge *its = leader->last_owner != before ? edge_of(leader->last_owner) : NULL;
    struct sp__edge *last = its != NULL ? find_cycle(its, false) : NULL;
    if (last != NULL)
        report_cycle(last);
}

static void look_at(const void *object) SP__REQUIRES(lock)
{
    struct sp__edge *leader = *place_of(object);
    if (leader != NULL)
        look(leader);
}

static void enter(struct sp__edge *edge) SP__REQUIRES(lock)
{
    struct sp__edge **place = place_of(edge->object), *leader = *place;
    sp__list_init(&edge->siblings);
    edge->held = (struct sp__list){ NULL, NULL };
    edge->leads = leader == NULL;
    if (leader != NULL) {
        sp__list_append(&leader->siblings, &edge->siblings);
        look(leader);
    } else {
        edge->next = NULL;
        *place = edge;
        list_leader(edge);
        if (has_ended(edge->last_owner))
            report_gone(edge, edge->last_owner);
    }
}

/* Let another edge to the object lead. */
static struct sp__edge *hand_over(struct sp__edge *edge) SP__REQUIRES(lock)
{
    struct sp__edge *heir = sp__container_of(edge->siblings.next, struct sp__edge, siblings);
    heir->leads = true;
    heir->next = edge->next;
    heir->last_owner = edge->last_owner;
    if (sp__list_linked(&edge->held))
        sp__list_insert_before(&edge->held, &heir->held);
    return heir;
}

static void leave(struct sp__edge *edge) SP__REQUIRES(lock)
{
    if (edge->leads) {
        struct sp__edge **place = place_of(edge->object);
        *place = sp__list_empty(&edge->siblings) ? edge->next : hand_over(edge);
        sp__list_remove(&edge->held);
    }
    sp__list_remove(&edge->siblings);
}

/* Does somebody wait for what a runner on this thread's stack holds?  Leaders whose object has gone to another are listed
   there. */
static bool is_awaited(struct sp__runner *thread) SP__REQUIRES(lock)
{
    while (thread->awaited.next != NULL && !sp__list_empty(&thread->awaited)) {
        struct sp__edge *leader = sp__container_of(thread->awaited.next, struct sp__edge, held);
        uint64_t owner = leader->owner(leader->object);
        if (owner == leader->last_owner && stands_on(thread, owner))
            return true;
        look(leader);
    }
    return false;
}

static void look_at_all(struct sp__list *leaders) SP__REQUIRES(lock)
{
    struct sp__list all;
    if (leaders->next == NULL)
        return;
    sp__list_init(&all);
    sp__list_move_all(&all, leaders);
    while (!sp__list_empty(&all))
        look(sp__container_of(all.next, struct sp__edge, held));
}

/* ---- what runners do ---- */

/* Those on the stack of a waiter that have not waited before are known from now on; who waits for them is looked at, and who
   waits for the task of the thread, which may be another than at its last wait. */
static void introduce(struct sp__runner *top) SP__REQUIRES(lock)
{
    for (struct sp__runner *at = top; !at->known; at = at->outer) {
        make_known(at);
        look_at_all(&unknown_owners[bucket_of(at->id) % UNKNOWN_BUCKETS]);
        look_at(at->task);
        if (at->outer == NULL)
            break;
    }
    look_at(top->thread_runner->task);
}

static bool closes_cycle(struct sp__edge *edge) SP__REQUIRES(lock)
{
    size_t others = has_several_owners(edge) ? multiple - 1 : multiple;
    if (others == 0 && !is_awaited(edge->waiter->thread_runner))
        return false;
    struct sp__edge *last = find_cycle(edge, true);
    if (last != NULL && !is_refusable(last))
        report_cycle(last);
    return last != NULL;
}

static void remove_edge(struct sp__edge *edge) SP__REQUIRES(lock)
{
    struct sp__runner *thread = edge->waiter->thread_runner;
    thread->edge = NULL;
    sp__list_remove(&edge->asleep);
    if (has_several_owners(edge))
        multiple--;
    else
        leave(edge);
    if (!sp__is_thread_id(thread->id)) { /* nobody will tell us of its end */
        make_unknown(thread);
        look_at_all(&thread->awaited);
    }
}

bool sp__edge_publish(struct sp__edge *edge)
{
    struct sp__runner *self = sp__self();
    edge->waiter = self;
    sp__word_lock_acquire(&lock);
    introduce(self);
    if (has_several_owners(edge))
        multiple++;
    else
        enter(edge);
    sp__list_append(&sleepers, &edge->asleep);
    self->thread_runner->edge = edge;
    bool refused = closes_cycle(edge);
    if (refused)
        remove_edge(edge);
    sp__word_lock_release(&lock);
    return !refused;
}

void sp__edge_withdraw(struct sp__edge *edge)
{
    sp__word_lock_acquire(&lock);
    remove_edge(edge);
    sp__word_lock_release(&lock);
}

void sp__graph_look(const void *object)
{
    sp__word_lock_acquire(&lock);
    look_at(object);
    sp__word_lock_release(&lock);
}

void sp__graph_add(struct sp__runner *runner)
{
    sp__word_lock_acquire(&lock);
    make_known(runner);
    sp__word_lock_release(&lock);
}

void sp__graph_remove(struct sp__runner *runner)
{
    struct sp__runner *thread = runner->thread_runner;
    sp__word_lock_acquire(&lock);
    for (; runner != NULL; runner = runner->outer)
        if (runner->known)
            make_unknown(runner);
    look_at_all(&thread->awaited);
    sp__word_lock_release(&lock);
}

void sp__graph_forget(struct sp__runner *runner)
{
    sp__word_lock_acquire(&lock);
    make_unknown(runner);
    if (!sp__is_thread_id(runner->thread_runner->id))
        look_at_all(&runner->thread_runner->awaited);
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
    memset(runners, 0, sizeof runners);
    memset(objects, 0, sizeof objects);
    memset(unknown_owners, 0, sizeof unknown_owners);
    sp__list_init(&sleepers);
    multiple = 0;
    before_fork = last_id;
    for (struct sp__runner *at = survivor; at != NULL; at = at->outer) {
        at->edge = NULL;
        at->awaited = (struct sp__list){ NULL, NULL };
        make_known(at);
    }
}
