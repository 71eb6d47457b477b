/* The reference count of a handle.

   Up is relaxed: whoever retains holds a reference already, so nothing is published by it.  Down is acquire-release:
   every release happens before the destruction by whoever drops the last one.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_REFCOUNT_H
#define SP_BASE_REFCOUNT_H

#include "base/atomic.h"

static inline void sp__ref_up(uint32_t *count)
{
    /* relaxed: the caller's own reference keeps the object; see above */
    sp__add_relaxed(count, 1);
}

/* True for the caller that dropped the last reference and must destroy. */
static inline bool sp__ref_down(uint32_t *count)
{
    /* acq_rel: pairs with the other holders' sp__ref_down; what they did to the object happens before its end */
    return sp__sub_acq_rel(count, 1) == 1;
}

#endif
