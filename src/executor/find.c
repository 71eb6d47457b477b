/* Where a worker finds its next task, and where tasks are put.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"

#include "base/pause.h"
#include "os/os.h"

enum {
    MOST_IN_A_ROW = 4, /* so many tasks of the inbox, while others wait that came later */
    MOST_UNTIMED = 16, /* so many tasks are run, if they are short, between two looks at the clock */
    MARK_BITS = 64
};
#define ROUND_NANOSECONDS INT64_C(100000)
#define SHORT_NANOSECONDS                                                                                              \
    INT64_C(20000) /* so short is the time between two looks after which the next one comes later */

/* ---- deques ---- */

/* Under the lock: one whose worker has ended, or NULL. */
static struct sp__deque *adopt(struct sp__pool *pool)
{
    struct sp__deque *deque = pool->unowned;
    if (deque != NULL)
        pool->unowned = deque->next_unowned;
    return deque;
}

/* Under the lock: give a new one its number.  False: there are enough. */
static bool admit(struct sp__pool *pool, struct sp__deque *deque)
{
    if (pool->deque_count == pool->most_deques)
        return false;
    deque->number = pool->deque_count++;
    /* relaxed: its mark publishes it */
    sp__store_relaxed(&pool->deques[deque->number], deque);
    return true;
}

/* NULL: no memory, or there are enough. */
static struct sp__deque *get_deque(struct sp__pool *pool)
{
    sp_lock_acquire(&pool->lock);
    struct sp__deque *deque = adopt(pool);
    bool has_room = pool->deque_count < pool->most_deques;
    sp_lock_release(&pool->lock);
    if (deque != NULL || !has_room)
        return deque;
    SP__PAUSE("find: has room for a deque");
    deque = sp__os_zalloc_aligned(_Alignof(struct sp__deque), sizeof *deque);
    if (deque == NULL)
        return NULL;
    sp_lock_acquire(&pool->lock);
    bool admitted = admit(pool, deque);
    sp_lock_release(&pool->lock);
    if (admitted)
        return deque;
    sp__os_free(deque);
    return NULL;
}

/* By the worker: from now on those who look for tasks look at its deque. */
static void mark(struct sp__pool *pool, struct sp__deque *deque)
{
    deque->marked = true;
    /* seq_cst: publishes the deque; before something is put into it, and with it before the look at the crew */
    (void)sp__or_seq_cst(&pool->marks[deque->number / MARK_BITS], (uint64_t)1 << deque->number % MARK_BITS);
}

void sp__unmark_deque(struct sp__worker *worker)
{
    struct sp__deque *deque = worker->deque;
    if (deque == NULL || !deque->marked || sp__deque_size(deque) > 0)
        return;
    deque->marked = false;
    /* relaxed: it is empty, and nobody but us puts something in */
    (void)sp__and_relaxed(&worker->pool->marks[deque->number / MARK_BITS], ~((uint64_t)1 << deque->number % MARK_BITS));
}

void sp__leave_deque(struct sp__worker *worker)
{
    struct sp__deque *deque = worker->deque;
    if (deque == NULL)
        return;
    sp__unmark_deque(worker); /* who lay down as one too many may have left tasks in it */
    deque->next_unowned = worker->pool->unowned;
    worker->pool->unowned = deque;
}

struct sp__deque *sp__next_deque(const struct sp__pool *pool, unsigned *at)
{
    unsigned first = *at / MARK_BITS, words = (pool->most_deques + MARK_BITS - 1) / MARK_BITS;
    for (unsigned word = first; word < words; word++) {
        /* seq_cst: after the caller's change of the crew's word, if it relies on the answer; pairs with mark */
        uint64_t marks = sp__load_seq_cst(&pool->marks[word]);
        if (word == first)
            marks &= ~(uint64_t)0 << *at % MARK_BITS;
        if (marks == 0)
            continue;
        *at = word * MARK_BITS + (unsigned)__builtin_ctzll(marks);
        return sp__load_relaxed(&pool->deques[*at]); /* relaxed: stored before the mark */
    }
    return NULL;
}

bool sp__put_own(struct sp__worker *worker, sp_future *future)
{
    if (worker->deque == NULL && !worker->without_deque)
        worker->without_deque = (worker->deque = get_deque(worker->pool)) == NULL;
    if (worker->deque == NULL)
        return false;
    uint64_t submitted = sp__load_relaxed(&worker->submitted); /* relaxed: our own store */
    /* relaxed: before the deque publishes the task, so that who has counted its end has seen this */
    sp__store_relaxed(&worker->submitted, submitted + 1);
    if (!worker->deque->marked)
        mark(worker->pool, worker->deque);
    /* relaxed: published by the deque */
    sp__store_relaxed(&future->place, (uintptr_t)worker->deque | SP__IN_DEQUE);
    SP__TELL_RELEASE(&future->word); /* whoever takes it claims it */
    if (sp__deque_put(worker->deque, future))
        return true;
    sp__store_relaxed(&worker->submitted, submitted); /* relaxed: as it was */
    return false;
}

/* ---- looking ---- */

/* From the first deque of others in [from, to) that has something. */
static sp_future *steal_from(struct sp__worker *worker, unsigned from, unsigned to)
{
    struct sp__deque *deque;
    for (unsigned at = from; at < to && (deque = sp__next_deque(worker->pool, &at)) != NULL && at < to; at++) {
        sp_future *future = deque != worker->deque ? sp__deque_take(deque) : NULL;
        if (future != NULL) {
            worker->victim = at + 1; /* the next time another one first */
            return future;
        }
    }
    return NULL;
}

static sp_future *steal(struct sp__worker *worker)
{
    unsigned begin = worker->victim;
    sp_future *future = steal_from(worker, begin, worker->pool->most_deques);
    return future != NULL ? future : steal_from(worker, 0, begin);
}

static sp_future *take_from_inbox(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *future = sp__inbox_take(&pool->inbox, !worker->searching);
    if (future != NULL)
        sp__tell_of_room(pool);
    return future;
}

static bool is_inbox_due(struct sp__worker *worker)
{
    if (worker->round.inbox_due == 0)
        return false;
    /* relaxed: a moment late is no harm */
    if (sp__load_relaxed(&worker->pool->inbox.out.taken) < worker->round.inbox_due)
        return true;
    worker->round.inbox_due = 0;
    return false;
}

static bool is_own_due(const struct sp__worker *worker)
{
    /* relaxed: as above */
    return worker->deque != NULL && sp__load_relaxed(&worker->deque->top) < worker->round.own_due;
}

/* If all that was due has been taken: what lies in the inbox and in our deque now comes before what will come; and once
   somebody else's. */
static void begin_round(struct sp__worker *worker)
{
    struct sp__round *round = &worker->round;
    if (round->others_due || is_inbox_due(worker) || is_own_due(worker))
        return;
    /* relaxed: what came a moment ago may be missed */
    round->inbox_due = sp__load_relaxed(&worker->pool->inbox.in.put);
    /* relaxed: our own store */
    round->own_due = worker->deque != NULL ? sp__load_relaxed(&worker->deque->bottom) : 0;
    round->others_due = true;
}

/* Between two tasks: is it time for a new round?  The clock costs as much as a short task: then it is asked less often. */
static void look_at_clock(struct sp__worker *worker)
{
    struct sp__round *round = &worker->round;
    if (++round->untimed < round->stride)
        return;
    int64_t now = sp__os_now();
    bool are_short = now - round->looked_at < SHORT_NANOSECONDS;
    round->stride = !are_short || round->stride == 0 ? 1
                    : round->stride < MOST_UNTIMED   ? 2 * round->stride
                                                     : MOST_UNTIMED;
    round->untimed = 0;
    round->looked_at = now;
    if (now - round->began < ROUND_NANOSECONDS)
        return;
    round->began = now;
    round->inbox_is_late = true;
    begin_round(worker);
}

/* One of the inbox, although others may be due. */
static sp_future *take_late(struct sp__worker *worker)
{
    sp_future *future = take_from_inbox(worker);
    worker->round.inbox_is_late = false;
    worker->round.in_a_row += future != NULL;
    return future;
}

/* One of a deque, although the inbox may be due. */
static sp_future *take_other(struct sp__worker *worker)
{
    struct sp__round *round = &worker->round;
    sp_future *future = NULL;
    if (round->others_due)
        future = steal(worker);
    round->others_due = false;
    if (future == NULL && (is_own_due(worker) || (worker->deque != NULL && round->in_a_row >= MOST_IN_A_ROW)))
        future = sp__deque_take(worker->deque);
    if (future == NULL && round->in_a_row >= MOST_IN_A_ROW)
        future = steal(worker);
    if (future != NULL || round->in_a_row >= MOST_IN_A_ROW)
        round->in_a_row = 0;
    return future;
}

/* What comes before the usual order.  NULL: nothing. */
static sp_future *take_due(struct sp__worker *worker)
{
    struct sp__round *round = &worker->round;
    sp_future *future;
    if (round->in_a_row == 0 && (round->inbox_is_late || is_inbox_due(worker)) && (future = take_late(worker)) != NULL)
        return future;
    if ((future = take_other(worker)) != NULL)
        return future;
    if (is_inbox_due(worker))
        return take_late(worker);
    round->in_a_row = 0;
    return NULL;
}

sp_future *sp__find_task(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *future = NULL;
    /* seq_cst: as in sp__next_deque; pairs with the addition in sp__pool_lend */
    if (sp__load_seq_cst(&pool->wanted) != 0 && (future = sp__take_awaited(pool)) != NULL) {
        worker->stands_in = true;
        return future;
    }
    if (!worker->searching)
        look_at_clock(worker);
    if ((future = take_due(worker)) != NULL)
        return future;
    if (worker->deque != NULL && (future = sp__deque_take(worker->deque)) != NULL)
        return future;
    if ((future = take_from_inbox(worker)) != NULL)
        return future;
    return steal(worker);
}

bool sp__has_tasks(const struct sp__pool *pool)
{
    /* seq_cst: after the caller's change of the crew's word; pairs with the changes before a look at the crew */
    if (sp__load_seq_cst(&pool->wanted) != 0 || sp__inbox_size(&pool->inbox) > 0)
        return true;
    const struct sp__deque *deque;
    for (unsigned at = 0; (deque = sp__next_deque(pool, &at)) != NULL; at++)
        if (sp__deque_size(deque) > 0)
            return true;
    return false;
}

uint64_t sp__count_tasks(const struct sp__pool *pool)
{
    uint64_t count = sp__inbox_size(&pool->inbox);
    const struct sp__deque *deque;
    for (unsigned at = 0; (deque = sp__next_deque(pool, &at)) != NULL; at++) {
        int64_t alive = (int64_t)sp__deque_size(deque) - sp__load_relaxed(&deque->dead); /* relaxed: a count */
        count += alive > 0 ? (uint64_t)alive : 0;
    }
    return count;
}
