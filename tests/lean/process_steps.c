/* Steps that concern the process: forks, exits, refusals of the system.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers' own state does not survive the fork of a process with threads. */
#ifndef __has_feature /* clang's way to ask */
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || __has_feature(address_sanitizer) ||                 \
    __has_feature(thread_sanitizer)
enum { FORKS_WORK = 0 };
#else
enum { FORKS_WORK = 1 };
#endif

static void await_child(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) != child)
        check(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        say("child %d: status %x\n", (int)child, (unsigned)status);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What the child does, and how it ends: at once, by exit, or by going on where the fork was. */
static void be_child(const struct actor *actor, const struct step *step)
{
    world.in_child = true;
    world.generation++;
    world.fuel = FUEL / 8;
    if (step->script < SCRIPTS)
        actor_run(&(struct call){
            .place = actor->place, .script = step->script, .inside = actor->inside, .pool = actor->pool });
    /* A daemon may have forked at the very end of the parent's exit: then the C library would wait here for ever. */
    if (step->a % 3 == 0 || fact(&world.daemons))
        _exit(0);
    if (step->a % 3 == 1)
        exit(0);
}

void step_fork(struct actor *actor, const struct step *step)
{
    if (!FORKS_WORK || count_up(&world.forks) > FORKS)
        return;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0)
        be_child(actor, step);
    else
        await_child(child);
}

/* Main leaves, whatever else runs. */
void step_leave(struct actor *actor, const struct step *step)
{
    if (actor->place != IN_MAIN || step->a % 2 != 0)
        return;
    note_fact(&world.closed);
    exit(0);
}

void step_refuse(struct actor *actor, const struct step *step)
{
    (void)actor;
    if (step->a % 3 == 0)
        refuse_thread(1 + step->b % 2);
    else
        refuse_memory(1 + step->b % 8);
}
