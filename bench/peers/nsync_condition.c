/* L4 with nsync's mutex and condition variables.

   SPDX-License-Identifier: MIT */
#include "nsync_monitor.h"
#include "../condition.h"
