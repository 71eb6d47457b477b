/* sp_raise and the records it makes.

   SPDX-License-Identifier: MIT */
#include "task/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <spool.h>

#include "os/os.h"
#include "park/runner.h"
#include "task/error_box.h"

_Static_assert(sizeof(sp_error) == 40 || sizeof(void *) != 8, "programs are compiled against sp_error");

/* Last resort: what can be said without memory. */
/* clang-format off */
#define LAST_RESORT(name) { SP_##name, 0, "?", "?", 0, "there was no memory to keep the message" },
static sp_error last_resort[] = { SP_STATUS_LIST_(LAST_RESORT)
                                  { SP_USER_ERROR, 0, "?", "?", 0, "there was no memory to keep the message" } };
#undef LAST_RESORT
/* clang-format on */
enum { LAST_RESORTS = sizeof last_resort / sizeof last_resort[0] };

static bool is_last_resort(const sp_error *error)
{
    return error >= last_resort && error < last_resort + LAST_RESORTS;
}

struct sp__error_box *sp__error_box_of(sp_error *error)
{
    return is_last_resort(error) ? NULL : sp__container_of(error, struct sp__error_box, error);
}

static struct sp__error_box *new_box(sp_status status, size_t message_size)
{
    struct sp__error_box *box = sp__os_zalloc(sizeof *box + message_size);
    if (box == NULL)
        return NULL;
    box->error.status = status;
    box->error.message = box->text;
    return box;
}

static sp_error *last_resort_for(sp_status status)
{
    size_t index = (size_t)status < LAST_RESORTS - 1 ? (size_t)status : LAST_RESORTS - 1;
    return &last_resort[index];
}

sp_error *sp__error_new(sp_status status, const char *task, const char *file, int line, const char *message)
{
    size_t size = strlen(message) + 1;
    struct sp__error_box *box = new_box(status, size);
    if (box == NULL)
        return last_resort_for(status);
    memcpy(box->text, message, size);
    box->error.task = task;
    box->error.file = file;
    box->error.line = line;
    return &box->error;
}

sp_error *sp__error_copy(const sp_error *error)
{
    sp_error *copy = sp__error_new(error->status, error->task != NULL ? error->task : "?",
                                   error->file != NULL ? error->file : "?", error->line,
                                   error->message != NULL ? error->message : sp_status_text(error->status));
    if (!is_last_resort(copy))
        copy->os_errno = error->os_errno;
    return copy;
}

void sp__error_free(sp_error *error)
{
    if (error != NULL && !is_last_resort(error))
        sp__os_free(sp__error_box_of(error));
}

/* Replace what the runner raised before. */
static void keep_raised(struct sp__error_box *box)
{
    struct sp__runner *self = sp__self();
    sp__os_free(self->raised);
    self->raised = box;
}

/* ": REASON", which is what a failure of the system adds to a message.  Without _GNU_SOURCE strerror_r is that of POSIX, which
   every C library has: 0, and the text is in the buffer. */
static void explain(int os_errno, char *text, size_t size)
{
    char reason[96];
    if (strerror_r(os_errno, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", os_errno);
    snprintf(text, size, ": %s", reason);
}

/* "MESSAGE" or, with a system error, "MESSAGE: REASON".  A message that cannot be formatted, because of a wide character that
   the locale does not have, say, is its format. */
static void raise_text(const char *file, int line, sp_status status, int os_errno, const char *format,
                       va_list arguments)
{
    char reason[128] = "";
    if (os_errno != 0)
        explain(os_errno, reason, sizeof reason);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    size_t size = (length >= 0 ? (size_t)length : strlen(format)) + strlen(reason) + 1;
    struct sp__error_box *box = new_box(status, size);
    if (box != NULL) {
        if (length >= 0)
            vsnprintf(box->text, size, format, arguments);
        else
            memcpy(box->text, format, strlen(format));
        strcat(box->text, reason);
        box->error.file = file;
        box->error.line = line;
        box->error.os_errno = os_errno;
    }
    keep_raised(box); /* also when there is no memory: an older message must not pass for this one */
}

sp_status sp_raise_at(const char *file, int line, sp_status status, const char *format, ...)
{
    if (sp__self()->task == NULL || status == SP_OK)
        return status;
    va_list arguments;
    va_start(arguments, format);
    raise_text(file, line, status, 0, format, arguments);
    va_end(arguments);
    return status;
}

sp_status sp_raise_errno_at(const char *file, int line, const char *format, ...)
{
    int os_errno = errno;
    if (sp__self()->task != NULL) {
        va_list arguments;
        va_start(arguments, format);
        raise_text(file, line, SP_OS_ERROR, os_errno, format, arguments);
        va_end(arguments);
    }
    errno = os_errno;
    return SP_OS_ERROR;
}

void sp__error_drop_raised(void)
{
    keep_raised(NULL);
}

struct sp__error_box *sp__error_set_aside(void)
{
    struct sp__runner *self = sp__self();
    struct sp__error_box *raised = self->raised;
    self->raised = NULL;
    return raised;
}

void sp__error_restore(struct sp__error_box *before)
{
    keep_raised(before);
}

sp_error *sp__error_take_raised(sp_status status, const char *task, const char *file)
{
    struct sp__runner *self = sp__self();
    struct sp__error_box *box = self->raised;
    if (box == NULL || box->error.status != status) {
        keep_raised(NULL);
        return sp__error_new(status, task, file, 0, sp_status_text(status));
    }
    self->raised = NULL;
    box->error.task = task;
    return &box->error;
}
