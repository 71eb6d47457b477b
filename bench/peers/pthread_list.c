/* Q2 with a list under a pthread mutex and a condition variable.

   SPDX-License-Identifier: MIT */
#include "pthread_monitor.h"
#include "monitor_list.h"
