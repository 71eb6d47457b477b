/* The memory behind an sp_error; for error.c and unseen.c.

   SPDX-License-Identifier: MIT */
#ifndef SP_TASK_ERROR_BOX_H
#define SP_TASK_ERROR_BOX_H

#include "base/list.h"
#include "task/error.h"

struct sp__error_box {
    sp_error error;         /* set once before publish; error.message is text */
    struct sp__list unseen; /* guarded by the lock of the unseen list; linked: nobody has looked */
    char text[];
};

/* The box of an error, NULL for a record of last resort. */
struct sp__error_box *sp__error_box_of(sp_error *error);

#endif
