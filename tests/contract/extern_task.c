/* The file that defines the task.

   SPDX-License-Identifier: MIT */
#include "extern_task.h"

sp_status halve(const struct half *in, int *ret_half)
{
    if (in->number % 2 != 0)
        return sp_raise(SP_USER_ERROR + 1, "%d is odd", in->number);
    *ret_half = in->number / 2;
    return SP_OK;
}

sp_future *submit_from_the_other_file(sp_executor *pool, int number)
{
    return sp_submit(pool, halve, .number = number);
}
