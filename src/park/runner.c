/* Who runs; see runner.h.

   SPDX-License-Identifier: MIT */
#include "park/runner.h"

#include <stddef.h>

#include "base/atomic.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/park.h"
#include "park/wait_graph.h"

SP_API SP_TLS_ uint64_t sp_self_id_; /* the id of `current`, for the inline part of the locks */
uint32_t sp__process_number;         /* changes only in the child of a fork, before it has threads */
void (*sp__runner_leaves)(void);
SP_TLS_ struct sp__runner *sp__current_runner;

enum { NUMBERS_AT_A_TIME = 1024 };

static uint64_t last_number; /* atomic, relaxed: ids need to differ, nothing more */
/* Numbers that the thread has taken and not given out: from `number` up to the next multiple of NUMBERS_AT_A_TIME. */
static SP_TLS_ uint64_t number;
static _Thread_local struct sp__runner foreign; /* of a thread that the library did not start */

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

void sp__runner_adopt(struct sp__runner *runner)
{
    set_current(runner);
}

/* Those that the thread has notified while it held their lock are woken, though it has not released it: they find, and
   report, that the owner has ended. */
void sp__runner_leave(void)
{
    struct sp__runner *runner = sp__current_runner;
    sp__graph_remove(runner);
    sp__wake_deferred_of(runner);
    set_none();
    if (sp__runner_leaves != NULL)
        sp__runner_leaves();
}

static void foreign_ends(void *runner)
{
    sp__foreign_thread_ends(runner);
    sp__runner_leave();
}

/* Without notice of its end a thread cannot be told from one that has ended: its id then is of the other kind. */
static void init_foreign(void)
{
    foreign = (struct sp__runner){ .name = "foreign thread", .thread_runner = &foreign };
    bool told = sp__os_at_thread_end(foreign_ends, &foreign) == 0;
    foreign.id = fresh_id(told);
    set_current(&foreign);
    if (told)
        sp__graph_add(&foreign);
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
        sp__wake_deferred_of(runner); /* as in sp__runner_leave */
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
}

const struct sp__fork_handler sp__fork_park = { .before = sp__graph_before_fork,
                                                .in_parent = sp__graph_after_fork_in_parent,
                                                .in_child = after_fork_in_child };

SP__CONSTRUCTOR static void register_handlers(void)
{
    sp__os_refuse_copies();
}
