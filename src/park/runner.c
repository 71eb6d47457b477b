/* Who runs; see runner.h.

   SPDX-License-Identifier: MIT */
#include "park/runner.h"

#include <stddef.h>

#include "base/atomic.h"

static uint64_t last_id; /* atomic, relaxed: ids need to differ, nothing more */
static _Thread_local struct sp__runner *current;
static _Thread_local struct sp__runner foreign; /* of a thread that the library did not start */

static uint64_t fresh_id(void)
{
    /* relaxed: see last_id.  62 bits last for 146 years at one id a nanosecond. */
    return sp__add_relaxed(&last_id, 1) + 1;
}

void sp__runner_init(struct sp__runner *runner, const char *name)
{
    *runner = (struct sp__runner){ .id = fresh_id(), .name = name };
}

void sp__runner_adopt(struct sp__runner *runner)
{
    current = runner;
}

struct sp__runner *sp__self(void)
{
    if (current == NULL) {
        sp__runner_init(&foreign, "foreign thread");
        current = &foreign;
    }
    return current;
}

void sp__runner_push(struct sp__runner *runner, const char *name)
{
    struct sp__runner *outer = sp__self();
    sp__runner_init(runner, name);
    runner->outer = outer;
    runner->hooks = outer->hooks;
    runner->pool = outer->pool;
    runner->stack_bottom = outer->stack_bottom;
    current = runner;
}

void sp__runner_pop(struct sp__runner *runner)
{
    current = runner->outer;
}

int sp__runner_on_stack(uint64_t id)
{
    for (const struct sp__runner *r = sp__self(); r != NULL; r = r->outer)
        if (r->id == id)
            return 1;
    return 0;
}
