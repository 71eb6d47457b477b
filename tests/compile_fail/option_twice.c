/* expect: overwritten|overrides */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_thread_pool(.max_workers = 1, .max_workers = 2);
    return 0;
}
