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

/* The count from the last reference on. */
static const uint32_t SP__FOR_GOOD = UINT32_MAX / 2;

/* The same where the destruction runs code of users that may call the object: the references of these calls come and go, and
   none of them is the last one again. */
static inline bool sp__ref_down_for_good(uint32_t *count)
{
    uint32_t seen = sp__load_relaxed(count); /* relaxed: the CAS decides */
    /* acq_rel: as in sp__ref_down */
    while (!sp__cas_acq_rel(count, &seen, seen == 1 ? SP__FOR_GOOD : seen - 1))
        continue;
    return seen == 1;
}

static inline bool sp__ref_is_down_for_good(const uint32_t *count)
{
    return sp__load_acquire(count) >= SP__FOR_GOOD; /* acquire: pairs with the above */
}

#endif
