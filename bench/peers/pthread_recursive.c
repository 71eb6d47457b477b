/* L3 with the recursive pthread mutex.

   SPDX-License-Identifier: MIT */
#define MUTEX_TYPE PTHREAD_MUTEX_RECURSIVE
#include "pthread_mutex.h"
