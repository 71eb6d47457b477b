/* The names and sentences of sp_status, from one list.

   SPDX-License-Identifier: MIT */
#include <spool/status.h>

#include <spool.h>

#define NAME_ROW(name) [SP_##name] = "SP_" #name,
static const char *const names[] = { SP_STATUS_LIST_(NAME_ROW) };
#undef NAME_ROW

static const char *const texts[] = {
    [SP_OK] = "success",
    [SP_TIMEOUT] = "the time was up before it happened (TimeoutError)",
    [SP_CANCELLED] = "the task was cancelled (concurrent.futures.CancelledError)",
    [SP_INVALID_STATE] = "the future is already done (concurrent.futures.InvalidStateError)",
    [SP_EMPTY] = "no item arrived in time (queue.Empty)",
    [SP_FULL] = "no room came free in time (queue.Full)",
    [SP_SHUT_DOWN] = "the queue or pool was shut down (queue.ShutDown, RuntimeError)",
    [SP_BROKEN_BARRIER] = "the barrier is broken (threading.BrokenBarrierError)",
    [SP_BROKEN_POOL] = "the pool is broken (concurrent.futures.BrokenExecutor)",
    [SP_RUNTIME_ERROR] = "the operation failed (RuntimeError)",
    [SP_VALUE_ERROR] = "an argument has a value that is not allowed (ValueError)",
    [SP_TYPE_ERROR] = "an argument has the wrong size or type (TypeError)",
    [SP_MEMORY_ERROR] = "no memory (MemoryError)",
    [SP_OS_ERROR] = "the operating system refused (OSError)",
    [SP_PICKLING_ERROR] = "the task cannot leave this process (pickle.PicklingError)",
    [SP_DEADLOCK] = "waiting would never end (RuntimeError, deadlock)",
    [SP_INTERRUPTED] = "the wait was interrupted (InterruptedError)",
    [SP_STOP] = "nothing is left (StopIteration)",
};
_Static_assert(sizeof texts / sizeof texts[0] == sizeof names / sizeof names[0], "each status has a sentence");
_Static_assert(sizeof(sp_status) == sizeof(int), "sp_status is an int in every binding");

const char *sp_status_name(sp_status status)
{
    if ((size_t)status < sizeof names / sizeof names[0])
        return names[status];
    return (int)status >= SP_USER_ERROR ? "SP_USER_ERROR" : "SP_UNKNOWN";
}

const char *sp_status_text(sp_status status)
{
    if ((size_t)status < sizeof texts / sizeof texts[0])
        return texts[status];
    return (int)status >= SP_USER_ERROR ? "an error of the program's own (Exception)" : "unknown status";
}

const char *sp_version(void)
{
    return SPOOL_VERSION;
}
