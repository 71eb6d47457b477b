/* Memory: the C library's allocator behind the fault table.

   SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "os/fault.h"
#include "os/os.h"

void *sp__os_alloc(size_t size)
{
    return sp__fault_now() ? NULL : malloc(size > 0 ? size : 1);
}

void *sp__os_zalloc(size_t size)
{
    return sp__fault_now() ? NULL : calloc(1, size > 0 ? size : 1);
}

void *sp__os_zalloc_aligned(size_t alignment, size_t size)
{
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    if (sp__fault_now() || rounded < size)
        return NULL;
    void *memory = aligned_alloc(alignment, rounded != 0 ? rounded : alignment);
    return memory != NULL ? memset(memory, 0, rounded) : NULL;
}

void sp__os_free(void *memory)
{
    free(memory);
}
