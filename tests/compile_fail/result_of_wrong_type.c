/* expect: incompatible pointer type */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    float z;
    if (sp_result_of(square, a, &z, 1.0))
        return 1;
    return 0;
}
