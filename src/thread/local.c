/* Thread-local values: each thread has a table of its own, indexed by the number of the local.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "park/runner.h"
#include "thread/thread.h"

_Static_assert(sizeof(sp_local) == 40 || sizeof(void *) != 8, "programs are compiled against it");

enum { ROUNDS = 4, FIRST_ENTRIES = 8 };

struct sp__local_entry {
    void *value; /* NULL: not used yet, or finished */
    void (*fini)(void *value);
};

static uint64_t last_key; /* atomic, relaxed: keys need to differ; 0 is none */
static _Thread_local struct sp__locals table;

/* The number of a local, given to it when it is first used by any thread. */
static uint64_t key_of(sp_local *local)
{
    uint64_t key = sp__load_relaxed(&local->sp_key_); /* relaxed: nothing but the number is published */
    if (key != 0)
        return key;
    uint64_t fresh = sp__add_relaxed(&last_key, 1) + 1;                 /* relaxed: as above */
    return sp__cas_relaxed(&local->sp_key_, &key, fresh) ? fresh : key; /* relaxed: as above */
}

static bool make_room(uint64_t key)
{
    if (key < table.count)
        return true;
    size_t count = table.count > 0 ? table.count : FIRST_ENTRIES;
    while (count <= key)
        count *= 2;
    struct sp__local_entry *entries = sp__os_zalloc(count * sizeof *entries);
    if (entries == NULL)
        return false;
    if (table.count > 0)
        memcpy(entries, table.entries, table.count * sizeof *entries);
    sp__os_free(table.entries);
    table.entries = entries;
    table.count = count;
    return true;
}

/* The initializer may use other locals: the table may move.  One that throws leaves no value, and the next use tries again. */
static void initialize(const sp_local *local, uint64_t key, void *value)
{
    void *exception = NULL;
    (void)sp__os_call_catching((void (*)(void))local->sp_init_, value, NULL, &exception);
    if (exception == NULL)
        return;
    table.entries[key].value = NULL;
    sp__os_free(value);
    sp__os_exception_go_on(exception);
}

static void *make_value(sp_local *local, uint64_t key)
{
    bool is_finished = !sp__runner_was_refused(); /* else nobody would hear of the end of this thread */
    size_t alignment = local->sp_align_ > sizeof(void *) ? local->sp_align_ : sizeof(void *);
    void *value = is_finished && make_room(key) ? sp__os_zalloc_aligned(alignment, local->sp_size_) : NULL;
    if (value == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    table.entries[key] = (struct sp__local_entry){ value, local->sp_fini_ };
    if (local->sp_init_ != NULL)
        initialize(local, key, value);
    return value;
}

/* Until the task ends that runs: a worker that waits in it runs no other task meanwhile, which would have the same values. */
static void note_use(void)
{
    struct sp__runner *self = sp__current_runner;
    if (self != NULL)
        self->uses_locals = true;
}

void *sp_local_get(sp_local *local)
{
    uint64_t key = key_of(local);
    note_use();
    if (key < table.count && table.entries[key].value != NULL)
        return table.entries[key].value;
    return make_value(local, key);
}

/* Finish each value once.  False: there was none. */
static bool finish_round(bool call)
{
    bool any = false;
    for (size_t i = 0; i < table.count; i++) { /* a finaliser may use locals: the table may move */
        struct sp__local_entry entry = table.entries[i];
        table.entries[i].value = NULL;
        if (entry.value == NULL)
            continue;
        any = true;
        if (call && entry.fini != NULL)
            sp__os_call_firmly("a finaliser of an sp_local", (void (*)(void))entry.fini, entry.value, NULL);
        sp__os_free(entry.value);
    }
    return any;
}

void sp__locals_finish(void)
{
    int round = 0;
    while (finish_round(round < ROUNDS) && round < ROUNDS)
        round++;
    sp__os_free(table.entries);
    table.entries = NULL;
    table.count = 0;
}

struct sp__locals sp__locals_set_aside(void)
{
    struct sp__locals before = table;
    table = (struct sp__locals){ NULL, 0 };
    return before;
}

void sp__locals_restore(const struct sp__locals *before)
{
    sp__locals_finish();
    table = *before;
}
