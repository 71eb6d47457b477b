/* The order of what happens before main and around a fork, written once.

   SPDX-License-Identifier: MIT */
#ifndef SP_OS_LIFECYCLE_H
#define SP_OS_LIFECYCLE_H

#include <stdbool.h>

/* ---- before main ---- */

/* A constructor of the library: before those of the program.  Otherwise a program that is linked with the static library
   would run its own first.  In what order ours run is for the linker to say: each stands on its own. */
#define SP__CONSTRUCTOR __attribute__((constructor(101)))

/* ---- around a fork ---- */

/* What a room does in the thread that forks; NULL is nothing.

   The child has a copy of the memory as it was at one moment, and of the threads only the one that forked.  A list that
   another thread was changing at that moment can never be walked in the child, and a lock that it held is never released.
   So `before` takes every lock that guards a list which the child goes on to use; what the child begins anew needs none.
   Only locks that are held for a few stores, and never while user code runs: the forking thread therefore holds none of
   them, whatever it forks in. */
struct sp__fork_handler {
    void (*before)(void);
    void (*in_parent)(void);
    void (*in_child)(void);
};

/* The rooms, in the order in which `before` is called, which is the order of their locks (DESIGN.md).  The two others are
   called the other way round: a room finds those below it ready for the child. */
extern const struct sp__fork_handler sp__fork_thread;   /* threads, timers, process exit, the excepthook */
extern const struct sp__fork_handler sp__fork_executor; /* inline pools */
extern const struct sp__fork_handler sp__fork_watches;  /* who is told of the end of a future */
extern const struct sp__fork_handler sp__fork_depots;   /* memory of futures */
extern const struct sp__fork_handler sp__fork_task;     /* errors that nobody has looked at */
extern const struct sp__fork_handler sp__fork_sync;     /* heirs of locks */
extern const struct sp__fork_handler sp__fork_park;     /* runners, the graph of waits, sleepers */
extern const struct sp__fork_handler sp__fork_hooks;    /* panic, deadlock, starvation, unseen errors */

/* Have them called around every fork from now on.  Called before main; and by a thread's first call of the library, for a
   constructor of the program may come before ours.  An errno value. */
int sp__os_watch_forks(void);

/* Is this the child of a fork of which nobody was told?  By _Fork() or a bare system call; or by a
   thread that forks at the end of the process's exit, where the C library forgets all handlers.
   Then what memory says is about the parent. */
bool sp__os_missed_a_fork(void);

#endif
