/* What every platform offers.  Functions that can fail return an errno value, 0 for success, and write their outputs on
   success only; they are counted by the fault table.  Times are int64 nanoseconds of the monotonic clock.

   SPDX-License-Identifier: MIT */
#ifndef SP_OS_OS_H
#define SP_OS_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spool/status.h>

/* ---- memory.c: NULL when there is none; sizes of 0 are served as 1 ---- */
void *sp__os_alloc(size_t size);
void *sp__os_zalloc(size_t size);
/* alignment: a power of two. */
void *sp__os_alloc_aligned(size_t alignment, size_t size);
void *sp__os_zalloc_aligned(size_t alignment, size_t size);
/* Have this memory, not touched yet, come in large pages if the system has them.  A wish. */
void sp__os_prefer_large_pages(void *memory, size_t size);
/* Have the small pages of this memory stay small.  A wish. */
void sp__os_prefer_small_pages(void *memory, size_t size);
/* What is in this memory is not needed any more: the whole pages in it cost nothing until they are touched again.  Where the
   system refuses, they stay. */
void sp__os_give_up_pages(void *memory, size_t size);
/* Is memory to be recycled?  No under a checker that wants to see every block come and go: then it is allocated and freed
   one by one.  In test builds also when SPOOL_TEST_PLAIN_MEMORY is set. */
bool sp__os_recycles(void);
void sp__os_free(void *memory);

/* ---- tell.c ---- */
/* Is this a program with a thread sanitizer that does not see the library?  See base/annotate.h. */
bool sp__os_is_watched(void);

/* ---- clock.c ---- */
int64_t sp__os_now(void);

/* ---- futex.c: words are private to the process ---- */
#define SP__NEVER INT64_MAX
/* Sleep while *word == expected, until woken, until `deadline` (absolute; SP__NEVER: no limit), or for no reason.  Where the
   system refuses futexes, for a millisecond at most.
   Returns ETIMEDOUT when the deadline has passed, else 0: the caller looks at the word again in either case. */
int sp__os_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline);
/* Wake up to `count` sleepers.  `word` is used as a number: it may point to memory that is gone. */
void sp__os_futex_wake(const uint32_t *word, int count);

/* ---- traits.c ---- */
/* CPUs, scheduling and signal mask of a thread, or some of them, for others to take over; counted. */
struct sp__os_traits;
/* CPUs and scheduling that a thread made by the caller would inherit, but SCHED_OTHER instead of real time, and the signal mask
   if it is asked for; NULL: no memory. */
struct sp__os_traits *sp__os_traits_of_maker(bool with_signals);
/* The caller's signal mask alone; NULL: no memory.  One system call. */
struct sp__os_traits *sp__os_traits_signals(void);
/* CPUs and scheduling of the main thread; NULL: no memory. */
struct sp__os_traits *sp__os_traits_of_main(void);
/* NULL is fine for both. */
struct sp__os_traits *sp__os_traits_retain(struct sp__os_traits *traits);
void sp__os_traits_release(struct sp__os_traits *traits);
/* Have the calling thread take them over, as far as the system allows. */
void sp__os_traits_take(const struct sp__os_traits *traits);

/* ---- thread.c ---- */
struct sp__os_thread {
    pthread_t handle; /* atomic; stored by the starter and by the thread itself, whichever comes first; both the same */
    void (*run)(void *arg);
    void *arg;
    struct sp__os_traits *traits; /* what it takes over before it runs; set by the start, NULL from then on */
};

struct sp__os_thread_options {
    size_t stack_size;  /* bytes; 0: the system's default; rounded up to the page and to the system's minimum */
    bool block_signals; /* all but the synchronous ones (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT) */
    /* What it has instead of what the caller has; signals are blocked until it has theirs.  NULL: nothing. */
    struct sp__os_traits *traits;
};

/* pre: thread->run and thread->arg are set, *thread lives until the join.  The stack has a guard page. */
int sp__os_thread_start(struct sp__os_thread *thread, const struct sp__os_thread_options *options);
/* Wait until the thread is gone.  pre: it was not joined before, and is not the calling thread. */
void sp__os_thread_join(struct sp__os_thread *thread);
/* The same without waiting.  False: it is not gone yet. */
bool sp__os_thread_try_join(struct sp__os_thread *thread);
/* Name the calling thread for the system's tools: the first 15 bytes, cut where a UTF-8 character begins. */
void sp__os_thread_name_self(const char *name);
/* The same for another thread.  pre: it was started and not joined. */
void sp__os_thread_name(struct sp__os_thread *thread, const char *name);
/* Make *thread name the calling thread, so that it can be given a name.  It is never joined. */
void sp__os_thread_this(struct sp__os_thread *thread);
bool sp__os_is_main_thread(void);
/* The system's number of the calling thread. */
uint64_t sp__os_thread_id(void);
/* False: this process has no thread of that number any more.  The system may have given the number to another thread. */
bool sp__os_thread_exists(uint64_t id);
/* The number of threads that the process has; 0 when it cannot be told. */
unsigned sp__os_thread_count(void);

/* Until sp__os_allow_cancel a pthread_cancel() of the calling thread stays pending.  Around every call of the system that is
   a cancellation point: no call of the library is one. */
int sp__os_forbid_cancel(void);
void sp__os_allow_cancel(int before);

/* Call `handler(argument)` if the thread is ended between the two by pthread_exit() or pthread_cancel(); the frames above
   are gone by then, those below follow.  With SP__END_UNWIND(true) it is called there, too.  They are one block. */
#define SP__ON_UNWIND(handler, argument) pthread_cleanup_push(handler, argument)
#define SP__END_UNWIND(call) pthread_cleanup_pop(call)
/* Lowest address of the calling thread's stack, above the guard page, and its size from there; 0 when it cannot be told. */
uintptr_t sp__os_stack_bottom(size_t *ret_size);

/* ---- catch.c ---- */
/* What fn(a, b) returns; or, with *ret_exception set and else untouched, it threw: then the exception is the caller's, to be
   given to one of the next two.  fn is any function of two arguments, or one, that are pointers. */
int sp__os_call_catching(void (*fn)(void), const void *a, const void *b, void **ret_exception);
/* Catch it for good, and say what it was. */
void sp__os_exception_end(void *caught, char *text, size_t size);
/* Let it go on to the callers of the caller, who has put everything in order. */
_Noreturn void sp__os_exception_go_on(void *caught);
/* What fn(a, b) returns, which must not throw: misuse, and then the exception ends here, and -1 is returned. */
int sp__os_call_firmly(const char *whose, void (*fn)(void), const void *a, const void *b);

/* ---- cpu.c, cgroup.c ---- */
/* CPUs that the affinity mask allows; 0 when it cannot be told. */
unsigned sp__os_affinity_cpus(void);
/* CPUs that the cgroup quota of the process allows, rounded up; 0: no quota.  The files are parameters for the tests.
   An errno value: there was no memory, or no descriptor, to find out. */
int sp__os_cgroup_cpus(const char *cgroup_file, const char *mountinfo_file, unsigned *ret_cpus);
/* The whole file as one string, to be freed with sp__os_free; NULL when it cannot be read (errno). */
char *sp__os_read_file(const char *path);

/* ---- lifecycle.c ---- */
int sp__os_at_exit(void (*handler)(void));
/* As if main had returned 0. */
_Noreturn void sp__os_exit(void);
/* Call the handler with this argument when the calling thread ends, in the next round of its key destructors; again for a
   thread that asks again while it ends.  The handler is one for the whole process; of the arguments of a thread the last
   counts, NULL is none.  An errno value. */
int sp__os_at_thread_end(void (*handler)(void *argument), void *argument);
/* In that handler: true if another key of the thread has a value, so that a user's destructor may follow. */
bool sp__os_other_keys_left(void);
/* In how many rounds of key destructors the handler may be called: one less where a checker has gone in the last round. */
unsigned sp__os_end_rounds(void);
/* Call `handler` when the calling thread calls exit(), before any handler of atexit().  It is also called when the thread
   ends, but for the main thread.  False: this system has nothing like that. */
bool sp__os_before_exit(void (*handler)(void *argument), void *argument);
void sp__os_yield(void);

/* ---- copies.c ---- */
/* Panic when another copy of the library is loaded in this process: locks of one mean nothing to the other. */
void sp__os_refuse_copies(void);

/* ---- report.c; needs little stack, see text.h ---- */
#define SP__PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
/* Misuse: one sentence to the panic hook; the default hook prints it and aborts.  With a hook that returns, this returns
   and the caller leaves the misused operation without effect. */
void sp__panic(const char *format, ...) SP__PRINTF(1, 2);
/* A wait that can never end: the report to the deadlock hook, then abort. */
_Noreturn void sp__deadlock(const char *format, ...) SP__PRINTF(1, 2);
/* A pool whose workers all wait while tasks are queued: the report to the starvation hook; the default prints it. */
void sp__starvation(const char *report);
/* An error that nobody looked at, to the unseen-error hook; the default prints one line. */
void sp__unseen_error(const sp_error *error);
/* Format to standard error in one write. */
void sp__os_complain(const char *format, ...) SP__PRINTF(1, 2);

#endif
