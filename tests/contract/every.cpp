/* The API without its macros, in C++.  Compiled, never run: tests/contract/run.sh.

   SPDX-License-Identifier: MIT */
#include <spool.h>

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

int every(int n);
int every(int n)
{
    sp_semaphore x = SP_SEMAPHORE(n);
    (void)x;
    (void)b;
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
    return 0;
}
