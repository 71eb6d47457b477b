/* expect: unused-result|ignoring return value */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    int y;
    sp_result(a, &y, 1.0);
    return 0;
}
