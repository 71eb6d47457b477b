/* Data of a request that every thread has for itself, without handing it from function to function: the thread-local storage
   of "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct request {
    int number;
    const char *user;
};

static sp_local local_data = SP_LOCAL(struct request, NULL, NULL);
static sp_barrier all_set = SP_BARRIER(3);

static void process(void)
{
    const struct request *mine = sp_local_get(&local_data); /* whatever was set in this thread */
    printf("request %d: %s\n", mine->number, mine->user);
}

static sp_status handle_request(const struct request *in, sp_none *ret)
{
    (void)ret;
    struct request *mine = sp_local_get(&local_data);
    if (mine == NULL)
        return SP_MEMORY_ERROR;
    *mine = *in;
    sp_status status = sp_barrier_wait(&all_set, NULL, SP_FOREVER); /* the others have set theirs by now */
    if (status != SP_OK)
        return status;
    process();
    return SP_OK;
}
SP_TASK(handle_request, struct request, sp_none);

int main(void)
{
    sp_thread *threads[] = { sp_start(handle_request, .number = 1, .user = "ann"),
                             sp_start(handle_request, .number = 2, .user = "ben"),
                             sp_start(handle_request, .number = 3, .user = "cem") };
    for (int i = 0; i < 3; i++)
        if (threads[i] == NULL)
            sp_barrier_abort(&all_set); /* one is missing: the others must not wait for it */
    for (int i = 0; i < 3; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    return 0;
}
