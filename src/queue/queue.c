/* The queue: CPython 3.13's rules over a store that can be tried; sleeping is in sleepers.c.

   SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <errno.h>

#include "base/pause.h"
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
    struct sp__last_look last;
    sp_queue *queue;
    struct sp__sleepers *sleepers; /* whom it sleeps among */
    bool (*must_wait)(const sp_queue *queue);
    uint64_t (*count)(const sp_queue *queue); /* so many of the kind were done */
    struct sp__patience *patience;            /* of the queue, for this kind of operation */
    double timeout;
    int64_t deadline; /* set before the first sleep */
    unsigned moments; /* for a store that is busy */
    struct sp__spin spin;
    bool was_patient, slept;
};

enum { MOST_PATIENCE = 64 }; /* pauses, about two microseconds */

/* So many items have come, or gone, since last one was patient: did one wait pay for several? */
static uint32_t learn(struct sp__patience *patience, uint64_t count)
{
    uint32_t pauses = sp__load_relaxed(&patience->pauses), next; /* relaxed: all of it is a guess */
    if ((uint32_t)count - sp__load_relaxed(&patience->since) <= 1)
        next = pauses / 2;
    else
        next = pauses < MOST_PATIENCE ? pauses * 2 + 1 : pauses;
    sp__store_relaxed(&patience->since, (uint32_t)count); /* relaxed: as above */
    if (next != pauses)
        sp__store_relaxed(&patience->pauses, next); /* relaxed: as above */
    return next;
}

/* Putters and getters that are as fast as one another meet in the same cache lines at every item.  Where items come in
   streams, wait for more than one: then the next operations need not wait at all.  Once in an operation; false: done. */
static bool be_patient(struct operation *operation)
{
    if (operation->was_patient || !sp__may_spin())
        return false;
    operation->was_patient = true;
    uint32_t pauses = learn(operation->patience, operation->count(operation->queue));
    for (uint32_t i = 0; i < pauses; i++)
        sp__cpu_relax();
    return true;
}

/* Spin, briefly even when spins were in vain: a side that sleeps at once is woken for each item.  In a stream the other side
   takes longer than the short rounds only when it has lost its CPU: README.md says why we yield then. */
static bool spin_on(struct operation *operation)
{
    struct sp__spin *spin = &operation->spin;
    spin->insists = true;
    if (!sp__spin(spin))
        return false;
    /* relaxed: a guess */
    if (spin->round == SP__SHORT_ROUNDS && sp__load_relaxed(&operation->patience->pauses) >= MOST_PATIENCE)
        sp__give_way();
    return true;
}

/* After a try that could not be done.  False: the time is up. */
static bool wait_between(struct operation *operation, enum sp__tried tried)
{
    if (tried == SP__TRY_BUSY) {
        SP__PAUSE("queue: busy");
        sp__pass_moment(&operation->moments);
        return true;
    }
    operation->moments = 0;
    if (!(operation->timeout > 0))
        return false;
    if (be_patient(operation) || spin_on(operation))
        return true;
    if (operation->deadline == 0)
        operation->deadline = sp__deadline(operation->timeout);
    if (sp__deadline_passed(operation->deadline))
        return false;
    operation->slept = true;
    if (sp__sleepers_sleep(operation->sleepers, operation->queue, operation->must_wait, operation->deadline) ==
        SP__PARK_TIMEOUT) {
        SP__PAUSE("queue: out of time");
        operation->timeout = 0; /* one more try: what was waited for may have come with the time */
    } else {
        operation->spin = (struct sp__spin)SP__SPIN;
    }
    return true;
}

/* After an operation that slept: others who sleep for the same were not woken on our account. */
static void pass_on(struct operation *operation)
{
    if (operation->slept && !operation->must_wait(operation->queue))
        sp__sleepers_unlink(operation->sleepers, &operation->last);
}

static void pass_on_before_last_store(struct sp__last_look *last)
{
    pass_on(sp__container_of(last, struct operation, last));
}

/* `status`: how the operation went.  If it is done, it has touched the queue for the last time. */
static sp_status end(struct operation *operation, sp_status status)
{
    if (status != SP_OK)
        pass_on(operation); /* out of time, or closed */
    if (!operation->slept)
        sp__spin_paid(&operation->spin);
    sp__wake_looked_at(&operation->last);
    return status;
}

static sp_status put(struct operation *operation, const void *item)
{
    for (;;) {
        enum sp__tried tried = sp__store_put(operation->queue, item, &operation->last);
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
        enum sp__tried tried = sp__store_get(operation->queue, ret_item, &operation->last);
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
    return (struct operation){ .last.others = &queue->getters,
                               .queue = queue,
                               .sleepers = &queue->putters,
                               .must_wait = sp__store_is_full_and_open,
                               .count = sp__store_puts,
                               .patience = &queue->put_patience,
                               .timeout = timeout };
}

static struct operation getting(sp_queue *queue, double timeout)
{
    return (struct operation){ .last.others = queue->maxsize != 0 ? &queue->putters : NULL,
                               .queue = queue,
                               .sleepers = &queue->getters,
                               .must_wait = sp__store_is_empty_and_open,
                               .count = sp__store_gets,
                               .patience = &queue->get_patience,
                               .timeout = timeout };
}

/* What happens when the first try was not enough; out of line, so that the first try is short. */
__attribute__((noinline)) static sp_status put_slowly(sp_queue *queue, const void *item, double timeout)
{
    struct operation operation = putting(queue, timeout);
    operation.last.look = pass_on_before_last_store;
    return end(&operation, put(&operation, item));
}

__attribute__((noinline)) static sp_status get_slowly(sp_queue *queue, void *ret_item, double timeout)
{
    struct operation operation = getting(queue, timeout);
    operation.last.look = pass_on_before_last_store;
    return end(&operation, get(&operation, ret_item));
}

/* ---- the first try: most operations need no other ---- */

/* As sp__store_put and sp__store_get, but what has to do with sleepers is set up only when there are some. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* The last look, by one who has claimed something and has not slept.  Returns last->wakes, which is all that is set if false. */
static ALWAYS_INLINE bool look_for(struct sp__sleepers *others, struct sp__last_look *last)
{
    last->wakes = false;
    sp__sleepers_unlink(others, last);
    return last->wakes;
}

static ALWAYS_INLINE enum sp__tried put_in_ring(sp_queue *queue, const void *item)
{
    struct sp__last_look last;
    uint64_t position;
    enum sp__tried tried = sp__ring_claim_put(&queue->store.ring, &position);
    if (tried != SP__TRY_DONE)
        return tried;
    SP__PAUSE("ring: put claimed");
    bool wakes = look_for(&queue->getters, &last);
    SP__PAUSE("ring: put looked");
    sp__ring_finish_put(&queue->store.ring, position, item);
    SP__PAUSE("ring: put finished");
    if (wakes)
        sp__wake_looked_at(&last);
    return SP__TRY_DONE;
}

static ALWAYS_INLINE enum sp__tried get_in_ring(sp_queue *queue, void *ret_item)
{
    struct sp__taker taker = { ret_item, NULL, queue->item_size };
    struct sp__last_look last;
    uint64_t position;
    enum sp__tried tried = sp__ring_claim_get(&queue->store.ring, &position);
    if (tried != SP__TRY_DONE)
        return tried;
    SP__PAUSE("ring: get claimed");
    bool wakes = look_for(&queue->putters, &last);
    SP__PAUSE("ring: get looked");
    sp__ring_finish_get(&queue->store.ring, position, &taker);
    SP__PAUSE("ring: get finished");
    if (wakes)
        sp__wake_looked_at(&last);
    return SP__TRY_DONE;
}

static ALWAYS_INLINE enum sp__tried put_in_chain(sp_queue *queue, const void *item)
{
    struct sp__last_look last;
    sp__slot_word *slot;
    enum sp__tried tried = sp__chain_claim_put(&queue->store.chain, &slot);
    if (tried != SP__TRY_DONE)
        return tried;
    SP__PAUSE("chain: put claimed");
    bool wakes = look_for(&queue->getters, &last);
    SP__PAUSE("chain: put looked");
    sp__chain_finish_put(&queue->store.chain, slot, item);
    SP__PAUSE("chain: put finished");
    if (wakes)
        sp__wake_looked_at(&last);
    return SP__TRY_DONE;
}

sp_status sp_queue_put(sp_queue *queue, const void *item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    enum sp__tried tried = SP__TRY_NOT_NOW;
    if (queue->kind == SP__RING_STORE)
        tried = put_in_ring(queue, item);
    else if (queue->kind == SP__CHAIN_STORE)
        tried = put_in_chain(queue, item);
    return tried == SP__TRY_DONE ? SP_OK : put_slowly(queue, item, timeout);
}

sp_status sp_queue_get(sp_queue *queue, void *ret_item, size_t item_size, double timeout)
{
    sp_status status = check(queue, item_size, timeout);
    if (status != SP_OK)
        return status;
    enum sp__tried tried = SP__TRY_NOT_NOW;
    if (queue->kind == SP__RING_STORE)
        tried = get_in_ring(queue, ret_item);
    else if (queue->kind == SP__CHAIN_STORE) /* nobody waits for room, nor frees the queue for it */
        tried = sp__chain_get(&queue->store.chain, &(struct sp__taker){ ret_item, NULL, item_size });
    return tried == SP__TRY_DONE ? SP_OK : get_slowly(queue, ret_item, timeout);
}

sp_status sp_queue_put_items(sp_queue *queue, const void *items, size_t item_size, size_t n, size_t *ret_done,
                             double timeout)
{
    size_t done = 0;
    sp_status status = check(queue, item_size, timeout);
    if (status == SP_OK) {
        struct operation operation = putting(queue, timeout);
        (void)sp_queue_retain(queue); /* whoever gets the last item may release the handle by which we were called */
        for (; done < n && status == SP_OK; done += status == SP_OK) {
            status = put(&operation, (const char *)items + done * item_size);
            sp__wake_looked_at(&operation.last);
        }
        pass_on(&operation);
        (void)end(&operation, SP_OK);
        sp_queue_release(queue);
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
        (void)sp_queue_retain(queue); /* as in sp_queue_put_items */
        status = get(&operation, ret_items);
        operation.timeout = 0; /* what is there now is taken along */
        for (sp_status more = status; more == SP_OK;
             more = done < n ? get(&operation, (char *)ret_items + done * item_size) : SP_EMPTY) {
            done++;
            sp__wake_looked_at(&operation.last);
        }
        pass_on(&operation);
        (void)end(&operation, SP_OK);
        sp_queue_release(queue);
    }
    if (ret_done != NULL)
        *ret_done = done;
    return status;
}

/* ---- tasks ---- */

static uint64_t count_of(uint64_t done)
{
    return done & ~SP__JOINED;
}

/* seq_cst: `done` is in one order with the puts, and is read first: puts only grows. */
static bool all_are_done(const sp_queue *queue, uint64_t *ret_done)
{
    *ret_done = sp__load_seq_cst(&queue->done); /* seq_cst: as above; pairs with count_done */
    return count_of(*ret_done) == sp__store_puts(queue);
}

static bool some_are_not_done(void *context)
{
    uint64_t done;
    return !all_are_done(context, &done) && (done & SP__JOINED);
}

/* So many more are done, if no more than were put.  When all are, whoever joins is woken; it may free the queue from that
   store on.  False: there were fewer. */
static bool count_done(sp_queue *queue, uint64_t n)
{
    SP__TELL_RELEASE(&queue->done);
    uint64_t done = sp__load_relaxed(&queue->done), next; /* relaxed: the CAS decides */
    do {
        uint64_t puts = sp__store_puts(queue);
        if (count_of(done) + n > puts)
            return false;
        next = done + n;
        if (count_of(next) == puts)
            next = puts;
        /* seq_cst: a release, pairs with all_are_done */
    } while (!sp__cas_seq_cst(&queue->done, &done, next)); /* LAST TOUCH */
    SP__PAUSE("queue: all done");
    if ((done & SP__JOINED) && !(next & SP__JOINED))
        sp__unpark(&(struct sp__wake){
            .address = &queue->done, .kind = SP__QUEUE_JOIN, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
    return true;
}

sp_status sp_queue_task_done(sp_queue *queue)
{
    if (queue == NULL)
        return SP_VALUE_ERROR;
    if (is_inherited(queue))
        return SP_SHUT_DOWN;
    return count_done(queue, 1) ? SP_OK : SP_VALUE_ERROR;
}

bool sp_queue_join(sp_queue *queue, double timeout)
{
    if (queue == NULL)
        return true;
    if (is_inherited(queue))
        return false;
    int64_t deadline = sp__deadline(timeout);
    for (uint64_t done; !all_are_done(queue, &done);) {
        if (sp__deadline_passed(deadline))
            return false;
        SP__PAUSE("queue: not all done");
        /* seq_cst: acquire, as the look above; the mark is looked for by count_done */
        if ((done & SP__JOINED) || sp__cas_seq_cst(&queue->done, &done, done | SP__JOINED))
            (void)sp__park(&(struct sp__wait){ .address = &queue->done,
                                               .kind = SP__QUEUE_JOIN,
                                               .must_wait = some_are_not_done,
                                               .context = queue,
                                               .deadline = deadline,
                                               .spun = true });
    }
    SP__TELL_ACQUIRE(&queue->done);
    return true;
}

/* ---- the end ---- */

void sp_queue_shutdown(sp_queue *queue, bool immediate)
{
    if (queue == NULL || is_inherited(queue))
        return;
    (void)sp_queue_retain(queue); /* whoever is told may release the handle by which we were called */
    sp__store_close(queue);
    SP__PAUSE("queue: closed");
    sp__sleepers_wake_all(&queue->getters);
    sp__sleepers_wake_all(&queue->putters);
    if (immediate)
        for (uint64_t dropped = sp__store_drop(queue); !count_done(queue, dropped);)
            dropped--; /* task_done was said for some of them, too */
    sp_queue_release(queue);
}

sp_queue *sp_queue_retain(sp_queue *queue)
{
    if (queue != NULL)
        sp__ref_up(&queue->refs);
    return queue;
}

static void drop_and_free(struct sp__nested_call *last)
{
    sp_queue *queue = sp__container_of(last, sp_queue, last);
    sp__store_close(queue);
    (void)sp__store_drop(queue);
    sp__store_free(queue);
    sp__os_free(queue);
}

void sp_queue_release(sp_queue *queue)
{
    if (queue == NULL || !sp__ref_down_for_good(&queue->refs))
        return;
    if (is_inherited(queue))
        return;                      /* a thread of the parent may have been in the middle of it */
    queue->last.run = drop_and_free; /* items may own queues, whose items own queues ... */
    sp__call_nested(&queue->last);
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
