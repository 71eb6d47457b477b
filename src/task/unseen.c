/* Errors that nobody has looked at, so that none is lost when the process exits.

   SPDX-License-Identifier: MIT */
#include "os/lifecycle.h"
#include "park/word_lock.h"
#include "task/error.h"
#include "task/error_box.h"

static struct sp__word_lock lock;
static struct sp__list unseen SP__GUARDED_BY(lock); /* next == NULL until it is first used */

void sp__unseen_file(sp_error *error)
{
    struct sp__error_box *box = sp__error_box_of(error);
    if (box == NULL)
        return; /* a record of last resort is shared: its owner reports it at the last release */
    sp__word_lock_acquire(&lock);
    if (unseen.next == NULL)
        sp__list_init(&unseen);
    sp__list_append(&unseen, &box->unseen);
    SP__TELL_RELEASE(&box->unseen);
    sp__word_lock_release(&lock);
}

bool sp__unseen_take(sp_error *error)
{
    struct sp__error_box *box = sp__error_box_of(error);
    if (box == NULL)
        return true;
    sp__word_lock_acquire(&lock);
    bool linked = sp__list_linked(&box->unseen);
    sp__list_remove(&box->unseen);
    sp__word_lock_release(&lock);
    return linked;
}

/* The first unseen error, copied: its owner may release it as soon as the lock is free. */
static sp_error *take_first(void)
{
    sp_error *copy = NULL;
    sp__word_lock_acquire(&lock);
    struct sp__list *first = unseen.next != NULL ? sp__list_pop_front(&unseen) : NULL;
    SP__TELL_ACQUIRE(first);
    if (first != NULL)
        copy = sp__error_copy(&sp__container_of(first, struct sp__error_box, unseen)->error);
    sp__word_lock_release(&lock);
    return copy;
}

void sp__unseen_report_all(void)
{
    for (sp_error *error; (error = take_first()) != NULL;) {
        sp__unseen_error(error);
        sp__error_free(error);
    }
}

/* ---- around a fork ---- */

static void before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&lock);
}

static void after_fork_in_parent(void) SP__UNCHECKED
{
    sp__word_lock_release(&lock);
}

/* The parent reports its own: in the child none of them is linked any more, so that a release does not report it either. */
static void after_fork_in_child(void) SP__UNCHECKED
{
    while (unseen.next != NULL && sp__list_pop_front(&unseen) != NULL)
        continue;
    sp__word_lock_release(&lock);
}

const struct sp__fork_handler sp__fork_task = { .before = before_fork,
                                                .in_parent = after_fork_in_parent,
                                                .in_child = after_fork_in_child };
