/* expect: unused-result|ignoring return value */
#include "common.h"
int probe(sp_mapping *mapping);
int probe(sp_mapping *mapping)
{
    (void)lock;
    int y;
    sp_map_next(mapping, &y, 1.0);
    return 0;
}
