/* Copying arguments, results and items: most are a word.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_COPY_H
#define SP_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The sizes of one word without a call. */
static inline void sp__copy(void *to, const void *from, size_t size)
{
    if (size == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else if (size == sizeof(uint32_t))
        memcpy(to, from, sizeof(uint32_t));
    else
        memcpy(to, from, size);
}

#endif
