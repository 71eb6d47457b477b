/* Deadlines and sleep.

   SPDX-License-Identifier: MIT */
#include <spool/time.h>

#include "park/deadline.h"
#include "park/park.h"

int64_t sp__deadline_of(double seconds)
{
    if (sp__is_nan(seconds) || seconds <= 0)
        return SP__PASSED;
    double nanoseconds = seconds * 1e9;
    int64_t whole = (int64_t)nanoseconds, now = sp__os_now();
    if ((double)whole < nanoseconds)
        whole++; /* round up: a wait never ends early */
    return whole >= SP__NEVER - now ? SP__NEVER : now + whole;
}

bool sp__deadline_passed(int64_t deadline)
{
    return deadline != SP__NEVER && (deadline == SP__PASSED || sp__os_now() >= deadline);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

void sp_sleep(double seconds)
{
    int64_t deadline = sp__deadline(seconds);
    if (deadline == SP__PASSED) {
        sp__os_yield();
        return;
    }
    char here; /* an address that is nobody else's */
    sp__park(&(struct sp__wait){
        .address = &here, .kind = SP__SLEEP, .must_wait = always, .deadline = deadline, .spun = true });
}

double sp_monotonic(void)
{
    return (double)sp__os_now() * 1e-9;
}
