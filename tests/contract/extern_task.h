/* A task in a header: see extern_user.c.

   SPDX-License-Identifier: MIT */
#include <spool.h>

struct half {
    int number;
};
SP_TASK_EXTERN(halve, struct half, int);
sp_future *submit_from_the_other_file(sp_executor *pool, int number);
