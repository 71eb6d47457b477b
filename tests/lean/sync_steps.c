/* Steps with locks, semaphores, events, conditions, barriers, onces, locals.  A lock is never held where the actor waits for
   anything but a lock that comes later, or where code of hooks may run.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <sched.h>

static void pause_a_little(unsigned how)
{
    if (how % 4 == 0)
        sp_sleep(0);
    else if (how % 4 == 1)
        sp_sleep(2e-5);
    else if (how % 4 == 2)
        sched_yield();
}

void step_nap(struct actor *actor, const struct step *step)
{
    double begin = now(), seconds = short_limit(step);
    (void)actor;
    sp_sleep(seconds);
    check_waited(begin, seconds);
}

/* In a child a lock may be lost, with the thread that held it. */
static bool take_lock(unsigned which, const struct step *step)
{
    sp_lock *lock = &world.locks[which];
    double begin = now(), limit = short_limit(step);
    if (!world.in_child && step->c % 2 == 0) {
        sp_lock_acquire(lock);
        return true;
    }
    if (sp_lock_acquire_timeout(lock, limit))
        return true;
    check_waited(begin, limit);
    return false;
}

static void count_guarded(unsigned which)
{
    uint64_t before = world.guarded[which];
    check(sp_lock_locked(&world.locks[which]));
    pause_a_little(which);
    check(world.guarded[which] == before);
    world.guarded[which] = before + 1;
    __atomic_add_fetch(&world.expected[which], 1, __ATOMIC_RELAXED); /* relaxed: a count, read at the end */
}

void step_lock(struct actor *actor, const struct step *step)
{
    unsigned which = step->a % LOCKS, second = which + 1;
    (void)actor;
    if (!take_lock(which, step))
        return;
    count_guarded(which);
    if (step->b % 3 == 0 && second < LOCKS && take_lock(second, step)) {
        count_guarded(second);
        sp_lock_release(&world.locks[second]);
    }
    sp_lock_release(&world.locks[which]);
}

void step_rlock(struct actor *actor, const struct step *step)
{
    unsigned depth = 1 + step->a % 3;
    double limit = world.in_child ? short_limit(step) : SP_FOREVER;
    (void)actor;
    if (!sp_rlock_acquire_timeout(&world.rlock, step->b % 2 == 0 ? limit : short_limit(step)))
        return;
    for (unsigned i = 1; i < depth; i++)
        sp_rlock_acquire(&world.rlock);
    check(sp_rlock_is_owned(&world.rlock) && sp_rlock_locked(&world.rlock));
    world.rguarded++;
    pause_a_little(step->c);
    __atomic_add_fetch(&world.rexpected, 1, __ATOMIC_RELAXED); /* relaxed: a count, read at the end */
    for (unsigned i = 0; i < depth; i++)
        sp_rlock_release(&world.rlock);
}

void step_semaphore(struct actor *actor, const struct step *step)
{
    double begin = now(), limit = world.in_child || step->a % 2 == 0 ? short_limit(step) : SP_FOREVER;
    (void)actor;
    if (!sp_semaphore_acquire_timeout(&world.permits, limit)) {
        check_waited(begin, limit);
        return;
    }
    int holders = count_up(&world.holders);
    check(holders <= PERMITS || world.in_child);
    pause_a_little(step->b);
    count_down(&world.holders);
    check(sp_semaphore_release(&world.permits, 1) == SP_OK);
}

void step_event(struct actor *actor, const struct step *step)
{
    double begin = now(), limit = short_limit(step);
    (void)actor;
    switch (step->a % 4) {
    case 0:
        sp_event_set(&world.event);
        break;
    case 1:
        sp_event_clear(&world.event);
        break;
    case 2:
        if (!sp_event_wait(&world.event, limit))
            check_waited(begin, limit);
        break;
    default:
        (void)sp_event_is_set(&world.event); /* either is right */
    }
}

static bool has_changed(void *context)
{
    return world.changes > *(uint64_t *)context;
}

static void wait_for_change(const struct step *step)
{
    uint64_t seen = world.changes;
    double begin = now(), limit = short_limit(step);
    bool told = step->b % 2 == 0
                    ? sp_condition_wait(&world.condition, &world.condition_lock, limit)
                    : sp_condition_wait_for(&world.condition, &world.condition_lock, has_changed, &seen, limit);
    check(sp_lock_locked(&world.condition_lock));
    check(step->b % 2 == 0 || told == (world.changes > seen));
    if (!told)
        check_waited(begin, limit);
}

void step_condition(struct actor *actor, const struct step *step)
{
    (void)actor;
    if (!sp_lock_acquire_timeout(&world.condition_lock, world.in_child ? short_limit(step) : SP_FOREVER))
        return;
    if (step->a % 3 == 0) {
        wait_for_change(step);
    } else {
        world.changes++;
        if (step->a % 3 == 1)
            sp_condition_notify(&world.condition, 1 + step->b % 3);
        else
            sp_condition_notify_all(&world.condition);
    }
    sp_lock_release(&world.condition_lock);
}

void step_barrier(struct actor *actor, const struct step *step)
{
    unsigned index = 99;
    double begin = now(), limit = short_limit(step);
    (void)actor;
    if (step->a % 8 == 0) {
        sp_barrier_reset(&world.barrier);
    } else if (step->a % 8 == 1) {
        sp_barrier_abort(&world.barrier);
    } else {
        sp_status status = sp_barrier_wait(&world.barrier, &index, limit);
        check(status == SP_OK || status == SP_TIMEOUT || status == SP_BROKEN_BARRIER);
        check(status != SP_OK || index < 3);
        if (status == SP_TIMEOUT)
            check_waited(begin, limit);
    }
    check(sp_barrier_n_waiting(&world.barrier) <= 3);
    (void)sp_barrier_broken(&world.barrier); /* either is right */
}

static void do_once(void *context)
{
    pause_a_little(((const struct step *)context)->b);
    count_up(&world.once_calls);
}

/* In a child it is lost if a thread was in the middle of it. */
void step_once(struct actor *actor, const struct step *step)
{
    (void)actor;
    if (world.in_child)
        return;
    sp_once_call(&world.once, do_once, (void *)(uintptr_t)step);
    check(__atomic_load_n(&world.once_calls, __ATOMIC_RELAXED) == 1); /* relaxed: the once orders it */
}

/* ---- locals ---- */

struct own {
    uint64_t magic, uses;
};

static void begin_own(void *value)
{
    struct own *own = value;
    check(own->magic == 0 && own->uses == 0);
    own->magic = 0x600d;
    count_up(&world.locals);
}

static void end_own(void *value)
{
    static __thread bool has_run_hook; /* once: of those that the hook makes only so many are finished */
    struct own *own = value;
    check(own->magic == 0x600d);
    own->magic = 0xdead;
    count_down(&world.locals);
    if (!has_run_hook) {
        has_run_hook = true;
        hook_run(program.hook_script);
    }
}

static sp_local own_value = SP_LOCAL(struct own, begin_own, end_own);

void step_local(struct actor *actor, const struct step *step)
{
    struct own *own = sp_local_get(&own_value);
    (void)actor;
    check(own != NULL || fact(&world.refuses));
    if (own == NULL)
        return;
    check(own->magic == 0x600d);
    uint64_t uses = ++own->uses;
    pause_a_little(step->a);
    check(own->uses == uses && (sp_local_get(&own_value) == own));
}
