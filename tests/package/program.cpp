/* A C++ user of the installed package.

   SPDX-License-Identifier: MIT */
#include <spool.h>

#include <cstdio>

int main()
{
    sp_event event = {};
    sp_event_set(&event);
    std::printf("spool %s\n", sp_version());
    return sp_event_wait(&event, SP_NOWAIT) ? 0 : 1;
}
