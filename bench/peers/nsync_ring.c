/* Q1 with a ring under nsync's mutex and two condition variables.

   SPDX-License-Identifier: MIT */
#include "nsync_monitor.h"
#include "monitor_ring.h"
