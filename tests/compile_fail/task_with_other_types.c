/* expect: incompatible (pointer )?type|conflicting types|incompatible function pointer */
#include "common.h"
static sp_status wrong(const struct download *in, size_t *out)
{
    *out = in->url ? 1 : 0;
    return SP_OK;
}
SP_TASK(wrong, int, int);
