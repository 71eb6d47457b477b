/* Tests that fork.  A case is a process of its own (child.h), since a fork copies what cmocka has; it forks, and the process
   that it forks looks at what it finds.  Both say on standard error what is not so; then the case has failed.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_FORK_H
#define SP_TESTS_FORK_H

#include "child.h"

#include <fcntl.h>

#include "base/atomic.h"

#ifndef __has_feature /* clang's way to ask */
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_THREAD__ || __has_feature(thread_sanitizer)
enum { FORK_IS_TESTED = 0 }; /* it does not know threads that a forked child starts */
#else
enum { FORK_IS_TESTED = 1 };
#endif

/* The leak check stumbles over what the threads had that the child does not have. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* In the forked process: if it hangs it ends before its parent is ended for that, and nobody would end it then. */
static inline void fork_limit(void)
{
    enum { SECONDS = 25 };
    alarm(SECONDS);
}

/* The forked process must end with that status. */
static inline void fork_ends(pid_t child, int expected)
{
    int status = -1;
    must(child > 0 && waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

/* Fork here.  True in the child; the parent waits for its end, which must be with that status. */
static inline bool is_forked_child_of_status(int status)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fork_limit();
        return true;
    }
    fork_ends(child, status);
    return false;
}

/* The same, for a good end. */
static inline bool is_forked_child(void)
{
    return is_forked_child_of_status(0);
}

/* Run it in a forked process, which ends without exit handlers. */
static inline void forked(void (*in_child)(void))
{
    if (is_forked_child()) {
        in_child();
        _exit(0);
    }
}

/* The same for a process that ends by exit(). */
static inline void forked_to_exit(void (*in_child)(void))
{
    enum { STATUS = 51 };
    if (is_forked_child_of_status(STATUS)) {
        in_child();
        exit(STATUS);
    }
}

/* The case must end well, and nobody may have said anything. */
static inline void fork_case_passes(const char *program, const char *name)
{
    if (!FORK_IS_TESTED) {
        printf("not under the thread sanitizer: fork, %s\n", name);
        return;
    }
    struct child_end end = child_run(program, name, NULL);
    if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0 || end.length != 0)
        fail_msg("%s: hung %d, status %x, said '%s'", name, end.hung, (unsigned)end.status, end.said);
}

/* ---- a fork waits for who holds a lock of the library ---- */

static struct {
    void (*hold)(void), (*let_go)(void);
    pid_t forking;    /* its thread's number */
    uint32_t is_held; /* atomic */
    uint32_t is_over; /* atomic: fork() has returned in the parent */
    bool too_early;   /* it returned while the lock was held */
} fork_wait;

/* Does the system say that this thread of ours sleeps? */
static inline bool fork_sleeps(pid_t thread)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    must(file >= 0 && read(file, line, sizeof line - 1) > 0);
    close(file);
    const char *state = strrchr(line, ')');
    return state != NULL && state[1] == ' ' && state[2] == 'S';
}

static inline void *fork_hold(void *arg)
{
    fork_wait.hold();
    sp__store_release(&fork_wait.is_held, 1);                                        /* pairs with the acquire below */
    while (!sp__load_acquire(&fork_wait.is_over) && !fork_sleeps(fork_wait.forking)) /* pairs with the release below */
        sched_yield();
    fork_wait.too_early = sp__load_acquire(&fork_wait.is_over); /* as above */
    fork_wait.let_go();
    return arg;
}

/* The child finds the lock free. */
static inline void fork_waits_for(void (*hold)(void), void (*let_go)(void))
{
    fork_wait.hold = hold;
    fork_wait.let_go = let_go;
    fork_wait.forking = getpid(); /* the main thread forks */
    fork_wait.is_held = fork_wait.is_over = 0;
    fflush(NULL);
    pthread_t holder = test_thread(fork_hold, NULL);
    while (!sp__load_acquire(&fork_wait.is_held)) /* pairs with the release above */
        continue;
    pid_t child = fork();
    if (child == 0) {
        fork_limit();
        hold();
        let_go();
        _exit(0);
    }
    sp__store_release(&fork_wait.is_over, 1); /* pairs with the acquire above */
    fork_ends(child, 0);
    test_join(holder);
    must(!fork_wait.too_early);
}

#endif
