/* L1, L2 with the default pthread mutex.

   SPDX-License-Identifier: MIT */
#define MUTEX_TYPE PTHREAD_MUTEX_DEFAULT
#include "pthread_mutex.h"
