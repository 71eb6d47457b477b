/* Windows that a test holds open.

   Between two steps that another thread may come between stands SP__PAUSE("what was done"): nothing in the library that is
   installed; in a test build (SPOOL_TEST_BUILD) a look at a hook, by which a test stops a thread there, has another thread do
   whatever must not do harm, and lets the first go on.  See tests/pause.h.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_PAUSE_H
#define SP_BASE_PAUSE_H

#ifdef SPOOL_TEST_BUILD

#include <stddef.h>

#include "base/atomic.h"

/* Call this at each site, in the thread that comes there; NULL: nothing. */
void sp__pause_set(void (*hook)(const char *site));

extern void (*sp__pause_hook)(const char *site); /* atomic */

static inline void sp__pause(const char *site)
{
    /* acquire: pairs with the release in sp__pause_set; what the test has prepared may be read */
    void (*hook)(const char *site) = sp__load_acquire(&sp__pause_hook);
    if (hook != NULL)
        hook(site);
}

#define SP__PAUSE(site) sp__pause(site)

#else

#define SP__PAUSE(site) ((void)0)

#endif
#endif
