/* L4 with a pthread mutex and condition variables.

   SPDX-License-Identifier: MIT */
#include "pthread_monitor.h"
#include "../condition.h"
