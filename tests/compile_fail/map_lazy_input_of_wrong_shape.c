/* expect: incompatible (function )?pointer type */
#include "common.h"
static int next(int *x)
{
    return *x;
}
sp_mapping *probe(sp_executor *pool);
sp_mapping *probe(sp_executor *pool)
{
    (void)lock;
    return sp_map_lazy(pool, square, next, NULL);
}
