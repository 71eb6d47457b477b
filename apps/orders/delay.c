/* SPDX-License-Identifier: MIT */
#include "delay.h"

#include <stdlib.h>

#include <spool.h>

struct entry {
    double due;
    void *item;
};

struct delay {
    void (*fire)(void *item); /* set once */
    sp_thread *thread;        /* set once */
    sp_lock lock;
    sp_condition changed; /* an earlier entry than all before, or finishing */
    struct entry *heap;   /* guarded by lock, as is all below; no child is due before its parent */
    size_t n, capacity;
    bool finishing;
};

static void sift_up(struct delay *delay, size_t at, struct entry entry)
{
    while (at > 0 && delay->heap[(at - 1) / 2].due > entry.due) {
        delay->heap[at] = delay->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    delay->heap[at] = entry;
}

static struct entry take_first(struct delay *delay)
{
    struct entry first = delay->heap[0], last = delay->heap[--delay->n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < delay->n && delay->heap[child + 1].due < delay->heap[child].due)
            child++;
        if (child >= delay->n || delay->heap[child].due >= last.due)
            break;
        delay->heap[at] = delay->heap[child];
        at = child;
    }
    delay->heap[at] = last;
    return first;
}

/* Wait for the first entry to be due and take it.  False: finishing, and nothing is left. */
static bool take_due(struct delay *delay, struct entry *ret_entry)
{
    SP_HOLD(&delay->lock);
    for (;;) {
        if (delay->n == 0 && delay->finishing)
            return false;
        double wait = delay->n == 0 ? SP_FOREVER : delay->heap[0].due - sp_monotonic();
        if (delay->n > 0 && (wait <= 0 || delay->finishing)) {
            *ret_entry = take_first(delay);
            return true;
        }
        sp_condition_wait(&delay->changed, &delay->lock, wait);
    }
}

static sp_status fire_all(struct delay *const *delay, sp_none *unused)
{
    (void)unused;
    struct entry entry;
    while (take_due(*delay, &entry))
        (*delay)->fire(entry.item);
    return SP_OK;
}
SP_TASK(fire_all, struct delay *, sp_none);

struct delay *delay_start(void (*fire)(void *item))
{
    struct delay *delay = calloc(1, sizeof *delay);
    if (delay == NULL)
        return NULL;
    delay->fire = fire;
    delay->thread = sp_start_with(SP_THREAD(.name = "delay"), fire_all, delay);
    if (delay->thread != NULL)
        return delay;
    free(delay);
    return NULL;
}

static bool grow(struct delay *delay)
{
    if (delay->n < delay->capacity)
        return true;
    size_t capacity = delay->capacity == 0 ? 64 : 2 * delay->capacity;
    struct entry *larger = realloc(delay->heap, capacity * sizeof *larger);
    if (larger == NULL)
        return false;
    delay->heap = larger;
    delay->capacity = capacity;
    return true;
}

enum added { ADDED, NOT_ADDED, TOO_LATE };

static enum added add_entry(struct delay *delay, struct entry entry)
{
    SP_HOLD(&delay->lock);
    if (delay->finishing)
        return TOO_LATE;
    if (!grow(delay))
        return NOT_ADDED;
    sift_up(delay, delay->n++, entry);
    if (delay->heap[0].item == entry.item)
        sp_condition_notify(&delay->changed, 1);
    return ADDED;
}

bool delay_add(struct delay *delay, void *item, double due)
{
    enum added added = add_entry(delay, (struct entry){ .due = due, .item = item });
    if (added == TOO_LATE)
        delay->fire(item);
    return added != NOT_ADDED;
}

static void set_finishing(struct delay *delay)
{
    SP_HOLD(&delay->lock);
    delay->finishing = true;
    sp_condition_notify_all(&delay->changed);
}

void delay_finish(struct delay *delay)
{
    set_finishing(delay);
    /* It cannot fail: the thread is not this one, and the wait has no end. */
    if (sp_thread_wait(delay->thread, SP_FOREVER) != SP_OK)
        abort();
}

void delay_free(struct delay *delay)
{
    if (delay == NULL)
        return;
    sp_thread_release(delay->thread);
    free(delay->heap);
    free(delay);
}
