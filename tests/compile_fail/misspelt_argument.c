/* expect: no member named .ulr|does not refer to any field|field designator .ulr */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_submit(pool, download, .ulr = "x");
    return 0;
}
