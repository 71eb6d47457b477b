/* Two threads that need the same two locks, and take them in the same order: the fix of the deadlock in "Python Threading
   Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { TRANSFERS = 10000 };

static sp_lock lock_a, lock_b;
static long balance_a = 1000, balance_b = 1000; /* each guarded by its lock */

static sp_status transfer(const long *amount, sp_none *ret)
{
    (void)ret;
    for (int i = 0; i < TRANSFERS; i++) {
        SP_HOLD(&lock_a); /* always a before b, wherever the money goes */
        SP_HOLD(&lock_b);
        balance_a -= *amount;
        balance_b += *amount;
    }
    return SP_OK;
}
SP_TASK(transfer, long, sp_none);

int main(void)
{
    sp_auto(sp_thread) there = sp_start(transfer, 2);
    sp_auto(sp_thread) back = sp_start(transfer, -2);
    if (sp_join(there, NULL, SP_FOREVER) != SP_OK || sp_join(back, NULL, SP_FOREVER) != SP_OK)
        return 1;
    printf("%d transfers each way, no deadlock: %ld + %ld\n", TRANSFERS, balance_a, balance_b);
    return 0;
}
