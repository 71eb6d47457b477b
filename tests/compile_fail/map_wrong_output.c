/* expect: incompatible pointer type */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    int in[2] = { 1, 2 };
    double out[2];
    if (sp_map(pool, square, in, out, 2))
        return 1;
    return 0;
}
