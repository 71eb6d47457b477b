/* expect: makes integer from pointer|incompatible pointer to integer */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_submit(pool, square, "7");
    return 0;
}
