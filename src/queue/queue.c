/* The queue: one lock, three conditions, CPython 3.13's rules.

   SPDX-License-Identifier: MIT */
#include <spool/queue.h>

#include <errno.h>

#include <spool/lock.h>
#include <spool/sync.h>

#include "base/refcount.h"
#include "os/os.h"
#include "park/deadline.h"
#include "queue/store.h"
#include "sync/condition.h"

_Static_assert(sizeof(sp_queue_options) == 40 || sizeof(void *) != 8, "programs are compiled against it");

struct sp_queue {
    uint32_t refs;            /* atomic */
    size_t maxsize;           /* set once; 0: no bound */
    void (*drop)(void *item); /* set once; or NULL */
    sp_lock lock;
    sp_condition not_empty, not_full, all_done; /* of lock */
    struct sp__store store;                     /* guarded by lock */
    size_t unfinished;                          /* guarded by lock; put, and not yet task_done */
    bool is_shut_down;                          /* guarded by lock */
};

/* A queue is locked by callers that promise not to write to it, to ask for its size. */
static sp_queue *mutable(const sp_queue *queue)
{
    return (sp_queue *)(uintptr_t)queue;
}

sp_queue *sp_queue_new(size_t item_size, const sp_queue_options *options)
{
    static const sp_queue_options defaults = { .struct_size = sizeof defaults };
    if (options == NULL)
        options = &defaults;
    bool known = options->order == SP_FIFO || options->order == SP_LIFO || options->order == SP_PRIORITY;
    if (item_size == 0 || item_size > SIZE_MAX / 4 || !known ||
        (options->order == SP_PRIORITY && options->compare == NULL)) {
        errno = EINVAL;
        return NULL;
    }
    sp_queue *queue = sp__os_zalloc(sizeof *queue);
    if (queue == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    queue->refs = 1;
    queue->maxsize = options->maxsize;
    queue->drop = options->drop;
    sp__store_init(&queue->store, item_size, options->order, options->compare);
    return queue;
}

/* What is wrong with the call, before anything is waited for. */
static sp_status check(const sp_queue *queue, size_t item_size, double timeout)
{
    if (queue == NULL)
        return SP_MEMORY_ERROR;
    if (item_size != queue->store.item_size)
        return SP_TYPE_ERROR;
    return sp__is_nan(timeout) ? SP_VALUE_ERROR : SP_OK;
}

/* Under the lock: wait once.  False: the time is up. */
static bool wait_on(sp_queue *queue, sp_condition *condition, int64_t deadline)
{
    if (sp__deadline_passed(deadline))
        return false;
    (void)sp__condition_wait_until(condition, &queue->lock, deadline);
    return true;
}

static bool is_full(const sp_queue *queue)
{
    return queue->maxsize != 0 && queue->store.size >= queue->maxsize;
}

/* Under the lock: wait until an item may be put. */
static sp_status await_room(sp_queue *queue, int64_t deadline)
{
    while (!queue->is_shut_down && is_full(queue))
        if (!wait_on(queue, &queue->not_full, deadline))
            return SP_FULL;
    return queue->is_shut_down ? SP_SHUT_DOWN : SP_OK;
}

static sp_status put_locked(sp_queue *queue, const void *item, int64_t deadline)
{
    sp_status status = await_room(queue, deadline);
    if (status != SP_OK)
        return status;
    if (!sp__store_reserve(&queue->store)) {
        sp_condition_notify(&queue->not_full, 1); /* the room we were told of is another putter's now */
        return SP_MEMORY_ERROR;
    }
    sp__store_push(&queue->store, item);
    queue->unfinished++;
    sp_condition_notify(&queue->not_empty, 1);
    return SP_OK;
}

sp_status sp_queue_put(sp_queue *queue, const void *item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    int64_t deadline = sp__deadline(timeout);
    sp_lock_acquire(&queue->lock);
    status = put_locked(queue, item, deadline);
    sp_lock_release(&queue->lock);
    return status;
}

/* Under the lock: wait until there is an item. */
static sp_status await_item(sp_queue *queue, int64_t deadline)
{
    while (queue->store.size == 0) {
        if (queue->is_shut_down)
            return SP_SHUT_DOWN;
        if (!wait_on(queue, &queue->not_empty, deadline))
            return SP_EMPTY;
    }
    return SP_OK;
}

sp_status sp_queue_get(sp_queue *queue, void *ret_item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    int64_t deadline = sp__deadline(timeout);
    sp_lock_acquire(&queue->lock);
    status = await_item(queue, deadline);
    if (status == SP_OK) {
        sp__store_pop(&queue->store, ret_item);
        sp_condition_notify(&queue->not_full, 1);
    }
    sp_lock_release(&queue->lock);
    return status;
}

sp_status sp_queue_task_done(sp_queue *queue)
{
    if (queue == NULL)
        return SP_VALUE_ERROR;
    sp_lock_acquire(&queue->lock);
    sp_status status = queue->unfinished > 0 ? SP_OK : SP_VALUE_ERROR;
    if (status == SP_OK && --queue->unfinished == 0)
        sp_condition_notify_all(&queue->all_done);
    sp_lock_release(&queue->lock);
    return status;
}

bool sp_queue_join(sp_queue *queue, double timeout)
{
    if (queue == NULL)
        return true;
    int64_t deadline = sp__deadline(timeout);
    sp_lock_acquire(&queue->lock);
    while (queue->unfinished > 0 && wait_on(queue, &queue->all_done, deadline))
        continue;
    bool done = queue->unfinished == 0;
    sp_lock_release(&queue->lock);
    return done;
}

/* Give what is left to `drop`, without the lock: it may call back. */
static void drop_all(struct sp__store *store, void (*drop)(void *item))
{
    while (drop != NULL && store->size > 0) {
        /* The item that leaves next need not be copied out: whoever drops it is its last user. */
        sp__store_drop_next(store, drop);
    }
    sp__store_free(store);
}

void sp_queue_shutdown(sp_queue *queue, bool immediate)
{
    struct sp__store left = { .item_size = 0 };
    if (queue == NULL)
        return;
    sp_lock_acquire(&queue->lock);
    queue->is_shut_down = true;
    if (immediate) {
        left = queue->store;
        sp__store_init(&queue->store, left.item_size, left.order, left.compare);
        queue->unfinished -= left.size < queue->unfinished ? left.size : queue->unfinished;
        sp_condition_notify_all(&queue->all_done); /* CPython tells joiners in any case; they look at the count */
    }
    sp_condition_notify_all(&queue->not_empty);
    sp_condition_notify_all(&queue->not_full);
    sp_lock_release(&queue->lock);
    if (immediate)
        drop_all(&left, queue->drop);
}

size_t sp_queue_size(const sp_queue *queue)
{
    if (queue == NULL)
        return 0;
    sp_lock_acquire(&mutable(queue)->lock);
    size_t size = queue->store.size;
    sp_lock_release(&mutable(queue)->lock);
    return size;
}

bool sp_queue_empty(const sp_queue *queue)
{
    return sp_queue_size(queue) == 0;
}

bool sp_queue_full(const sp_queue *queue)
{
    return queue != NULL && queue->maxsize != 0 && sp_queue_size(queue) >= queue->maxsize;
}

size_t sp_queue_maxsize(const sp_queue *queue)
{
    return queue != NULL ? queue->maxsize : 0;
}

sp_queue *sp_queue_retain(sp_queue *queue)
{
    if (queue != NULL)
        sp__ref_up(&queue->refs);
    return queue;
}

void sp_queue_release(sp_queue *queue)
{
    if (queue == NULL || !sp__ref_down(&queue->refs))
        return;
    drop_all(&queue->store, queue->drop);
    sp__os_free(queue);
}
