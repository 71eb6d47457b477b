/* The queue: CPython 3.13's rules over a store that can be tried; sleeping is in sleepers.c.

   SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <errno.h>

#include "base/refcount.h"
#include "os/os.h"
#include "park/spin.h"

_Static_assert(sizeof(sp_queue_options) == 40 || sizeof(void *) != 8, "programs are compiled against it");

static bool is_valid(size_t item_size, const sp_queue_options *options)
{
    bool known = options->order == SP_FIFO || options->order == SP_LIFO || options->order == SP_PRIORITY;
    return item_size != 0 && item_size <= SIZE_MAX / 1024 && known &&
           (options->order != SP_PRIORITY || options->compare != NULL);
}

sp_queue *sp_queue_new(size_t item_size, const sp_queue_options *options)
{
    static const sp_queue_options defaults = { .struct_size = sizeof defaults };
    if (options == NULL)
        options = &defaults;
    if (!is_valid(item_size, options)) {
        errno = EINVAL;
        return NULL;
    }
    sp_queue *queue = sp__os_zalloc_aligned(_Alignof(sp_queue), sizeof *queue);
    if (queue != NULL) {
        queue->refs = 1;
        queue->process = sp__process_number;
        queue->item_size = item_size;
        queue->maxsize = options->maxsize;
        queue->drop = options->drop;
        queue->putters.kind = SP__QUEUE_PUT;
        queue->getters.kind = SP__QUEUE_GET;
        queue->joiners.kind = SP__QUEUE_JOIN;
    }
    if (queue == NULL || !sp__store_init(queue, options)) {
        sp__os_free(queue);
        errno = ENOMEM;
        return NULL;
    }
    return queue;
}

/* Made before the fork that made this process: its items, and who was busy with them, are the parent's. */
static bool is_inherited(const sp_queue *queue)
{
    return queue->process != sp__process_number;
}

/* What is wrong with the call, before anything is waited for. */
static sp_status check(const sp_queue *queue, size_t item_size, double timeout)
{
    if (queue == NULL)
        return SP_MEMORY_ERROR;
    if (item_size != queue->item_size)
        return SP_TYPE_ERROR;
    if (sp__is_nan(timeout))
        return SP_VALUE_ERROR;
    return is_inherited(queue) ? SP_SHUT_DOWN : SP_OK;
}

/* ---- putting and getting, one try after the other ---- */

/* One operation that may wait: what it needs between two tries. */
struct operation {
    sp_queue *queue;
    struct sp__sleepers *sleepers; /* whom it sleeps among */
    bool (*must_wait)(const sp_queue *queue);
    uint32_t *patience; /* of the queue, for this kind of operation */
    double timeout;
    int64_t deadline; /* set before the first sleep */
    unsigned moments; /* for a store that is busy */
    struct sp__spin spin;
    bool was_patient, slept;
};

enum { MOST_PATIENCE = 64 }; /* pauses, about two microseconds */

/* Putters and getters that are as fast as one another meet in the same cache lines at every item.  Where items come in
   streams, wait for more than one: then the next operations need not wait at all.  Once in an operation; false: done. */
static bool be_patient(struct operation *operation)
{
    if (operation->was_patient || !sp__may_spin())
        return false;
    operation->was_patient = true;
    uint32_t patience = sp__load_relaxed(operation->patience); /* relaxed: a guess */
    for (uint32_t i = 0; i < patience; i++)
        sp__cpu_relax();
    return true;
}

/* The operation is done, after a wait: was there more to have?  Then it comes in streams. */
static void learn(const struct operation *operation)
{
    uint32_t patience = sp__load_relaxed(operation->patience), next; /* relaxed: a guess */
    if (!operation->was_patient)
        return;
    if (operation->must_wait(operation->queue))
        next = patience / 2;
    else
        next = patience < MOST_PATIENCE ? patience * 2 + 1 : patience;
    if (next != patience)
        sp__store_relaxed(operation->patience, next); /* relaxed: a guess */
}

/* After a try that could not be done.  False: the time is up. */
static bool wait_between(struct operation *operation, enum sp__tried tried)
{
    if (tried == SP__TRY_BUSY) {
        sp__pass_moment(&operation->moments);
        return true;
    }
    operation->moments = 0;
    if (!(operation->timeout > 0))
        return false;
    if (be_patient(operation) || sp__spin(&operation->spin))
        return true;
    if (operation->deadline == 0)
        operation->deadline = sp__deadline(operation->timeout);
    if (sp__deadline_passed(operation->deadline))
        return false;
    operation->slept = true;
    if (sp__sleepers_sleep(operation->sleepers, operation->queue, operation->must_wait, operation->deadline) ==
        SP__PARK_TIMEOUT)
        operation->timeout = 0; /* one more try: what was waited for may have come with the time */
    else
        operation->spin = (struct sp__spin)SP__SPIN;
    return true;
}

/* After an operation that slept: others who sleep for the same were not woken on our account. */
static void pass_on(const struct operation *operation)
{
    learn(operation);
    if (!operation->slept)
        sp__spin_paid(&operation->spin);
    else if (!operation->must_wait(operation->queue))
        sp__sleepers_wake(operation->sleepers);
}

static sp_status put(struct operation *operation, const void *item)
{
    for (;;) {
        enum sp__tried tried = sp__store_put(operation->queue, item);
        if (tried == SP__TRY_DONE)
            return SP_OK;
        if (tried == SP__TRY_CLOSED)
            return SP_SHUT_DOWN;
        if (tried == SP__TRY_NO_MEMORY)
            return SP_MEMORY_ERROR;
        if (!wait_between(operation, tried))
            return SP_FULL;
    }
}

static sp_status get(struct operation *operation, void *ret_item)
{
    for (;;) {
        enum sp__tried tried = sp__store_get(operation->queue, ret_item);
        if (tried == SP__TRY_DONE)
            return SP_OK;
        if (tried == SP__TRY_CLOSED)
            return SP_SHUT_DOWN;
        if (!wait_between(operation, tried))
            return SP_EMPTY;
    }
}

static struct operation putting(sp_queue *queue, double timeout)
{
    return (struct operation){ .queue = queue,
                               .sleepers = &queue->putters,
                               .must_wait = sp__store_is_full_and_open,
                               .patience = &queue->put_patience,
                               .timeout = timeout };
}

static struct operation getting(sp_queue *queue, double timeout)
{
    return (struct operation){ .queue = queue,
                               .sleepers = &queue->getters,
                               .must_wait = sp__store_is_empty_and_open,
                               .patience = &queue->get_patience,
                               .timeout = timeout };
}

/* What happens when the first try was not enough; out of line, so that the first try is short. */
__attribute__((noinline)) static sp_status put_slowly(sp_queue *queue, const void *item, double timeout)
{
    struct operation operation = putting(queue, timeout);
    sp_status status = put(&operation, item);
    pass_on(&operation);
    return status;
}

__attribute__((noinline)) static sp_status get_slowly(sp_queue *queue, void *ret_item, double timeout)
{
    struct operation operation = getting(queue, timeout);
    sp_status status = get(&operation, ret_item);
    pass_on(&operation);
    return status;
}

sp_status sp_queue_put(sp_queue *queue, const void *item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    if (sp__store_put(queue, item) != SP__TRY_DONE)
        status = put_slowly(queue, item, timeout);
    if (status == SP_OK)
        sp__sleepers_wake(&queue->getters);
    return status;
}

sp_status sp_queue_get(sp_queue *queue, void *ret_item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    if (sp__store_get(queue, ret_item) != SP__TRY_DONE)
        status = get_slowly(queue, ret_item, timeout);
    if (status == SP_OK && queue->maxsize != 0)
        sp__sleepers_wake(&queue->putters);
    return status;
}

sp_status sp_queue_put_items(sp_queue *queue, const void *items, size_t item_size, size_t n, size_t *ret_done,
                             double timeout)
{
    size_t done = 0;
    sp_status status = check(queue, item_size, timeout);
    if (status == SP_OK) {
        struct operation operation = putting(queue, timeout);
        for (; done < n && status == SP_OK; done += status == SP_OK) {
            status = put(&operation, (const char *)items + done * item_size);
            if (status == SP_OK)
                sp__sleepers_wake(&queue->getters);
        }
        pass_on(&operation);
    }
    if (ret_done != NULL)
        *ret_done = done;
    return status;
}

sp_status sp_queue_get_items(sp_queue *queue, void *ret_items, size_t item_size, size_t n, size_t *ret_done,
                             double timeout)
{
    size_t done = 0;
    sp_status status = check(queue, item_size, timeout);
    if (status == SP_OK && n > 0) {
        struct operation operation = getting(queue, timeout);
        status = get(&operation, ret_items);
        operation.timeout = 0; /* what is there now is taken along */
        for (sp_status more = status; more == SP_OK;
             more = done < n ? get(&operation, (char *)ret_items + done * item_size) : SP_EMPTY) {
            done++;
            if (queue->maxsize != 0)
                sp__sleepers_wake(&queue->putters);
        }
        pass_on(&operation);
    }
    if (ret_done != NULL)
        *ret_done = done;
    return status;
}

/* ---- tasks ---- */

/* seq_cst: `done` is in one order with the puts, for who waits in join. */
static bool all_are_done(const sp_queue *queue)
{
    return sp__load_seq_cst(&queue->done) == sp__store_puts(queue); /* seq_cst: as above */
}

static bool some_are_not_done(const sp_queue *queue)
{
    return !all_are_done(queue);
}

static void count_done(sp_queue *queue, uint64_t n)
{
    /* seq_cst: a release, pairs with all_are_done; and before the joiners are looked for */
    sp__add_seq_cst(&queue->done, n);
    if (all_are_done(queue))
        sp__sleepers_wake_all(&queue->joiners);
}

sp_status sp_queue_task_done(sp_queue *queue)
{
    if (queue == NULL)
        return SP_VALUE_ERROR;
    if (is_inherited(queue))
        return SP_SHUT_DOWN;
    uint64_t done = sp__load_relaxed(&queue->done); /* relaxed: the CAS decides */
    do
        if (done >= sp__store_puts(queue))
            return SP_VALUE_ERROR;
    /* seq_cst: as in count_done */
    while (!sp__cas_seq_cst(&queue->done, &done, done + 1));
    count_done(queue, 0);
    return SP_OK;
}

bool sp_queue_join(sp_queue *queue, double timeout)
{
    if (queue == NULL)
        return true;
    if (is_inherited(queue))
        return false;
    int64_t deadline = sp__deadline(timeout);
    while (!all_are_done(queue)) {
        if (sp__deadline_passed(deadline))
            return false;
        (void)sp__sleepers_sleep(&queue->joiners, queue, some_are_not_done, deadline);
    }
    return true;
}

/* ---- the end ---- */

void sp_queue_shutdown(sp_queue *queue, bool immediate)
{
    if (queue == NULL || is_inherited(queue))
        return;
    sp__store_close(queue);
    sp__sleepers_wake_all(&queue->getters);
    sp__sleepers_wake_all(&queue->putters);
    if (immediate)
        count_done(queue, sp__store_drop(queue));
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
    if (is_inherited(queue))
        return; /* a thread of the parent may have been in the middle of it */
    sp__store_close(queue);
    (void)sp__store_drop(queue);
    sp__store_free(queue);
    sp__os_free(queue);
}

/* ---- questions ---- */

size_t sp_queue_size(const sp_queue *queue)
{
    return queue != NULL ? sp__store_size(queue) : 0;
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
