/* Two threads that take two locks in opposite order, and are told so instead of hanging: the deadlock of "Python Threading
   Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <stdlib.h>

static sp_lock lock_a, lock_b;
static sp_barrier one_lock_each = SP_BARRIER(2);

struct locks {
    sp_lock *first, *second;
};
static sp_status take_both(const struct locks *in, sp_none *ret)
{
    (void)ret;
    SP_HOLD(in->first);
    sp_status status = sp_barrier_wait(&one_lock_each, NULL, SP_FOREVER);
    if (status != SP_OK)
        return status;
    SP_HOLD(in->second); /* the other one has it, and waits for ours */
    return SP_OK;
}
SP_TASK(take_both, struct locks, sp_none);

/* The report names threads and locks; the process aborts when the hook returns, so this one leaves on its own. */
static void deadlock_hook(const char *report, void *context)
{
    (void)report, (void)context;
    static bool told; /* both threads may see the cycle */
    if (__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
        sp_sleep(SP_FOREVER);
    printf("deadlock: two threads wait for each other's lock\n");
    fflush(stdout);
    _Exit(0);
}

int main(void)
{
    sp_set_deadlock_hook(deadlock_hook, NULL);
    sp_auto(sp_thread) one = sp_start(take_both, .first = &lock_a, .second = &lock_b);
    sp_auto(sp_thread) two = sp_start(take_both, .first = &lock_b, .second = &lock_a);
    if (one == NULL || two == NULL)
        sp_barrier_abort(&one_lock_each); /* one is missing: the other must not wait for it */
    if (sp_join(one, NULL, SP_FOREVER) == SP_OK && sp_join(two, NULL, SP_FOREVER) == SP_OK)
        printf("no deadlock\n");
    return 1;
}
