/* Two threads that sleep at the same time, and a main that waits for both: the first steps of "Python Threading Is...
   Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct worker {
    const char *name;
};
static sp_status worker(const struct worker *in, sp_none *ret)
{
    (void)ret;
    printf("%s starting\n", in->name);
    sp_sleep(0.2); /* simulates I/O; ten times shorter than in the document */
    printf("%s finished\n", in->name);
    return SP_OK;
}
SP_TASK(worker, struct worker, sp_none);

int main(void)
{
    sp_auto(sp_thread) t1 = sp_start(worker, .name = "Thread-1");
    sp_auto(sp_thread) t2 = sp_start(worker, .name = "Thread-2");
    if (sp_join(t1, NULL, SP_FOREVER) != SP_OK || sp_join(t2, NULL, SP_FOREVER) != SP_OK)
        return 1;
    printf("All done!\n");
    return 0;
}
