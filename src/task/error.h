/* Error records: what sp_error points to, who owns it, whether anybody looked.

   SPDX-License-Identifier: MIT */
#ifndef SP_TASK_ERROR_H
#define SP_TASK_ERROR_H

#include <stdbool.h>

#include <spool/status.h>

struct sp__error_box;

/* A new record; task and file must live as long (they are literals of the descriptor or the call).  Never NULL: without
   memory it is the record of last resort of that status. */
sp_error *sp__error_new(sp_status status, const char *task, const char *file, int line, const char *message);
/* A copy of *error with its own message.  Never NULL, as above. */
sp_error *sp__error_copy(const sp_error *error);
/* NULL and records of last resort are fine. */
void sp__error_free(sp_error *error);

/* Take what the runner raised last, if it raised `status`; else make a record with the sentence of `status`. */
sp_error *sp__error_take_raised(sp_status status, const char *task, const char *file);
/* Drop what the runner raised: the task succeeded after all. */
void sp__error_drop_raised(void);

/* What runs now is not on the account of the current task: keep what that raised, drop what this raises. */
struct sp__error_box *sp__error_set_aside(void);
void sp__error_restore(struct sp__error_box *before);

/* The error waits to be looked at. */
void sp__unseen_file(sp_error *error);
/* It was looked at, or is about to be reported.  True: it was unseen until now, and the caller is the first. */
bool sp__unseen_take(sp_error *error);
/* Report all that nobody has looked at.  For the exit of the process. */
void sp__unseen_report_all(void);

#endif
