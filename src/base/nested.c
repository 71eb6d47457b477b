/* See nested.h.

   SPDX-License-Identifier: MIT */
#include "base/nested.h"

SP_TLS_ struct sp__nesting sp__nesting;

static void put_off(struct sp__nesting *mine, struct sp__nested_call *call)
{
    call->next = NULL;
    *(mine->first != NULL ? mine->end : &mine->first) = call;
    mine->end = &call->next;
}

/* Their nested calls are put off in turn. */
static void run_all(struct sp__nesting *mine)
{
    for (struct sp__nested_call *call; (call = mine->first) != NULL;) {
        mine->first = call->next;
        call->run(call);
    }
}

void sp__run_deferred_slow(void)
{
    struct sp__nesting *mine = &sp__nesting;
    if (mine->waits == SP__MOST_NESTED)
        return;
    mine->waits++;
    run_all(mine);
    mine->waits--;
}

void sp__call_nested(struct sp__nested_call *call)
{
    struct sp__nesting *mine = &sp__nesting;
    if (mine->depth == SP__MOST_NESTED) {
        put_off(mine, call);
        return;
    }
    mine->depth++;
    call->run(call);
    if (mine->depth == SP__MOST_NESTED)
        run_all(mine);
    mine->depth--;
}
