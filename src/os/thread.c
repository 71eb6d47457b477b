/* Threads of the system: explicit stack size, guard page and signal mask; nothing else is set, nothing is hidden.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "os/os.h"

enum { SMALLEST_STACK = 16 * 1024 }; /* what every call needs at most, README.md; musl's own minimum is 2 KiB */
enum { OS_NAME_BYTES = 15 };         /* prctl(2), PR_SET_NAME: 16 with the final zero */

static void *enter(void *argument)
{
    struct sp__os_thread *thread = argument;
    /* relaxed: whoever else reads it was told of the thread afterwards, by it or by its starter */
    sp__store_relaxed(&thread->handle, pthread_self());
    if (thread->traits != NULL) {
        sp__os_traits_take(thread->traits);
        sp__os_traits_release(thread->traits);
        thread->traits = NULL;
    }
    thread->run(thread->arg);
    return NULL;
}

static int add_thread_locals(struct dl_phdr_info *object, size_t size, void *context)
{
    size_t *sum = context;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_TLS)
            *sum += object->dlpi_phdr[i].p_memsz + object->dlpi_phdr[i].p_align;
    return 0;
}

/* Bytes of the thread-local variables of all objects that the program began with: the C library takes them from the stack. */
static size_t thread_locals_size(void)
{
    static size_t known;                    /* atomic: 0 is not known yet; 1 is added, so that it never is */
    size_t size = sp__load_relaxed(&known); /* relaxed: nothing but the number is published */
    if (size == 0) {
        size = 1;
        dl_iterate_phdr(add_thread_locals, &size);
        sp__store_relaxed(&known, size); /* relaxed: as above */
    }
    return size;
}

/* The caller has this much, whatever other thread-local variables there are. */
static size_t usable_stack_size(size_t wanted)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), minimum = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (minimum < SMALLEST_STACK)
        minimum = SMALLEST_STACK;
    if (wanted < minimum)
        wanted = minimum;
    wanted = wanted > SIZE_MAX - thread_locals_size() ? SIZE_MAX : wanted + thread_locals_size();
    return wanted > SIZE_MAX - page ? SIZE_MAX / page * page : (wanted + page - 1) / page * page;
}

/* Block all signals but those that a thread raises by its own doing: blocked, they would kill without a handler. */
static void block_asynchronous_signals(sigset_t *ret_before)
{
    static const int synchronous[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof synchronous / sizeof synchronous[0]; i++)
        sigdelset(&blocked, synchronous[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, ret_before);
}

int sp__os_thread_start(struct sp__os_thread *thread, const struct sp__os_thread_options *options)
{
    pthread_attr_t attributes;
    pthread_t handle;
    sigset_t before;

    if (sp__fault_now())
        return EAGAIN;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    if (options->stack_size != 0)
        error = pthread_attr_setstacksize(&attributes, usable_stack_size(options->stack_size));
    if (error == 0)
        error = pthread_attr_setguardsize(&attributes, (size_t)sysconf(_SC_PAGESIZE));
    if (error == 0) {
        bool blocks = options->block_signals || options->traits != NULL;
        thread->traits = sp__os_traits_retain(options->traits);
        if (blocks) /* the new thread inherits the mask: no moment in which it would take one */
            block_asynchronous_signals(&before);
        error = pthread_create(&handle, &attributes, enter, thread);
        if (blocks)
            pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (error != 0)
            sp__os_traits_release(options->traits);
    }
    pthread_attr_destroy(&attributes);
    if (error == 0)
        sp__store_relaxed(&thread->handle, handle); /* relaxed: as in enter */
    return error;
}

static pthread_t handle_of(const struct sp__os_thread *thread)
{
    return sp__load_relaxed(&thread->handle); /* relaxed: as in enter */
}

void sp__os_thread_join(struct sp__os_thread *thread)
{
    int before = sp__os_forbid_cancel();
    pthread_join(handle_of(thread), NULL); /* cannot fail: joined once, by another thread */
    sp__os_allow_cancel(before);
}

bool sp__os_thread_try_join(struct sp__os_thread *thread)
{
    int before = sp__os_forbid_cancel();
    int error = pthread_tryjoin_np(handle_of(thread), NULL);
    sp__os_allow_cancel(before);
    return error == 0;
}

int sp__os_forbid_cancel(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

void sp__os_allow_cancel(int before)
{
    pthread_setcancelstate(before, NULL);
}

static void cut_name(const char *name, char cut[OS_NAME_BYTES + 1])
{
    size_t length = strnlen(name, OS_NAME_BYTES + 1);
    if (length > OS_NAME_BYTES) {
        length = OS_NAME_BYTES;
        while (length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80)
            length--; /* name[length] continues a character: leave out its beginning too */
    }
    memcpy(cut, name, length);
    cut[length] = '\0';
}

void sp__os_thread_name_self(const char *name)
{
    char cut[OS_NAME_BYTES + 1];
    cut_name(name, cut);
    pthread_setname_np(pthread_self(), cut); /* a name is a courtesy: no failure of it matters */
}

void sp__os_thread_name(struct sp__os_thread *thread, const char *name)
{
    char cut[OS_NAME_BYTES + 1];
    cut_name(name, cut);
    int before = sp__os_forbid_cancel(); /* it writes to a file */
    pthread_setname_np(handle_of(thread), cut);
    sp__os_allow_cancel(before);
}

void sp__os_thread_this(struct sp__os_thread *thread)
{
    sp__store_relaxed(&thread->handle, pthread_self()); /* relaxed: as in enter */
}

bool sp__os_is_main_thread(void)
{
    return sp__os_thread_id() == (uint64_t)getpid();
}

uint64_t sp__os_thread_id(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

bool sp__os_thread_exists(uint64_t id)
{
    return syscall(SYS_tgkill, getpid(), (pid_t)id, 0) == 0 || errno != ESRCH;
}

unsigned sp__os_thread_count(void)
{
    struct stat tasks;
    if (sp__fault_now() || stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3)
        return 0;
    return (unsigned)tasks.st_nlink - 2; /* a directory for each, itself, its parent's */
}

uintptr_t sp__os_stack_bottom(size_t *ret_size)
{
    pthread_attr_t attributes;
    void *bottom = NULL;

    if (sp__fault_now() || pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    if (pthread_attr_getstack(&attributes, &bottom, ret_size) != 0)
        bottom = NULL;
    pthread_attr_destroy(&attributes);
    return (uintptr_t)bottom;
}
