/* expect: must not be over-aligned */
#include "common.h"
struct vector {
    _Alignas(32) float x[8];
};
static float sum(struct vector v)
{
    return v.x[0] + v.x[7];
}
SP_FUNCTION(sum, struct vector, float);
int probe(sp_executor *pool);
int probe(sp_executor *pool)
{
    (void)pool;
    (void)lock;
    return 0;
}
