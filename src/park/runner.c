/* Who runs; see runner.h.

   SPDX-License-Identifier: MIT */
#include "park/runner.h"

#include <stddef.h>

#include "base/atomic.h"
#include "base/nested.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/park.h"
#include "park/wait_graph.h"
#include "park/word_lock.h"

SP_API SP_TLS_ uint64_t sp_self_id_; /* the id of `current`, for the inline part of the locks */
uint32_t sp__process_number;         /* changes only in the child of a fork, before it has threads */
void (*sp__runner_leaves)(void);
void (*sp__runner_exits)(struct sp__runner *runner);
SP_TLS_ struct sp__runner *sp__current_runner;

enum { NUMBERS_AT_A_TIME = 1024 };

static uint64_t last_number; /* atomic, relaxed: ids need to differ, nothing more */
/* Numbers that the thread has taken and not given out: from `number` up to the next multiple of NUMBERS_AT_A_TIME. */
static SP_TLS_ uint64_t number;

/* The runner of a thread that the library did not start.  Not in that thread's own memory: destructors of the last round may
   use it after the last notice of the thread's end, or be the first to use it, of which there is no notice at all.  Such a
   record stays until the thread is gone; then whoever makes the next one finds it. */
struct foreign {
    struct sp__runner runner;
    struct sp__list link; /* guarded by foreign_lock: in `foreigners` */
    uint64_t native_id;   /* guarded by foreign_lock */
};
static struct sp__word_lock foreign_lock;
static struct sp__list foreigners SP__GUARDED_BY(foreign_lock) = { &foreigners, &foreigners };
static struct foreign of_main;                   /* so that the main thread needs no memory for it */
static bool main_has_record;                     /* of_main is in use; only the main thread looks, or changes it */
static _Thread_local struct foreign *record;     /* the thread's, while it has one */
static _Thread_local struct sp__runner unlisted; /* of a thread for whose record there was no memory */
static _Thread_local unsigned notices;           /* how often the thread was told that it ends */

/* 60 bits last for 36 years at one a nanosecond.  Threads take many at a time, so that tasks which wait for tasks do not
   meet at a counter. */
static uint64_t fresh_id(bool of_thread)
{
    uint64_t next = number;
    if (next % NUMBERS_AT_A_TIME == 0)
        next = sp__add_relaxed(&last_number, NUMBERS_AT_A_TIME) + 1; /* relaxed: see last_number */
    number = next + 1;
    return next * 2 + (of_thread ? 1 : 0);
}

static void set_current(struct sp__runner *runner)
{
    sp__current_runner = runner;
    sp_self_id_ = runner->id;
}

static void set_none(void)
{
    sp__current_runner = NULL;
    sp_self_id_ = 0;
}

void sp__runner_init(struct sp__runner *runner, const char *name)
{
    *runner = (struct sp__runner){ .id = fresh_id(true), .name = name, .thread_runner = runner };
    sp__graph_add(runner);
}

void sp__runner_forget(struct sp__runner *runner)
{
    sp__graph_remove(runner);
}

/* ---- the end of a thread ---- */

void sp__runner_gone(struct sp__runner *runner)
{
    sp__graph_remove(runner);
}

/* NULL: no memory. */
static struct foreign *new_record(void)
{
    struct foreign *foreign;
    if (!main_has_record && sp__os_is_main_thread()) {
        main_has_record = true;
        foreign = &of_main;
    } else {
        foreign = sp__os_alloc(sizeof *foreign);
    }
    if (foreign != NULL)
        *foreign = (struct foreign){ .runner = { .name = "foreign thread", .thread_runner = &foreign->runner },
                                     .native_id = sp__os_thread_id() };
    return foreign;
}

static void free_record(struct foreign *foreign)
{
    if (foreign == &of_main)
        main_has_record = false;
    else
        sp__os_free(foreign);
}

static void unlink_record(struct foreign *foreign) SP__UNCHECKED
{
    sp__word_lock_acquire(&foreign_lock);
    sp__list_remove(&foreign->link);
    sp__word_lock_release(&foreign_lock);
}

/* The calling thread was told of its end for the last time. */
static void leave(struct sp__runner *runner, bool sure)
{
    sp__runner_left(runner, sure);
    if (sure)
        sp__graph_remove(runner);
    /* Those that the thread has notified while it held their lock are woken, though it has not released it: they find, and
       report, that the owner has ended. */
    sp__wake_deferred_of(runner);
    if (!sure)
        return;
    struct foreign *foreign = record;
    record = NULL;
    if (foreign != NULL)
        unlink_record(foreign);
    set_none();
    if (foreign != NULL)
        free_record(foreign);
}

/* The handler for the end of a thread, in the order of keys among the destructors of users: these may use the library in any
   round.  So the thread keeps its runner until no other key has a value; then nothing of a user's will follow. */
static void thread_ends(void *argument)
{
    struct sp__runner *runner = argument;      /* those inside it are gone with their frames */
    sp__nesting.depth = sp__nesting.waits = 0; /* the frames of these calls are gone as well */
    sp__run_deferred();
    unsigned rounds = sp__os_end_rounds();
    bool is_last = ++notices >= rounds;
    sp__runner_ends(runner);
    if (sp__runner_leaves != NULL)
        sp__runner_leaves();
    bool others = sp__os_other_keys_left();
    if (others && !is_last && sp__os_at_thread_end(thread_ends, runner) == 0)
        return; /* we are told again */
    leave(runner, !others || rounds < 4);
}

bool sp__runner_adopt(struct sp__runner *runner)
{
    set_current(runner);
    return sp__os_at_thread_end(thread_ends, runner) == 0;
}

bool sp__runner_is_told(const struct sp__runner *runner)
{
    return runner != &unlisted && notices < sp__os_end_rounds(); /* in the last round nobody is told any more */
}

bool sp__runner_was_refused(void)
{
    return sp__self()->thread_runner == &unlisted && notices < sp__os_end_rounds();
}

void sp__runner_ask_again(void)
{
    if (sp__self()->thread_runner == &unlisted)
        (void)sp__os_at_thread_end(thread_ends, &unlisted);
}

/* ---- foreign threads ---- */

/* Look at the record that has not been looked at for longest: has its thread gone without notice?  Then it is taken out of the
   list; else NULL. */
static struct foreign *take_gone(void) SP__UNCHECKED
{
    struct foreign *gone = NULL;
    sp__word_lock_acquire(&foreign_lock);
    if (!sp__list_empty(&foreigners)) {
        struct foreign *foreign = sp__container_of(sp__list_pop_front(&foreigners), struct foreign, link);
        if (sp__os_thread_exists(foreign->native_id))
            sp__list_append(&foreigners, &foreign->link);
        else
            gone = foreign;
    }
    sp__word_lock_release(&foreign_lock);
    return gone;
}

static void sweep(void)
{
    enum { LOOKS = 2 }; /* more than one for each that comes: there are soon no more that are gone than that live */
    for (int i = 0; i < LOOKS; i++) {
        struct foreign *gone = take_gone();
        if (gone == NULL)
            continue;
        sp__runner_left(&gone->runner, true);
        sp__graph_remove(&gone->runner);
        free_record(gone);
    }
}

static void begin_unlisted(void)
{
    unlisted = (struct sp__runner){ .name = "foreign thread", .id = fresh_id(false), .thread_runner = &unlisted };
    set_current(&unlisted);
}

static void begin_listed(struct foreign *foreign) SP__UNCHECKED
{
    record = foreign;
    foreign->runner.id = fresh_id(true);
    set_current(&foreign->runner);
    sp__graph_add(&foreign->runner);
    sp__word_lock_acquire(&foreign_lock);
    sp__list_append(&foreigners, &foreign->link);
    sp__word_lock_release(&foreign_lock);
}

/* Without notice of its end, or without memory for a record, a thread cannot be told from one that has ended: its id then is
   of the other kind. */
static void init_foreign(void)
{
    bool may_be_told = notices < sp__os_end_rounds(); /* else the thread is in the last round that we know of */
    struct foreign *foreign = may_be_told ? new_record() : NULL;
    if (foreign != NULL && sp__os_at_thread_end(thread_ends, &foreign->runner) == 0) {
        begin_listed(foreign);
        sweep();
        return;
    }
    if (foreign != NULL)
        free_record(foreign);
    begin_unlisted();
}

struct sp__runner *sp__self_first(void)
{
    (void)sp__os_watch_forks(); /* refused for want of memory: the next thread asks again */
    init_foreign();
    return sp__current_runner;
}

/* Field by field: this is done for every task that a waiting task runs, and a struct as a whole is slower. */
void sp__runner_push(struct sp__runner *runner, const char *name)
{
    struct sp__runner *outer = sp__self();
    runner->id = fresh_id(false);
    runner->name = name;
    runner->outer = outer;
    runner->raised = NULL;
    runner->hooks = outer->hooks;
    runner->task = NULL;
    runner->cancel_word = NULL;
    runner->pool = outer->pool;
    runner->worker = outer->worker;
    runner->helps = outer->helps;
    runner->thread = outer->thread;
    runner->deferred.next = runner->deferred.prev = NULL;
    runner->help_floor = outer->help_floor;
    runner->uses_locals = outer->uses_locals; /* what lies below on this stack still counts on its values */
    runner->thread_runner = outer->thread_runner;
    runner->known = false;
    set_current(runner);
}

void sp__runner_pop(struct sp__runner *runner)
{
    if (runner->known)
        sp__graph_forget(runner);
    if (runner->deferred.next != NULL)
        sp__wake_deferred_of(runner); /* as in leave */
    set_current(runner->outer);
}

bool sp__runner_on_stack(uint64_t id)
{
    for (const struct sp__runner *r = sp__self(); r != NULL; r = r->outer)
        if (r->id == id)
            return true;
    return false;
}

const char *sp__runner_name(const struct sp__runner *runner)
{
    /* acquire: pairs with the release in sp__runner_set_name */
    return sp__load_acquire(&runner->name);
}

void sp__runner_set_name(struct sp__runner *runner, const char *name)
{
    /* release: publishes the text; pairs with the acquire in sp__runner_name */
    sp__store_release(&runner->name, name);
}

/* ---- around a fork ---- */

static void before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&foreign_lock);
    sp__graph_before_fork();
}

static void after_fork_in_parent(void) SP__UNCHECKED
{
    sp__graph_after_fork_in_parent();
    sp__word_lock_release(&foreign_lock);
}

/* Only the forking thread is left, under another number. */
static void keep_own_record(void) SP__UNCHECKED
{
    while (sp__list_pop_front(&foreigners) != NULL)
        continue;
    if (record != NULL) {
        record->native_id = sp__os_thread_id();
        sp__list_append(&foreigners, &record->link);
    }
    sp__word_lock_release(&foreign_lock);
}

/* Before the rooms above: they ask for the number. */
static void after_fork_in_child(void)
{
    struct sp__runner *current = sp__current_runner;
    sp__process_number++;
    number = 0; /* what the thread has not given out yet counts as given out before the fork */
    for (struct sp__runner *runner = current; runner != NULL; runner = runner->outer)
        runner->deferred = (struct sp__list){ NULL, NULL }; /* the sleepers are not here */
    /* relaxed: the child has one thread */
    sp__graph_after_fork(current, sp__load_relaxed(&last_number) * 2 + 1);
    sp__park_after_fork();
    keep_own_record();
}

const struct sp__fork_handler sp__fork_park = { .before = before_fork,
                                                .in_parent = after_fork_in_parent,
                                                .in_child = after_fork_in_child };

SP__CONSTRUCTOR static void register_handlers(void)
{
    sp__os_refuse_copies();
}
