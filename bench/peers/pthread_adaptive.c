/* L1, L2 with the adaptive pthread mutex, which spins before it sleeps.

   SPDX-License-Identifier: MIT */
#define MUTEX_TYPE PTHREAD_MUTEX_ADAPTIVE_NP
#include "pthread_mutex.h"
