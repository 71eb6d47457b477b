/* Questions to a thread's handle, its references, and the excepthook.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/refcount.h"
#include "park/park.h"
#include "park/deadline.h"
#include "park/word_lock.h"
#include "thread/thread.h"

#include <spool.h>

enum { NAMES_KEPT = 64 }; /* of a thread, besides the present one: pointers to them may still be in use */

static struct sp__word_lock hook_lock;
static struct {
    void (*fn)(sp_thread *thread, const sp_error *error, void *context);
    void *context;
} excepthook SP__GUARDED_BY(hook_lock);

void sp_set_excepthook(void (*hook)(sp_thread *thread, const sp_error *error, void *context), void *context)
{
    sp__word_lock_acquire(&hook_lock);
    excepthook.fn = hook;
    excepthook.context = context;
    SP__TELL_RELEASE(&excepthook);
    sp__word_lock_release(&hook_lock);
}

void sp__excepthook_before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&hook_lock);
}

void sp__excepthook_after_fork(void) SP__UNCHECKED
{
    sp__word_lock_release(&hook_lock);
}

struct hook_call {
    void (*fn)(sp_thread *, const sp_error *, void *);
    sp_thread *thread;
    const sp_error *error;
    void *context;
};

static void pass_on(const struct hook_call *call)
{
    call->fn(call->thread, call->error, call->context);
}

static void call_excepthook(sp_thread *thread, const sp_error *error)
{
    sp__word_lock_acquire(&hook_lock);
    void (*fn)(sp_thread *, const sp_error *, void *) = excepthook.fn;
    void *context = excepthook.context;
    SP__TELL_ACQUIRE(&excepthook);
    sp__word_lock_release(&hook_lock);
    if (fn != NULL)
        (void)sp__os_call_firmly("the excepthook", (void (*)(void))pass_on,
                                 &(struct hook_call){ fn, thread, error, context }, NULL);
    else
        sp__os_complain("Exception in thread %s: task %s: %s: %s (%s:%d)", sp_thread_name(thread), error->task,
                        sp_status_name(error->status), error->message, error->file, error->line);
}

void sp__thread_report(sp_thread *thread)
{
    SP__TELL_ACQUIRE(&thread->state);
    if (sp__registry_take_failed(thread))
        call_excepthook(thread, thread->error);
}

static void free_name(struct sp__thread_name *node)
{
    if (node != NULL && node->text == (const char *)(node + 1)) /* else it is static */
        sp__os_free(node);
}

static void drop_and_free(struct sp__nested_call *last)
{
    sp_thread *thread = sp__container_of(last, sp_thread, last);
    sp__task_drop(thread->task->drop_arg, thread->arg);
    sp__task_drop(thread->task->drop_result, thread->result);
    sp__error_free(thread->error);
    for (struct sp__thread_name *name = thread->name, *older; name != NULL; name = older) {
        older = name->older;
        free_name(name);
    }
    sp__os_free(thread);
}

void sp__thread_ref_down(sp_thread *thread)
{
    if (!sp__ref_down(&thread->refs))
        return;
    thread->last.run = drop_and_free; /* an argument may own a thread, whose argument owns a thread ... */
    sp__call_nested(&thread->last);
}

void sp__thread_add_handle(sp_thread *thread)
{
    if (thread->handles++ == 0)
        sp__ref_up(&thread->refs);
}

sp_thread *sp_thread_retain(sp_thread *thread)
{
    if (thread == NULL)
        return NULL;
    sp__registry_lock();
    sp__thread_add_handle(thread);
    sp__registry_unlock();
    return thread;
}

void sp_thread_release(sp_thread *thread)
{
    if (thread == NULL)
        return;
    sp__registry_lock();
    bool last = --thread->handles == 0;
    /* relaxed: the registry lock orders us with sp__registry_end */
    bool ended = !sp__thread_is_inherited(thread) && sp__load_relaxed(&thread->state) >= SP__THREAD_ENDED;
    if (last && ended)
        sp__registry_note_orphan(thread);
    sp__registry_unlock();
    if (!last)
        return;
    if (ended)
        sp__thread_report(thread);
    sp__thread_ref_down(thread);
}

bool sp_thread_is_alive(const sp_thread *thread)
{
    /* acquire: pairs with the release in sp__thread_leave: who sees it dead sees what it did */
    return thread != NULL && !sp__thread_is_inherited(thread) && sp__is_alive(sp__load_acquire(&thread->state));
}

const char *sp_thread_name(const sp_thread *thread)
{
    /* acquire: pairs with the release in sp_thread_set_name */
    return thread != NULL ? sp__load_acquire(&thread->name)->text : "?";
}

struct sp__thread_name *sp__thread_new_name(const char *text)
{
    size_t size = strlen(text) + 1;
    struct sp__thread_name *node = sp__os_alloc(sizeof *node + size);
    if (node == NULL)
        return NULL;
    *node = (struct sp__thread_name){ .text = memcpy(node + 1, text, size) };
    return node;
}

static void put_first(sp_thread *thread, struct sp__thread_name *node)
{
    node->older = thread->name;
    /* release: publishes the text; pairs with the acquire in sp_thread_name */
    sp__store_release(&thread->name, node);
}

/* Take the oldest name out, if more are kept than may be.  NULL: not so. */
static struct sp__thread_name *drop_oldest(sp_thread *thread)
{
    struct sp__thread_name *last_kept = thread->name;
    for (int i = 0; i < NAMES_KEPT && last_kept != NULL; i++)
        last_kept = last_kept->older;
    if (last_kept == NULL)
        return NULL;
    struct sp__thread_name *oldest = last_kept->older;
    last_kept->older = NULL;
    return oldest;
}

/* Under the registry lock: give the thread this name, unless one with this text is kept, which then comes first again.  Returns
   what is to be freed, or NULL. */
static struct sp__thread_name *give_name(sp_thread *thread, struct sp__thread_name *node)
{
    if (strcmp(thread->name->text, node->text) == 0)
        return node;
    for (struct sp__thread_name **at = &thread->name->older; *at != NULL; at = &(*at)->older) {
        struct sp__thread_name *same = *at;
        if (strcmp(same->text, node->text) != 0)
            continue;
        *at = same->older;
        put_first(thread, same);
        return node;
    }
    put_first(thread, node);
    return drop_oldest(thread);
}

sp_status sp_thread_set_name(sp_thread *thread, const char *name)
{
    if (thread == NULL || name == NULL)
        return SP_VALUE_ERROR;
    struct sp__thread_name *node = sp__thread_new_name(name);
    if (node == NULL)
        return SP_MEMORY_ERROR;
    sp__registry_lock();
    struct sp__thread_name *dropped = give_name(thread, node);
    /* relaxed: a thread is collected only after it has left RUNNING, under the registry lock */
    if (!sp__thread_is_inherited(thread) && sp__load_relaxed(&thread->state) == SP__THREAD_RUNNING) {
        sp__runner_set_name(thread->runner, thread->name->text);
        sp__os_thread_name(&thread->os, name);
    }
    sp__registry_unlock();
    free_name(dropped);
    return SP_OK;
}

uint64_t sp_thread_ident(const sp_thread *thread)
{
    return thread != NULL ? thread->ident : 0;
}

/* A thread of the parent's, in the child of a fork, will not tell any more. */
static bool no_native_id(void *context)
{
    const sp_thread *thread = context;
    return sp__load_relaxed(&thread->native_id) == 0 && /* relaxed: the caller acquires */
           !sp__thread_is_inherited(thread);
}

static void await_native_id(sp_thread *thread)
{
    while (no_native_id(thread))
        sp__park(&(struct sp__wait){ .address = &thread->native_id,
                                     .kind = SP__THREAD_END,
                                     .must_wait = no_native_id,
                                     .context = thread,
                                     .deadline = SP__NEVER,
                                     .spun = true });
}

uint64_t sp_thread_native_id(const sp_thread *thread)
{
    if (thread == NULL)
        return 0;
    sp_thread *held = (sp_thread *)(uintptr_t)thread;
    sp__ref_up(&held->refs); /* that thread may release the handle when it runs */
    await_native_id(held);
    uint64_t id = sp__load_acquire(&held->native_id); /* acquire: pairs with the release in publish_native_id */
    sp__thread_ref_down(held);
    return id;
}

bool sp_thread_is_daemon(const sp_thread *thread)
{
    return thread != NULL && thread->daemon;
}
