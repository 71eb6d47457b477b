/* Q1 with a ring under a pthread mutex and two condition variables.

   SPDX-License-Identifier: MIT */
#include "pthread_monitor.h"
#include "monitor_ring.h"
