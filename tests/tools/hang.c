/* Hangs, for limited_test.sh: two threads and main wait for what never comes.

   SPDX-License-Identifier: MIT */
#include <spool.h>

static sp_event never;
static sp_semaphore none = SP_SEMAPHORE(0);

static sp_status wait_for_an_event(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&never, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_an_event, sp_none, sp_none);

static sp_status wait_for_a_permit(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_semaphore_acquire(&none);
    return SP_OK;
}
SP_TASK(wait_for_a_permit, sp_none, sp_none);

int main(void)
{
    sp_start(wait_for_an_event);
    sp_start(wait_for_a_permit);
    return sp_join_all(SP_FOREVER) ? 0 : 1;
}
