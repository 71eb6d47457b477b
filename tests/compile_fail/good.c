/* The good lines, which must be silent: without them a case that is rejected proves nothing. */
#include "common.h"
int probe(void);
int probe(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 8);
    sp_auto(sp_executor) plain = sp_thread_pool();
    sp_future *a = sp_submit(pool, square, 7);
    sp_future *b = sp_submit(plain, download, .url = "x", .timeout = 2.0);
    sp_submit(pool, tick, SP_NONE);
    sp_submit(pool, tick);
    int y = 0;
    size_t n = 0;
    if (sp_result(a, &y, 1) || sp_result_of(download, b, &n, 1.5))
        return 1;
    SP_WITH(&lock) { SP_WITH(&lock) { y++; } }
    { SP_HOLD(&lock); SP_HOLD(&lock); y++; }
    return y;
}
