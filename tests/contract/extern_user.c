/* Two files share a task that a header declares: each has its own descriptor, and they count as the same task.

   SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "extern_task.h"

static int other(struct half in)
{
    return in.number;
}
SP_FUNCTION(other, struct half, int);

int main(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *here = sp_submit(pool, halve, 8), *there = submit_from_the_other_file(pool, 7);
    int half = 0;
    int fine = sp_result_of(halve, here, &half, 10) == SP_OK && half == 4;
    fine = fine && sp_result_of(halve, there, &half, 10) == (sp_status)(SP_USER_ERROR + 1) && half == 4;
    fine = fine && strcmp(sp_future_error(there)->message, "7 is odd") == 0;
    fine = fine && sp_result_of(other, here, &half, 10) == SP_TYPE_ERROR;
    sp_future_release(here);
    sp_future_release(there);
    puts(fine ? "fine" : "FAILED");
    return !fine;
}
