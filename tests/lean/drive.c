/* Runs many programs, each in a process of its own, and says which ended badly: by a signal, with a status, not at all, or
   leaving a process behind.  What failed is run again, and made smaller by leaving out steps.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lean/lean.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MOST = 16, LOG_SIZE = 1 << 16, AGAIN = 40, SHRUNK_MOST = 3 };

extern char **environ;

static struct {
    const char *program, *stacks; /* the program that is run; what shows the stacks of one that hangs */
    uint64_t seed;
    long programs;
    double seconds, minutes, shrink_seconds;
    int jobs, busy;
    bool one_core;
} options = { .programs = 1000, .seconds = 30, .shrink_seconds = 120, .jobs = 2, .stacks = "" };

enum verdict { FINE, CRASHED, HUNG, LEFT };
static const char *const verdicts[] = { "fine", "crashed", "hung", "left a process" };

/* ---- one run ---- */

struct run {
    int log; /* a file in memory, for what the program says */
    char said[LOG_SIZE];
};

static void give_up(const char *what)
{
    perror(what);
    exit(2);
}

/* In a group of its own, so that whatever it forks can be found. */
static pid_t spawn(char *const arguments[], int output, bool leads)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    pid_t child;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, leads ? POSIX_SPAWN_SETPGROUP : 0);
    int error = posix_spawnp(&child, arguments[0], &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        errno = error;
        give_up(arguments[0]);
    }
    return child;
}

/* True: it ended within so many seconds. */
static bool await(pid_t child, double seconds)
{
    int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd ready = { .fd = descriptor, .events = POLLIN };
    if (descriptor < 0)
        give_up("pidfd_open");
    int n = poll(&ready, 1, (int)(seconds * 1000));
    close(descriptor);
    return n > 0;
}

static bool ended_well(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            give_up("waitpid");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void show_stacks(const char *of, pid_t process, int log)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)process);
    if (options.stacks[0] != '\0')
        ended_well(spawn((char *[]){ (char *)options.stacks, (char *)of, number, NULL }, log, false));
}

/* Those of its group that are still there have become this process's children; they have a little time. */
static enum verdict await_group(pid_t group, int log)
{
    double begin = now();
    int status;
    pid_t child;
    while ((child = waitpid(-group, &status, WNOHANG)) >= 0) {
        if (child > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
            return CRASHED;
        if (child == 0 && now() - begin > options.seconds) {
            show_stacks("--group", group, log);
            return LEFT;
        }
        if (child == 0)
            poll(NULL, 0, 1);
    }
    return FINE;
}

static void kill_group(pid_t group)
{
    kill(-group, SIGKILL);
    while (waitpid(-group, NULL, 0) > 0)
        continue;
}

static enum verdict judge(pid_t child, int log)
{
    enum verdict verdict = HUNG;
    if (!await(child, options.seconds))
        show_stacks("--family", child, log);
    else if (!ended_well(child))
        verdict = CRASHED;
    else
        verdict = await_group(child, log);
    kill_group(child);
    return verdict;
}

static void read_log(struct run *run)
{
    ssize_t length = pread(run->log, run->said, sizeof run->said - 1, 0);
    run->said[length > 0 ? length : 0] = '\0';
}

static enum verdict run_once(struct run *run, uint64_t seed, const char *left_out)
{
    char number[32];
    char *arguments[] = { (char *)options.program, number, left_out[0] != '\0' ? (char *)left_out : NULL, NULL };
    snprintf(number, sizeof number, "%" PRIu64, seed);
    if (ftruncate(run->log, 0) != 0 || lseek(run->log, 0, SEEK_SET) != 0)
        give_up("a log");
    enum verdict verdict = judge(spawn(arguments, run->log, true), run->log);
    if (verdict != FINE)
        read_log(run);
    return verdict;
}

/* ---- many runs, side by side ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long next_program, done, failed, shrunk;
static double stop_at;

static struct run *make_run(void)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL || (run->log = memfd_create("said", MFD_CLOEXEC)) < 0)
        give_up("a run");
    return run;
}

/* How often it fails when it is run again; stops at the first failure if that is all that is asked. */
static int fail_again(struct run *run, uint64_t seed, const char *left_out, bool once)
{
    int count = 0;
    for (int i = 0; i < AGAIN && !(once && count > 0); i++)
        count += run_once(run, seed, left_out) != FINE;
    return count;
}

static void list_left_out(const bool *out, char *list, size_t size)
{
    size_t length = 0;
    list[0] = '\0';
    for (unsigned i = 0; i < SCRIPTS * STEPS; i++)
        if (out[i])
            length += (size_t)snprintf(list + length, size - length, "%s%u", length > 0 ? "," : "", i);
}

/* Leave out n steps from `first` on, if it still fails then. */
static void try_without(struct run *run, uint64_t seed, bool *out, unsigned first, unsigned n)
{
    bool wanted[SCRIPTS * STEPS];
    char list[SCRIPTS * STEPS * 4];
    memcpy(wanted, out, sizeof wanted);
    for (unsigned i = first; i < first + n && i < SCRIPTS * STEPS; i++)
        wanted[i] = true;
    list_left_out(wanted, list, sizeof list);
    if (memcmp(wanted, out, sizeof wanted) != 0 && fail_again(run, seed, list, true) > 0)
        memcpy(out, wanted, sizeof wanted);
}

static void shrink(struct run *run, uint64_t seed)
{
    bool out[SCRIPTS * STEPS] = { false };
    char list[SCRIPTS * STEPS * 4];
    double end = now() + options.shrink_seconds;
    program_make(seed);
    for (unsigned n = 16; n > 0; n /= 4)
        for (unsigned first = 0; first < program.n && now() < end; first += n)
            try_without(run, seed, out, first, n);
    list_left_out(out, list, sizeof list);
    printf("made smaller: %s %" PRIu64 " %s\n", options.program, seed, list);
    steps_drop(list);
    program_print();
    steps_keep_all();
}

static void run_again_and_shrink(struct run *run, uint64_t seed, enum verdict verdict)
{
    bool is_slow = verdict == HUNG || verdict == LEFT; /* each run takes the whole limit */
    int count = fail_again(run, seed, "", is_slow);
    printf("again: %d of %d\n", count, is_slow ? 1 : AGAIN);
    if (count > 0 && shrunk++ < SHRUNK_MOST)
        shrink(run, seed);
}

static void report(struct run *run, uint64_t seed, enum verdict verdict)
{
    printf("seed %" PRIu64 " %s\n%s\n", seed, verdicts[verdict], run->said);
    if (options.shrink_seconds > 0)
        run_again_and_shrink(run, seed, verdict);
    fflush(stdout);
}

static bool take_seed(uint64_t *ret_seed)
{
    pthread_mutex_lock(&lock);
    bool more = next_program < options.programs && (stop_at == 0 || now() < stop_at);
    *ret_seed = options.seed + (uint64_t)next_program++;
    pthread_mutex_unlock(&lock);
    return more;
}

static void *work(void *arg)
{
    struct run *run = make_run();
    uint64_t seed;
    (void)arg;
    while (take_seed(&seed)) {
        enum verdict verdict = run_once(run, seed, "");
        pthread_mutex_lock(&lock);
        done++;
        if (verdict != FINE) {
            failed++;
            report(run, seed, verdict);
        }
        pthread_mutex_unlock(&lock);
    }
    close(run->log);
    free(run);
    return NULL;
}

/* ---- what else is on the CPUs ---- */

static void be_busy(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        __asm__ volatile("");
}

static void start_busy(pid_t *children)
{
    for (int i = 0; i < options.busy; i++)
        if ((children[i] = fork()) == 0)
            be_busy();
}

static void stop_busy(const pid_t *children)
{
    for (int i = 0; i < options.busy; i++)
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
}

static void use_one_core(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* ---- main ---- */

static void usage(FILE *to)
{
    fputs("usage: drive [option]... PROGRAM\n"
          "  --programs N        how many (1000), scaled by SPOOL_TEST_SCALE percent\n"
          "  --minutes M         or fewer, when so long has passed\n"
          "  --seed S            the first of their seeds; else SPOOL_TEST_SEED, or the time\n"
          "  --jobs J            at a time (2)\n"
          "  --busy B            beside so many busy processes\n"
          "  --one-core          all on one CPU\n"
          "  --seconds T         of a program that counts as hung (30)\n"
          "  --shrink-seconds T  for making a failure smaller (120); 0: and it is not run again\n"
          "  --stacks SCRIPT     shows the stacks of a process\n",
          to);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {
        { "programs", 1, NULL, 'n' }, { "minutes", 1, NULL, 'm' }, { "seed", 1, NULL, 's' },
        { "jobs", 1, NULL, 'j' },     { "busy", 1, NULL, 'b' },    { "one-core", 0, NULL, '1' },
        { "seconds", 1, NULL, 't' },  { "stacks", 1, NULL, 'k' },  { "shrink-seconds", 1, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    options.seed = (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
    const char *seed = getenv("SPOOL_TEST_SEED");
    if (seed != NULL)
        options.seed = strtoull(seed, NULL, 0);
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        switch (option) {
        case 'n':
            options.programs = atol(optarg);
            break;
        case 'm':
            options.minutes = atof(optarg);
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'j':
            options.jobs = atoi(optarg);
            break;
        case 'b':
            options.busy = atoi(optarg);
            break;
        case '1':
            options.one_core = true;
            break;
        case 't':
            options.seconds = atof(optarg);
            break;
        case 'k':
            options.stacks = optarg;
            break;
        case 'h':
            options.shrink_seconds = atof(optarg);
            break;
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind != count - 1 || options.programs < 1 || options.jobs < 1 || options.jobs > JOBS_MOST ||
        options.busy < 0 || options.busy > JOBS_MOST) {
        usage(stderr);
        exit(2);
    }
    options.program = arguments[optind];
    const char *percent = getenv("SPOOL_TEST_SCALE");
    if (percent != NULL)
        options.programs = (long)((double)options.programs * atof(percent) / 100);
    if (options.programs < 1)
        options.programs = 1;
}

int main(int count, char **arguments)
{
    pthread_t workers[JOBS_MOST];
    pid_t busy[JOBS_MOST];
    read_options(count, arguments);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    if (options.one_core)
        use_one_core();
    printf("seeds from %" PRIu64 "\n", options.seed);
    fflush(stdout);
    start_busy(busy);
    stop_at = options.minutes > 0 ? now() + options.minutes * 60 : 0;
    for (int i = 0; i < options.jobs; i++)
        if (pthread_create(&workers[i], NULL, work, NULL) != 0)
            give_up("a thread");
    for (int i = 0; i < options.jobs; i++)
        pthread_join(workers[i], NULL);
    stop_busy(busy);
    printf("%ld programs, %ld failed\n", done, failed);
    return failed > 0;
}
