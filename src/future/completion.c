/* sp_as_completed: futures in the order in which they are done.

   Each future of the set has a watch; a completion puts its entry into the list of the ready and wakes the reader.  The
   set is read by one thread at a time; completions come from any.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "future/future.h"
#include "os/os.h"
#include "park/park.h"
#include "park/word_lock.h"

struct entry {
    struct sp__watch watch;
    struct sp__list ready; /* guarded by the completion's lock */
    sp_completion *completion;
    sp_future *future; /* a reference */
    bool watching;     /* reader only; false for a duplicate */
};

struct sp_completion {
    struct sp__word_lock lock;
    struct sp__list ready; /* guarded by lock */
    uint32_t arrived;      /* atomic, changes under lock; how many became ready so far; parked on */
    uint32_t taken;        /* reader only; how many were handed out */
    size_t n;              /* set once; entries, duplicates included */
    size_t distinct;       /* set once */
    int64_t deadline;      /* set once */
    sp_status status;      /* reader only */
    sp_future **awaited;   /* set once; all futures, for a loan */
    struct entry entries[];
};

/* Under the watch lock of the future. */
static void arrive(struct sp__watch *watch)
{
    struct entry *entry = sp__container_of(watch, struct entry, watch);
    sp_completion *completion = entry->completion;
    sp__word_lock_acquire(&completion->lock);
    sp__list_append(&completion->ready, &entry->ready);
    /* seq_cst: before the count of sleepers is read; pairs with nothing_arrived */
    sp__add_seq_cst(&completion->arrived, 1);
    sp__word_lock_release(&completion->lock);
    if (sp__park_maybe_waiters(&completion->arrived))
        sp__unpark(&(struct sp__wake){
            .address = &completion->arrived, .kind = SP__COMPLETION, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

static size_t block_size(size_t n)
{
    return sizeof(sp_completion) + n * sizeof(struct entry);
}

sp_completion *sp__completion_new(sp_future *const *futures, size_t n, int64_t deadline)
{
    if (n > (SIZE_MAX / 2 - sizeof(sp_completion)) / (sizeof(struct entry) + sizeof(sp_future *)) || n > UINT32_MAX)
        return NULL;
    sp_completion *completion = sp__os_zalloc(block_size(n) + n * sizeof(sp_future *));
    if (completion == NULL)
        return NULL;
    completion->n = n;
    completion->deadline = deadline;
    completion->awaited = (sp_future **)(void *)((char *)completion + block_size(n));
    sp__list_init(&completion->ready);
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &completion->entries[i];
        entry->watch = (struct sp__watch){ .notify = arrive, .set = completion };
        entry->completion = completion;
        entry->future = completion->awaited[i] = sp_future_retain(futures[i]);
        entry->watching = sp__watch_add(futures[i], &entry->watch);
        completion->distinct += entry->watching;
    }
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
    sp__word_lock_acquire(&completion->lock);
    struct sp__list *first = sp__list_pop_front(&completion->ready);
    sp__word_lock_release(&completion->lock);
    if (first == NULL)
        return NULL;
    completion->taken++;
    return sp__container_of(first, struct entry, ready)->future;
}

static bool nothing_arrived(void *context)
{
    const sp_completion *completion = context;
    /* seq_cst: after we were counted in the bucket; pairs with the addition in arrive */
    return sp__load_seq_cst(&completion->arrived) == completion->taken;
}

/* Is there one that cannot become done while we wait?  SP_DEADLOCK: a task waits for itself.  SP_SHUT_DOWN: it was left
   behind by a fork. */
static sp_status find_hopeless(const sp_completion *completion)
{
    const bool in_task = sp__self()->task != NULL;
    if (!in_task && sp__process_number == 0)
        return SP_OK; /* the usual case: no need to look */
    for (size_t i = 0; i < completion->n; i++) {
        const sp_future *future = completion->awaited[i];
        if (in_task && sp__is_own_future(future))
            return SP_DEADLOCK;
        if (sp__future_is_lost(future) && !sp__future_is_done(future))
            return SP_SHUT_DOWN;
    }
    return SP_OK;
}

static bool sleep_until_arrival(sp_completion *completion)
{
    return sp__park(&(struct sp__wait){ .address = &completion->arrived,
                                        .kind = SP__COMPLETION,
                                        .must_wait = nothing_arrived,
                                        .context = completion,
                                        .deadline = completion->deadline }) != SP__PARK_TIMEOUT;
}

/* No worker could be lent: run one of the awaited ourselves, better than to wait for ever. */
static bool help_any(sp_completion *completion)
{
    for (size_t i = 0; i < completion->n; i++)
        if (sp__help(completion->awaited[i]))
            return true;
    return false;
}

/* Sleep once.  False: the deadline passed. */
static bool await_arrival(sp_completion *completion)
{
    struct sp__loan loan;
    struct sp__owner *lender = sp__self()->pool == NULL ? NULL : sp__lend(&loan, completion->awaited, completion->n);
    if (lender == NULL && completion->deadline == SP__NEVER && help_any(completion))
        return true;
    bool in_time = sleep_until_arrival(completion);
    if (lender != NULL)
        lender->give_back(lender, &loan);
    return in_time;
}

sp_future *sp_completion_next(sp_completion *completion)
{
    if (completion == NULL || completion->status != SP_OK)
        return NULL;
    for (bool in_time = true; completion->taken < completion->distinct;) {
        sp_future *future = take_ready(completion);
        if (future != NULL)
            return future;
        completion->status = find_hopeless(completion);
        if (completion->status != SP_OK)
            return NULL;
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
    sp__os_free(completion);
}
