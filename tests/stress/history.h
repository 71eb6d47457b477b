/* Histories of small concurrent runs, and whether some order of their operations explains them.

   After J. Wing and C. Gong (1993): an operation takes effect at one moment between its start and its end.  Search for an
   order that keeps the order of operations which do not overlap, and in which each has the result that a sequential
   object would give.  What was tried (which operations are done, and the object's state) is remembered and not tried
   again.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_HISTORY_H
#define SP_TESTS_STRESS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HISTORY_MOST = 64, HISTORY_TRIED = 1 << 12 };

enum history_kind { HISTORY_PUT, HISTORY_GET, HISTORY_ACQUIRE, HISTORY_RELEASE };

/* One operation.  Tickets come from one counter: a.end < b.start says that a was over before b began. */
struct history_operation {
    enum history_kind kind;
    uint8_t value; /* of a put or a get that was done; how many permits were released */
    bool done;     /* false: full, empty, or no permit */
    uint64_t start, end;
};

struct history {
    unsigned count;
    struct history_operation operations[HISTORY_MOST];
};

/* The sequential object: a FIFO with a bound (0: none), and permits. */
struct history_object {
    uint8_t bound, size, permits, items[HISTORY_MOST];
};

struct history_search {
    const struct history *history;
    unsigned tried_count;
    struct {
        uint64_t done;
        struct history_object object;
    } tried[HISTORY_TRIED];
};

static inline bool history_get(struct history_object *object, const struct history_operation *operation)
{
    if (!operation->done)
        return object->size == 0;
    if (object->size == 0 || object->items[0] != operation->value)
        return false;
    memmove(object->items, object->items + 1, --object->size);
    object->items[object->size] = 0;
    return true;
}

static inline bool history_put(struct history_object *object, const struct history_operation *operation)
{
    bool full = object->bound != 0 && object->size == object->bound;
    if (operation->done && !full)
        object->items[object->size++] = operation->value;
    return operation->done != full;
}

/* Do the operation.  False: it would not have had this result. */
static inline bool history_apply(struct history_object *object, const struct history_operation *operation)
{
    switch (operation->kind) {
    case HISTORY_PUT:
        return history_put(object, operation);
    case HISTORY_GET:
        return history_get(object, operation);
    case HISTORY_ACQUIRE:
        if (operation->done != (object->permits > 0))
            return false;
        object->permits = (uint8_t)(object->permits - operation->done);
        return true;
    case HISTORY_RELEASE:
        object->permits = (uint8_t)(object->permits + operation->value);
        return operation->done;
    }
    return false;
}

/* Was this tried before?  If not it is now; a full table forgets nothing and takes nothing. */
static inline bool history_was_tried(struct history_search *search, uint64_t done, const struct history_object *object)
{
    for (unsigned i = 0; i < search->tried_count; i++)
        if (search->tried[i].done == done && memcmp(&search->tried[i].object, object, sizeof *object) == 0)
            return true;
    if (search->tried_count < HISTORY_TRIED) {
        search->tried[search->tried_count].done = done;
        search->tried[search->tried_count++].object = *object;
    }
    return false;
}

/* May operation i be the next?  Not if one that is left was over before it began. */
static inline bool history_may_be_next(const struct history *history, uint64_t done, unsigned i)
{
    if (done >> i & 1)
        return false;
    for (unsigned k = 0; k < history->count; k++)
        if (!(done >> k & 1) && history->operations[k].end < history->operations[i].start)
            return false;
    return true;
}

static inline bool history_explain(struct history_search *search, uint64_t done, struct history_object object)
{
    const struct history *history = search->history;
    uint64_t all = history->count < 64 ? ((uint64_t)1 << history->count) - 1 : UINT64_MAX;
    if (done == all)
        return true;
    if (history_was_tried(search, done, &object))
        return false;
    for (unsigned i = 0; i < history->count; i++) {
        struct history_object next = object;
        if (history_may_be_next(history, done, i) && history_apply(&next, &history->operations[i]) &&
            history_explain(search, done | (uint64_t)1 << i, next))
            return true;
    }
    return false;
}

/* Is there an order that explains the history, from this state on? */
static inline bool history_is_linearizable(const struct history *history, struct history_object from)
{
    static struct history_search search; /* large; for the main thread */
    search.history = history;
    search.tried_count = 0;
    return history_explain(&search, 0, from);
}

/* Did any two operations overlap?  Else the history tells little. */
static inline bool history_overlaps(const struct history *history)
{
    for (unsigned i = 0; i < history->count; i++)
        for (unsigned k = 0; k < i; k++)
            if (history->operations[i].start < history->operations[k].end &&
                history->operations[k].start < history->operations[i].end)
                return true;
    return false;
}

static inline void history_print(const struct history *history)
{
    static const char *const names[] = { "put", "get", "acquire", "release" };
    for (unsigned i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        printf("  [%3u, %3u] %s %u %s\n", (unsigned)operation->start, (unsigned)operation->end, names[operation->kind],
               operation->value, operation->done ? "done" : "full, empty or no permit");
    }
}

#endif
