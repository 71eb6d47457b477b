/* Calls of user code that nest.

   The end of one object calls user code, a callback or a drop, which may end the next object, which calls user code again:
   users build such chains at any length, and a stack has an end.  So these calls nest SP__MOST_NESTED deep on a thread's
   stack.  A call that would be deeper is put into a list of the thread and made as soon as the innermost call that runs has
   returned, first in, first out.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_NESTED_H
#define SP_BASE_NESTED_H

#include <stdbool.h>
#include <stddef.h>

#include <spool/api.h>

#define SP__MOST_NESTED 8u

/* A call that is to be made once.  It lies in the object that ends, or in memory that `run` frees. */
struct sp__nested_call {
    struct sp__nested_call *next; /* the thread's, while the call is in its list */
    void (*run)(struct sp__nested_call *call);
};

/* Of each thread, and its own alone. */
struct sp__nesting {
    unsigned depth; /* calls that are being made on this stack, at most SP__MOST_NESTED */
    unsigned waits; /* that are making what was put off, each in a call of the one before; as many at most */
    struct sp__nested_call *first; /* those that were put off, oldest first */
    struct sp__nested_call **end;  /* where the next one goes; valid while `first` is not NULL */
};
extern SP_TLS_ struct sp__nesting sp__nesting;

/* Would sp__call_nested() put the call off? */
static inline bool sp__nesting_is_full(void)
{
    return sp__nesting.depth == SP__MOST_NESTED;
}

/* Make the call now, or put it off: then it is made before the outermost call of this thread returns. */
void sp__call_nested(struct sp__nested_call *call);

void sp__run_deferred_slow(void);

/* Make what was put off.  Called before a wait, because the thread may wait for what one of these calls would do.  They may
   wait in turn, and call this again: so it nests SP__MOST_NESTED deep at most, and deeper leaves the rest for later. */
static inline bool sp__has_put_off(void)
{
    return sp__nesting.first != NULL;
}
static inline void sp__run_deferred(void)
{
    if (sp__has_put_off())
        sp__run_deferred_slow();
}

#endif
