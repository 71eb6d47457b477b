/* A main that returns without joining: the first pitfall of "Python Threading Is... Weird".  Nothing is lost: the end of
   the process waits for every thread that is no daemon.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

static sp_event main_is_done;

static sp_status long_task(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    (void)sp_event_wait(&main_is_done, SP_FOREVER);
    sp_sleep(0.2); /* and now it only begins */
    printf("the long task is done\n");
    return SP_OK;
}
SP_TASK(long_task, sp_none, sp_none);

int main(void)
{
    sp_auto(sp_thread) thread = sp_start(long_task);
    if (thread == NULL)
        return 1;
    printf("main returns, the long task is %s\n", sp_thread_is_alive(thread) ? "still there" : "gone");
    sp_event_set(&main_is_done);
    return 0; /* no join */
}
