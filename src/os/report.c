/* What the library has to say when nobody can be given a status: panic, deadlock, starvation, unseen errors.

   The hooks are guarded by a word that is held for a copy of two pointers: the hook itself runs outside of it, so
   that it may call anything, these setters included.

   SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "os/text.h"

struct text_hook {
    void (*fn)(const char *text, void *context); /* guarded by hooks_word; NULL: the default */
    void *context;                               /* guarded by hooks_word */
};

struct error_hook {
    void (*fn)(const sp_error *error, void *context); /* guarded by hooks_word; NULL: the default */
    void *context;                                    /* guarded by hooks_word */
};

static uint32_t
    hooks_word; /* 0 free, 1 held, 2 held and somebody may sleep for it: as sp__word_lock, which is above this room */
static struct text_hook panic_hook, deadlock_hook, starvation_hook;
static struct error_hook unseen_hook;

static void lock_hooks(void)
{
    uint32_t found = 0;
    /* acquire: pairs with the release in unlock_hooks */
    if (sp__cas_acquire(&hooks_word, &found, 1))
        return;
    /* acquire: as above; asleep, for who holds it may have a lower priority than we */
    while (sp__exchange_acquire(&hooks_word, 2) != 0)
        sp__os_futex_wait(&hooks_word, 2, SP__NEVER);
}

static void unlock_hooks(void)
{
    /* release: publishes the hook; pairs with the acquire in lock_hooks */
    if (sp__exchange_release(&hooks_word, 0) == 2)
        sp__os_futex_wake(&hooks_word, 1);
}

const struct sp__fork_handler sp__fork_hooks = { .before = lock_hooks,
                                                 .in_parent = unlock_hooks,
                                                 .in_child = unlock_hooks };

static void set_text_hook(struct text_hook *hook, void (*fn)(const char *, void *), void *context)
{
    lock_hooks();
    *hook = (struct text_hook){ fn, context };
    unlock_hooks();
}

static struct text_hook get_text_hook(const struct text_hook *hook)
{
    lock_hooks();
    struct text_hook copy = *hook;
    unlock_hooks();
    return copy;
}

void sp_set_panic_hook(void (*hook)(const char *sentence, void *context), void *context)
{
    set_text_hook(&panic_hook, hook, context);
}

void sp_set_deadlock_hook(void (*hook)(const char *report, void *context), void *context)
{
    set_text_hook(&deadlock_hook, hook, context);
}

void sp_set_starvation_hook(void (*hook)(const char *report, void *context), void *context)
{
    set_text_hook(&starvation_hook, hook, context);
}

void sp_set_unseen_error_hook(void (*hook)(const sp_error *error, void *context), void *context)
{
    lock_hooks();
    unseen_hook = (struct error_hook){ hook, context };
    unlock_hooks();
}

static void write_stderr(const char *text, size_t size)
{
    int before = sp__os_forbid_cancel();
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);
        if (written <= 0)
            break; /* nobody is left to tell */
        text += written;
        size -= (size_t)written;
    }
    sp__os_allow_cancel(before);
}

void sp__os_complain(const char *format, ...)
{
    struct sp__text line;
    va_list arguments;
    sp__text_init(&line);
    va_start(arguments, format);
    sp__text_add_list(&line, format, arguments);
    va_end(arguments);
    line.bytes[line.length] = '\n'; /* in place of the zero: so there is room for it in any case */
    write_stderr(line.bytes, line.length + 1);
    sp__text_free(&line);
}

/* It must not throw, and cannot be told so. */
static void call_text_hook(const struct text_hook *hook, const char *text)
{
    void *exception = NULL;
    (void)sp__os_call_catching((void (*)(void))hook->fn, text, hook->context, &exception);
    if (exception == NULL)
        return;
    char said[200];
    sp__os_exception_end(exception, said, sizeof said);
    sp__os_complain("spool: a hook for sentences threw a %s; its sentence was: %s", said, text);
    abort();
}

/* The text to the hook; without one, to standard error.  True: there was a hook. */
static bool tell(const struct text_hook *from, const char *what, const char *text)
{
    struct text_hook hook = get_text_hook(from);
    if (hook.fn != NULL)
        call_text_hook(&hook, text);
    else
        sp__os_complain("spool: %s%s", what, text);
    return hook.fn != NULL;
}

void sp__panic(const char *format, ...)
{
    struct sp__text sentence;
    va_list arguments;
    sp__text_init(&sentence);
    va_start(arguments, format);
    sp__text_add_list(&sentence, format, arguments);
    va_end(arguments);
    if (!tell(&panic_hook, "", sentence.bytes))
        abort();
    sp__text_free(&sentence);
}

void sp__deadlock(const char *format, ...)
{
    struct sp__text report;
    va_list arguments;
    sp__text_init(&report);
    va_start(arguments, format);
    sp__text_add_list(&report, format, arguments);
    va_end(arguments);
    (void)tell(&deadlock_hook, "deadlock: ", report.bytes);
    abort();
}

void sp__starvation(const char *report)
{
    (void)tell(&starvation_hook, "starvation: ", report);
}

void sp__unseen_error(const sp_error *error)
{
    lock_hooks();
    struct error_hook hook = unseen_hook;
    unlock_hooks();
    if (hook.fn != NULL)
        (void)sp__os_call_firmly("the hook for errors never looked at", (void (*)(void))hook.fn, error, hook.context);
    else
        sp__os_complain("spool: error never looked at: task %s: %s: %s (%s:%d)", error->task,
                        sp_status_name(error->status), error->message, error->file, error->line);
}
