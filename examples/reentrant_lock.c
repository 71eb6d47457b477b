/* A lock that its owner may take again: outer() holds it and calls inner(), which takes it too, as in "Python Threading
   Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

static sp_rlock lock;

static void inner(void)
{
    SP_HOLD(&lock); /* with an sp_lock this would be a deadlock, and be reported as one */
    printf("In inner\n");
}

static void outer(void)
{
    SP_HOLD(&lock);
    printf("In outer\n");
    inner();
    printf("Back in outer, the lock is still %s\n", sp_rlock_is_owned(&lock) ? "ours" : "lost");
}

int main(void)
{
    outer();
    printf("Afterwards it is %s\n", sp_rlock_locked(&lock) ? "held" : "free");
    return 0;
}
