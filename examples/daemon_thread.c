/* A daemon thread whose loop has no end; it dies with the program, which does not wait for it.  Both "Threading and the
   GIL" and "Python Threading Is... Weird" have one.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

static sp_semaphore worked = SP_SEMAPHORE(0); /* a permit for every round of work */

static sp_status background_task(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    for (;;) {
        sp_status status = sp_semaphore_release(&worked, 1);
        if (status != SP_OK)
            return status;
        sp_sleep(0.05);
    }
}
SP_TASK(background_task, sp_none, sp_none);

int main(void)
{
    sp_auto(sp_thread) thread = sp_start_with(SP_THREAD(.name = "background", .daemon = true), background_task);
    if (thread == NULL)
        return 1;
    for (int i = 0; i < 3; i++) {
        sp_semaphore_acquire(&worked);
        printf("Background working...\n");
    }
    printf("Main thread exiting, %s thread %s\n", sp_thread_is_daemon(thread) ? "daemon" : "regular",
           sp_thread_is_alive(thread) ? "alive" : "dead");
    return 0;
}
