/* Q2 with a list under nsync's mutex and a condition variable.

   SPDX-License-Identifier: MIT */
#include "nsync_monitor.h"
#include "monitor_list.h"
