/* What the tests of windows share: one call in a thread of its own, and objects whose memory is gone when they are freed.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_WINDOW_H
#define SP_TESTS_WINDOW_H

#include <sys/mman.h>

#include "conformance/bunch.h"
#include "pause.h"

/* One thread that makes a call. */
typedef struct bunch one;

static inline void one_start(one *thread, void (*body)(void *context), void *context)
{
    bunch_start(thread, 1, body, context);
}

/* It is asleep, in the parking lot; it comes to no window any more on its way there. */
static inline void one_start_asleep(one *thread, void (*body)(void *context), void *context)
{
    struct pause *asleep = pause_at("park: asleep");
    one_start(thread, body, context);
    pause_end(asleep);
}

/* Start a call with a limit that stops in a window.  If the thread loses its CPU for so long that the time is up before it waits,
   the call comes to nothing and is made again. */
static inline void one_start_into(one *thread, void (*body)(void *context), void *context, const struct pause *window)
{
    for (;;) {
        one_start(thread, body, context);
        test_await(pause_is_reached(window) || bunch_finished(thread) == 1);
        if (pause_is_reached(window))
            return;
        bunch_join(thread);
    }
}

/* Its call returns, though others stand in their windows. */
static inline void one_end(one *thread)
{
    test_await(bunch_finished(thread) == 1);
    bunch_join(thread);
}

enum { PAGE = 64 * 1024 }; /* bytes; a multiple of every page size */

/* Memory of zeros. */
static inline void *page_new(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    return page;
}

/* Whoever touches it now crashes.  The address stays taken: nothing else comes to lie there. */
static inline void page_free(void *page)
{
    assert_int_equal(mprotect(page, PAGE, PROT_NONE), 0);
}

#endif
