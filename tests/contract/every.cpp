/* The API without its macros, in C++.  Compiled, never run: tests/contract/run.sh.

   SPDX-License-Identifier: MIT */
#include <spool.h>

static bool action(void *) { return true; }
static sp_barrier meeting = SP_BARRIER(4), with_action = SP_BARRIER_ACTION(4, action, nullptr);
struct user { int id; };
static void forget(void *) {}
static sp_local local = SP_LOCAL(user, NULL, forget), local2 = SP_LOCAL(user, nullptr, nullptr);
#ifdef SP_TASK
#error the macros are visible
#endif

static sp_lock lock;
static sp_rlock rlock;
static sp_event event;
static sp_condition cond;
static sp_once once;
static sp_semaphore s = SP_SEMAPHORE(3), b = SP_BOUNDED_SEMAPHORE(3);

static void act(void *) {}
static sp_status run(const void *arg, void *result)
{
    *static_cast<int *>(result) = *static_cast<const int *>(arg);
    return SP_OK;
}

static bool next_input(void *, void *ret_arg)
{
    *static_cast<int *>(ret_arg) = 1;
    return false;
}

int every(int n);
int every(int n)
{
    sp_semaphore x = SP_SEMAPHORE(n);
    (void)x;
    (void)b;
    sp_barrier y = SP_BARRIER(n);
    (void)y;
    (void)meeting;
    (void)with_action;
    (void)local2;
    static_cast<user *>(sp_local_get(&local))->id = 1;
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    sp_rlock_acquire(&rlock);
    sp_semaphore_acquire(&s);
    sp_event_set(&event);
    sp_condition_notify(&cond, 1);
    sp_once_call(&once, act, nullptr);
    sp_task task = {};
    task.name = "run";
    task.arg_size = task.result_size = sizeof(int);
    task.run = run;
    sp_thread_pool_options o = {};
    o.struct_size = sizeof o;
    o.max_workers = 2;
    sp_executor *pool = sp_thread_pool_new(&o);
    sp_future *f = sp_executor_submit(pool, &task, &n);
    int v;
    if (sp_future_result(f, &v, sizeof v, SP_FOREVER) != SP_OK)
        return sp_raise_at(__FILE__, __LINE__, SP_VALUE_ERROR, "no %d", v);
    sp_release_all(&f, 1);
    sp_inline_pool_options seeded = {};
    seeded.struct_size = sizeof seeded;
    seeded.seed = 7;
    sp_executor *here = sp_inline_pool_new(&seeded);
    sp_map_lazy_options bounded = {};
    bounded.struct_size = sizeof bounded;
    bounded.buffersize = 4;
    sp_mapping *mapping = sp_executor_map_lazy(here, &task, next_input, nullptr, &bounded);
    if (sp_mapping_next(mapping, &v, sizeof v, SP_FOREVER) != SP_STOP)
        return sp_mapping_error(mapping) != nullptr;
    sp_mapping_release(mapping);
    sp_executor_release(here);
    return 0;
}
