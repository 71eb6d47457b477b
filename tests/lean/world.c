/* What the actors share, and what must be left of it at the end.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"
#include "lean/items.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world world;

/* ---- faults ---- */

void say(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1) < 0)
        return;
}

void fault(const char *what, const char *file, int line)
{
    say("fault: %s:%d: not true: %s\n", file, line, what);
    abort();
}

static void on_deadlock(const char *report, void *context)
{
    (void)context;
    say("fault: a deadlock was reported where there is none:\n%s\n", report);
    abort();
}

/* ---- memory and threads of the library, which may be refused ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg);

static int memory_left, threads_left; /* atomic: until the one that is refused; 0: none is */
static _Thread_local bool is_spared;  /* this thread gets all memory that it asks for */

static bool is_refused(int *left)
{
    return __atomic_load_n(left, __ATOMIC_RELAXED) > 0 && count_down(left) == 0; /* relaxed: any call may be the one */
}

static void refuse(int *left, unsigned nth)
{
    note_fact(&world.refuses);
    __atomic_store_n(left, (int)nth, __ATOMIC_RELAXED); /* relaxed: as in is_refused */
}

void refuse_memory(unsigned nth)
{
    refuse(&memory_left, nth);
}

void refuse_thread(unsigned nth)
{
    refuse(&threads_left, nth);
}

void spare_memory(bool spared)
{
    is_spared = spared;
}

static bool memory_is_refused(void)
{
    return !is_spared && is_refused(&memory_left);
}

void *__wrap_malloc(size_t size)
{
    if (!memory_is_refused())
        return __real_malloc(size);
    errno = ENOMEM;
    return NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    if (!memory_is_refused())
        return __real_calloc(n, size);
    errno = ENOMEM;
    return NULL;
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return memory_is_refused() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    return is_refused(&threads_left) ? EAGAIN : __real_pthread_create(ret, attributes, body, arg);
}

char *own_memory(void)
{
    char *memory = __real_malloc(24);
    check(memory != NULL);
    memset(memory, 0x5a, 24);
    return memory;
}

void *calloc_own(size_t size)
{
    void *memory = __real_calloc(1, size);
    check(memory != NULL);
    return memory;
}

void give_back_memory(char *memory)
{
    for (int i = 0; i < 24; i++)
        check(memory[i] == 0x5a);
    memset(memory, 0, 24);
    free(memory);
}

/* ---- hooks of pools ---- */

static int initialized[POOLS]; /* atomic: how often the initializer of each has been called */

static sp_status initialize(void *arg)
{
    const struct pool_plan *plan = arg;
    unsigned nth = (unsigned)count_up(&initialized[plan - program.pools]);
    if (plan->has_hooks)
        hook_run(program.hook_script);
    return nth == plan->broken_at ? sp_raise(SP_USER_ERROR, "initializer %u", nth) : SP_OK;
}

static void finalize(void *arg)
{
    const struct pool_plan *plan = arg;
    if (plan->has_hooks)
        hook_run(program.hook_script);
}

static sp_executor *make_pool(struct pool_plan *plan, unsigned index)
{
    if (plan->is_inline)
        return sp_inline_pool(.seed = index);
    return sp_thread_pool(.max_workers = plan->workers, .idle_seconds = plan->idle,
                          .max_pending = plan->bounded ? 2 : 0, .initializer = initialize, .initializer_arg = plan,
                          .finalizer = finalize, .stack_size = plan->stack, .max_compensation = plan->compensation);
}

/* ---- other hooks ---- */

static void on_unseen_error(const sp_error *error, void *context)
{
    (void)context;
    check(error->status != SP_OK && error->message != NULL);
    hook_run(program.hook_script);
}

static void on_thread_error(sp_thread *thread, const sp_error *error, void *context)
{
    (void)context;
    check(sp_thread_name(thread)[0] != '\0' && error->status != SP_OK);
    hook_run(program.hook_script);
}

static void on_starvation(const char *report, void *context)
{
    (void)context;
    check(report[0] != '\0');
    hook_run(program.hook_script);
}

static bool on_all_arrived(void *context)
{
    (void)context;
    return true;
}

static int is_less(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    return left->key < right->key ? -1 : left->key > right->key;
}

void world_begin(void)
{
    world = (struct world){
        .permits = SP_SEMAPHORE(PERMITS),
        .barrier = SP_BARRIER_ACTION(3, on_all_arrived, NULL),
        .shelf_lock = PTHREAD_MUTEX_INITIALIZER,
        .fuel = FUEL,
    };
    sp_set_deadlock_hook(on_deadlock, NULL);
    sp_set_unseen_error_hook(on_unseen_error, NULL);
    sp_set_excepthook(on_thread_error, NULL);
    sp_set_starvation_hook(on_starvation, NULL);
    for (unsigned i = 0; i < POOLS; i++)
        world.pools[i] = make_pool(&program.pools[i], i);
    for (unsigned i = 0; i < QUEUES; i++)
        world.queues[i] = sp_queue_of(struct item, .maxsize = program.queues[i].maxsize,
                                      .order = program.queues[i].order, .compare = is_less, .drop = item_drop);
    world.exchange = sp_queue_of(struct item, .maxsize = program.queues[0].maxsize, .drop = item_drop);
}

/* ---- the end ---- */

/* Daemons too, which sp_join_all leaves alone, and whatever they have started meanwhile. */
static void join_everybody(void)
{
    sp_thread *threads[64];
    size_t n;
    do {
        check(sp_join_all(SP_FOREVER));
        n = sp_thread_enumerate(threads, 64);
        for (size_t i = 0; i < n && i < 64; i++) {
            if (threads[i] != sp_thread_main())
                check(sp_thread_wait(threads[i], SP_FOREVER) == SP_OK);
            sp_thread_release(threads[i]);
        }
    } while (n > 1);
}

static void release_shared(void)
{
    for (unsigned i = 0; i < SLOTS; i++)
        slot_release(&world.shelf[i]);
    for (unsigned i = 0; i < POOLS; i++)
        sp_executor_release(world.pools[i]);
    for (unsigned i = 0; i < QUEUES; i++)
        sp_queue_release(world.queues[i]);
    sp_queue_release(world.exchange);
}

static void check_counts(void)
{
    for (unsigned i = 0; i < LOCKS; i++)
        check(world.guarded[i] == world.expected[i] && !sp_lock_locked(&world.locks[i]));
    check(world.rguarded == world.rexpected && !sp_rlock_locked(&world.rlock));
    check(world.once_calls <= 1 && world.holders == 0);
    check(world.called <= world.added);
    if (!fact(&world.lost)) {
        check(world.called == world.added);
        check(world.items == 0 && world.results == 0);
    }
    check(world.locals <= 2); /* main's own, and that of the thread that keeps the time for timers, live on */
    notes_check();
}

void world_end(void)
{
    note_fact(&world.closed);
    for (unsigned i = 0; i < POOLS; i++)
        check(sp_shutdown(world.pools[i]) == SP_OK || world.in_child);
    join_everybody();
    /* What is run from now on by drops and hooks makes no more steps: else there would be no end. */
    __atomic_store_n(&world.fuel, 0, __ATOMIC_RELAXED); /* relaxed: all others have ended */
    release_shared();
    join_everybody();
    if (world.in_child)
        return; /* a hook has forked: the rest is the parent's */
    check(sp_thread_active_count() == 1);
    check_counts();
}
