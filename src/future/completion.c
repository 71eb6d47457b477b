/* sp_as_completed: futures in the order in which they are done.

   Each future of the set has a watch; a completion puts its entry into the chain of the ready and, when so many have come as
   the reader wants, wakes it.  The set is read by one thread at a time; completions come from any.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "future/future.h"
#include "os/os.h"
#include "park/park.h"
#include "park/spin.h"
#include "park/word_lock.h"

struct entry {
    struct sp__watch watch; /* its `set` is the completion */
    struct entry *next;     /* guarded by the completion's lock in `ready`; the reader's in `mine` */
    sp_future *future;      /* a reference */
    bool watching;          /* reader only; false for a duplicate */
    bool given;             /* reader only; handed out */
};

struct sp_completion {
    struct sp__word_lock lock;
    uint32_t arrived;                 /* atomic, changes under lock; how many became ready so far; parked on */
    uint32_t wanted;                  /* atomic; the sleeping reader is to be woken when so many have arrived */
    uint32_t taken;                   /* reader only; how many were handed out */
    struct entry *ready, **ready_end; /* guarded by lock: in the order of arrival */
    struct entry *mine;               /* reader only: what it has taken out of `ready` */
    size_t n;                         /* set once; entries, duplicates included */
    size_t distinct;                  /* set once */
    uint32_t process;    /* atomic, written by the reader; the number of the process that its watches are of */
    int64_t deadline;    /* set once */
    sp_status status;    /* reader only */
    size_t from;         /* reader only; those before it are done */
    uint64_t looked_by;  /* reader only; the runner that has looked for what is hopeless, 0 none */
    uint32_t looked_in;  /* reader only; in which process */
    unsigned refusals;   /* reader only; so often in a row no worker could be lent */
    sp_future **awaited; /* reader only: all futures, for loans; NULL until there is one */
    struct entry entries[];
};

/* Under the watch lock of the future. */
static void arrive(struct sp__watch *watch)
{
    struct entry *entry = sp__container_of(watch, struct entry, watch);
    sp_completion *completion = (sp_completion *)(uintptr_t)watch->set;
    /* relaxed: stored before the watch is added, under the watch lock.  In the child of a fork a reader that is not there may
       have left the lock held; one that is there watches anew before it reads. */
    if (sp__load_relaxed(&completion->process) != sp__process_number)
        return;
    sp__word_lock_acquire(&completion->lock);
    entry->next = NULL;
    *completion->ready_end = entry;
    completion->ready_end = &entry->next;
    SP__TELL_RELEASE(&completion->arrived);
    /* seq_cst: before the count of sleepers is read; pairs with too_few */
    uint32_t arrived = sp__add_seq_cst(&completion->arrived, 1) + 1;
    sp__word_lock_release(&completion->lock);
    SP__PAUSE("completion: arrived");
    /* relaxed: who sees the sleeper counted sees what it wants, which it has stored before */
    if (sp__park_maybe_waiters(&completion->arrived) && arrived >= sp__load_relaxed(&completion->wanted))
        sp__unpark(&(struct sp__wake){
            .address = &completion->arrived, .kind = SP__COMPLETION, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

/* ---- making a set: each future is watched once, also if it stands in the set twice ---- */

/* The futures of the set so far.  Made only when one of them is watched by so many sets that looking through its watches
   for our own would cost more. */
struct table {
    uint32_t *places; /* hashed; 0: free, else the number of an entry, from 1; NULL: not made */
    size_t mask;      /* of the places, a power of two less one */
};

static bool make_table(struct table *table, size_t n)
{
    size_t places = 2;
    while (places < 2 * n)
        places *= 2;
    table->places = sp__os_zalloc(places * sizeof *table->places);
    table->mask = places - 1;
    return table->places != NULL;
}

/* False: the future is there already. */
static bool enter(struct table *table, const struct entry *entries, size_t index)
{
    uint64_t mixed = (uint64_t)(uintptr_t)entries[index].future * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(mixed >> 32) & table->mask;
    for (; table->places[at] != 0; at = (at + 1) & table->mask)
        if (entries[table->places[at] - 1].future == entries[index].future)
            return false;
    table->places[at] = (uint32_t)index + 1;
    return true;
}

/* A table with all entries before this one.  False: no memory. */
static bool begin_table(struct table *table, const sp_completion *completion, size_t index)
{
    if (!make_table(table, completion->n))
        return false;
    for (size_t i = 0; i < index; i++)
        (void)enter(table, completion->entries, i);
    return true;
}

/* False: the set watches this future already. */
static bool watch(sp_completion *completion, size_t index, struct table *table)
{
    enum { FEW_WATCHES = 8 }; /* looked through sooner than a table is made */
    struct entry *entry = &completion->entries[index];
    if (table->places == NULL) {
        enum sp__watched found = sp__watch_add_once(entry->future, &entry->watch, FEW_WATCHES);
        if (found != SP__WATCHED_BY_MANY)
            return found == SP__WATCH_ADDED;
        if (index > 0 && !begin_table(table, completion, index)) /* without memory all are looked through */
            return sp__watch_add_once(entry->future, &entry->watch, SIZE_MAX) == SP__WATCH_ADDED;
    }
    bool fresh = index == 0 || enter(table, completion->entries, index);
    if (fresh)
        sp__watch_add(entry->future, &entry->watch);
    return fresh;
}

sp_completion *sp__completion_new(sp_future *const *futures, size_t n, int64_t deadline)
{
    struct table table = { NULL, 0 };
    if (n > (SIZE_MAX / 2 - sizeof(sp_completion)) / sizeof(struct entry) || n >= UINT32_MAX)
        return NULL;
    sp_completion *completion = sp__os_alloc(sizeof *completion + n * sizeof(struct entry));
    if (completion == NULL)
        return NULL;
    *completion = (sp_completion){ .n = n, .process = sp__process_number, .deadline = deadline };
    completion->ready_end = &completion->ready;
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &completion->entries[i];
        *entry = (struct entry){ .watch = { .notify = arrive, .set = completion } };
        entry->future = sp_future_retain(futures[i]);
        entry->watching = watch(completion, i, &table);
        completion->distinct += entry->watching;
    }
    sp__os_free(table.places);
    return completion;
}

sp_completion *sp_as_completed(sp_future *const *futures, size_t n, double timeout)
{
    sp_completion *completion = sp__completion_new(futures, n, sp__deadline(timeout));
    if (completion != NULL && sp__is_nan(timeout))
        completion->status = SP_VALUE_ERROR;
    return completion;
}

static sp_future *take_ready(sp_completion *completion)
{
    if (completion->mine == NULL) {
        sp__word_lock_acquire(&completion->lock);
        completion->mine = completion->ready;
        completion->ready = NULL;
        completion->ready_end = &completion->ready;
        sp__word_lock_release(&completion->lock);
    }
    struct entry *first = completion->mine;
    if (first == NULL)
        return NULL;
    completion->mine = first->next;
    SP__TELL_ACQUIRE(&completion->arrived);
    completion->taken++;
    first->given = true;
    return first->future;
}

static bool too_few(void *context)
{
    const sp_completion *completion = context;
    /* seq_cst: after we were counted in the bucket; pairs with the addition in arrive.  relaxed: our own store */
    return sp__load_seq_cst(&completion->arrived) < sp__load_relaxed(&completion->wanted);
}

static sp_status look_for_hopeless(const sp_completion *completion)
{
    const bool in_task = sp__self()->task != NULL;
    if (!in_task && sp__process_number == 0)
        return SP_OK; /* the usual case: no need to look */
    for (size_t i = 0; i < completion->n; i++) {
        const sp_future *future = completion->entries[i].future;
        if (in_task && sp__is_own_future(future))
            return SP_DEADLOCK;
        if (sp__future_is_lost(future) && !sp__future_is_done(future))
            return SP_SHUT_DOWN;
    }
    return SP_OK;
}

/* Is there one that cannot become done while we wait?  SP_DEADLOCK: a task waits for itself.  SP_SHUT_DOWN: it was left
   behind by a fork.  Looked through once for each reader and process, not for each wait. */
static sp_status find_hopeless(sp_completion *completion)
{
    uint64_t reader = sp__self_id();
    if (completion->looked_by == reader && completion->looked_in == sp__process_number)
        return SP_OK;
    completion->looked_by = reader;
    completion->looked_in = sp__process_number;
    return look_for_hopeless(completion);
}

/* The first that is perhaps not done.  Those before it are, for good. */
static size_t first_pending(sp_completion *completion)
{
    while (completion->from < completion->n && sp__future_is_done(completion->entries[completion->from].future))
        completion->from++;
    return completion->from;
}

/* Sleep once, until so many have arrived or something else wakes us. */
static enum sp__parked sleep_until(sp_completion *completion, size_t wanted, int64_t deadline, bool spun,
                                   struct sp__edge *edge)
{
    sp__store_relaxed(&completion->wanted, (uint32_t)wanted); /* relaxed: see arrive */
    struct sp__spin spin = SP__SPIN;
    for (bool goes_on = !spun; goes_on; goes_on = sp__spin(&spin))
        if (!too_few(completion)) {
            sp__spin_paid(&spin);
            return SP__PARK_CHANGED;
        }
    SP__PAUSE("completion: too few");
    enum sp__parked parked = sp__park(&(struct sp__wait){ .address = &completion->arrived,
                                                          .kind = SP__COMPLETION,
                                                          .must_wait = too_few,
                                                          .context = completion,
                                                          .deadline = deadline,
                                                          .edge = edge,
                                                          .spun = true });
    SP__PAUSE("completion: slept");
    return parked;
}

/* Lend a worker, as sp__lend.  It takes an array of the futures; without memory for it there is no loan. */
static sp_status lend(sp_completion *completion, struct sp__loan *loan, struct sp__owner **ret_lender)
{
    if (completion->awaited == NULL) {
        completion->awaited = sp__os_alloc(completion->n * sizeof(sp_future *));
        if (completion->awaited == NULL)
            return SP_MEMORY_ERROR;
        for (size_t i = 0; i < completion->n; i++)
            completion->awaited[i] = completion->entries[i].future;
    }
    size_t from = first_pending(completion);
    return sp__lend(loan, completion->awaited + from, completion->n - from, completion->deadline, ret_lender);
}

/* No worker could be lent: run one of the awaited ourselves, better than to wait for ever. */
static bool help_any(sp_completion *completion)
{
    for (size_t i = first_pending(completion); i < completion->n; i++)
        if (sp__help(completion->entries[i].future, true))
            return true;
    return false;
}

static bool any_runs(sp_completion *completion)
{
    for (size_t i = first_pending(completion); i < completion->n; i++)
        if (sp_future_running(completion->entries[i].future))
            return true;
    return false;
}

/* Run something of an executor whose tasks are run by those who wait. */
static bool drive_any(sp_completion *completion)
{
    if (sp__load_relaxed(&sp__driven_executors) == 0) /* relaxed: as in sp__drive */
        return false;
    for (size_t i = first_pending(completion); i < completion->n; i++)
        if (sp__drive(completion->entries[i].future))
            return true;
    return false;
}

/* No worker could be lent, for that reason: do without, for a while.  False: the deadline passed. */
static bool do_without(sp_completion *completion, sp_status why)
{
    if (completion->deadline == SP__NEVER && help_any(completion))
        return true;
    if (why == SP_DEADLOCK || (!any_runs(completion) && sp__gives_up(completion->refusals, completion->deadline))) {
        completion->status = why;
        return true;
    }
    int64_t retry = sp__retry_at(completion->refusals++, completion->deadline);
    (void)sleep_until(completion, completion->taken + 1, retry, true, NULL);
    return !sp__deadline_passed(completion->deadline);
}

/* Run something, or wait once.  False: the deadline passed. */
static bool await_arrival(sp_completion *completion)
{
    struct sp__loan loan;
    struct sp__owner *lender = NULL;
    if (drive_any(completion))
        return true;
    sp_status lent = sp__self()->pool != NULL ? lend(completion, &loan, &lender) : SP_OK;
    if (lent != SP_OK)
        return do_without(completion, lent);
    bool in_time = sleep_until(completion, completion->taken + 1, completion->deadline, lender != NULL, NULL) !=
                   SP__PARK_TIMEOUT;
    if (lender != NULL)
        lender->give_back(lender, &loan);
    completion->refusals = 0;
    return in_time;
}

sp_status sp__completion_await_all(sp_completion *completion, struct sp__edge *edge)
{
    while (sp__load_seq_cst(&completion->arrived) < completion->distinct) { /* seq_cst: as in too_few */
        enum sp__parked parked = sleep_until(completion, completion->distinct, completion->deadline, false, edge);
        if (parked == SP__PARK_DEADLOCK)
            return SP_DEADLOCK;
        if (parked == SP__PARK_TIMEOUT && too_few(completion))
            return SP_TIMEOUT;
    }
    SP__TELL_ACQUIRE(&completion->arrived);
    return SP_OK;
}

/* In the child of a fork.  A completion that was on its way here at the fork never arrives: watch anew what was not handed
   out. */
static void watch_after_fork(sp_completion *completion)
{
    for (size_t i = 0; i < completion->n; i++) {
        struct entry *entry = &completion->entries[i];
        if (entry->watching && !entry->given)
            sp__watch_remove(entry->future, &entry->watch);
    }
    completion->lock = (struct sp__word_lock){ 0 };
    completion->mine = completion->ready = NULL;
    completion->ready_end = &completion->ready;
    sp__store_relaxed(&completion->arrived, completion->taken);  /* relaxed: nobody watches */
    sp__store_relaxed(&completion->process, sp__process_number); /* relaxed: see arrive */
    for (size_t i = 0; i < completion->n; i++) {
        struct entry *entry = &completion->entries[i];
        if (!entry->watching || entry->given)
            continue;
        entry->watch.told = false; /* linked nowhere */
        sp__watch_add(entry->future, &entry->watch);
    }
}

sp_future *sp_completion_next(sp_completion *completion)
{
    if (completion == NULL || completion->status != SP_OK)
        return NULL;
    for (bool in_time = true; completion->taken < completion->distinct;) {
        /* relaxed: our own store.  Also after a task that was run while we waited: it may have forked. */
        if (sp__load_relaxed(&completion->process) != sp__process_number)
            watch_after_fork(completion);
        sp_future *future = take_ready(completion);
        if (future != NULL)
            return future;
        if (completion->status == SP_OK)
            completion->status = find_hopeless(completion);
        if (completion->status != SP_OK)
            return NULL;
        sp__run_deferred(); /* it may be for what this thread has put off that we would wait */
        if (!in_time || sp__deadline_passed(completion->deadline)) {
            completion->status = SP_TIMEOUT;
            return NULL;
        }
        in_time = await_arrival(completion);
    }
    return NULL;
}

sp_status sp_completion_status(const sp_completion *completion)
{
    return completion == NULL ? SP_MEMORY_ERROR : completion->status;
}

void sp_completion_release(sp_completion *completion)
{
    if (completion == NULL)
        return;
    for (size_t i = 0; i < completion->n; i++) {
        struct entry *entry = &completion->entries[i];
        if (entry->watching)
            sp__watch_remove(entry->future, &entry->watch);
        sp_future_release(entry->future);
    }
    sp__os_free(completion->awaited);
    sp__os_free(completion);
}
