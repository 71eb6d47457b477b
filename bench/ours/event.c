/* L4 with sp_event.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include "../bench.h"

typedef sp_event the_signal;

static void the_signal_init(the_signal *event)
{
    memset(event, 0, sizeof *event);
}

static inline void the_signal_give(the_signal *event)
{
    sp_event_set(event);
}

static inline void the_signal_take(the_signal *event)
{
    bench_check(sp_event_wait(event, SP_FOREVER), "the wait ended without the event");
    sp_event_clear(event);
}

#include "../signal.h"
