/* A race that a thread sanitizer has to find: what the library tells it must not hide it. */
#include <spool.h>

static long counter;

static sp_status count(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < 1000; i++)
        counter++;
    return SP_OK;
}
SP_TASK(count, sp_none, sp_none);

int main(void)
{
    sp_thread *a = sp_start(count, SP_NONE), *b = sp_start(count, SP_NONE);
    bool joined = sp_join(a, NULL, SP_FOREVER) == SP_OK && sp_join(b, NULL, SP_FOREVER) == SP_OK;
    sp_thread_release(a);
    sp_thread_release(b);
    return joined ? 0 : 1;
}
