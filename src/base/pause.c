/* See pause.h.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"

#ifdef SPOOL_TEST_BUILD
void (*sp__pause_hook)(const char *site);

void sp__pause_set(void (*hook)(const char *site))
{
    sp__store_release(&sp__pause_hook, hook); /* release: pairs with the acquire in sp__pause */
}
#else
typedef int sp__pauses_are_off; /* ISO C forbids an empty translation unit */
#endif
