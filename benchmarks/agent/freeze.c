/* Freezing a group: `herd`, a number of tasks whose progress anyone can see who maps their counters; `freeze`, which
 * freezes and thaws them on the host and times it.
 *
 * The state is read again and again without a pause: the notification that cgroup.events offers comes at most
 * every 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV, kernel/cgroup/cgroup.c). The longest time between two readings is told. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_TASKS 32768
#define MAX_REPEATS 10000
#define LIMIT_NS (10 * NS_PER_S)

/* --- The herd -------------------------------------------------------------------------------------------------- */

/* The first runs without a pause, the others count and sleep: a group of a thousand that all run would take
 * minutes of CPU time to be seen once. */
static _Noreturn void count_on(volatile int64_t *counter, int running, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) {
        ++*counter;
        if (!running)
            sleep_ns(20 * NS_PER_MS);
    }
    _exit(EXIT_OK);
}

int verb_herd(int argc, char **argv)
{
    int64_t tasks = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--tasks") == 0)
            tasks = parse_integer("--tasks", take_value(argc, argv, &i), 1, MAX_TASKS);
        else
            usage_error("unknown option", argv[i]);
    size_t size = (size_t)tasks * sizeof(int64_t);
    int fd = memfd_create("herd", MFD_CLOEXEC);
    if (fd == -1 || ftruncate(fd, (off_t)size) == -1)
        die("make", "memory to share");
    volatile int64_t *counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid_t *children = calloc((size_t)tasks, sizeof *children), self = getpid();
    if (counters == MAP_FAILED || !children)
        die("allocate", "counters");
    for (int64_t i = tasks - 1; i >= 0; i--) {
        children[i] = fork();
        if (children[i] == 0)
            count_on(&counters[i], i == 0, self);
        if (children[i] == -1)
            die("fork", "a task of the herd");
    }
    hello_begin("herd");
    json_integer("fd", fd);
    json_integer("tasks", tasks);
    json_end();
    wait_for_go();
    for (int64_t i = 0; i < tasks; i++)
        kill(children[i], SIGKILL);
    for (int64_t i = 0; i < tasks; i++)
        while (waitpid(children[i], NULL, 0) == -1 && errno == EINTR)
            ;
    return EXIT_OK;
}

/* --- Freezing -------------------------------------------------------------------------------------------------- */

static struct {
    int version, control, state;
    int64_t tasks, repeats, hold_ns;
    volatile int64_t *counters;
    char **pause, **resume; /* commands in place of writes; NULL-terminated */
} job;

static int open_in(const char *group, const char *name, int flags)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", group, name) >= sizeof path)
        usage_error("too long a path", group);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd == -1)
        die("open", path);
    return fd;
}

/* v1: freezer.state says FREEZING until all are. v2: cgroup.events says "frozen 1" once all are. */
static int is_frozen(void)
{
    char text[256];
    ssize_t length = pread(job.state, text, sizeof text - 1, 0);
    if (length <= 0)
        die("read", "the state of the group");
    text[length] = 0;
    return job.version == 1 ? strncmp(text, "FROZEN", 6) == 0 : strstr(text, "frozen 1") != NULL;
}

static void run_to_its_end(char **command)
{
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        execv(command[0], command);
        _exit(EXIT_CANNOT_EXEC);
    }
    while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    if (pid == -1)
        die("start", command[0]);
    if (status) {
        fprintf(stderr, "isoagent: %s did not end well\n", command[0]);
        exit(EXIT_FAILED);
    }
}

static void order(int frozen)
{
    const char *word = job.version == 1 ? (frozen ? "FROZEN" : "THAWED") : frozen ? "1" : "0";
    char **command = frozen ? job.pause : job.resume;
    if (command)
        run_to_its_end(command);
    else if (pwrite(job.control, word, strlen(word), 0) == -1)
        die("write", word);
}

static int64_t sum(void)
{
    int64_t total = 0;
    for (int64_t i = 0; i < job.tasks; i++)
        total += job.counters[i];
    return total;
}

static void check_time(int64_t begin, const char *what)
{
    if (now_ns() - begin > LIMIT_NS) {
        errno = ETIMEDOUT;
        die("await", what);
    }
}

/* Whether it is frozen, by a look at its state; keeps the longest time between two looks. */
static int look(int64_t *last, int64_t *gap)
{
    int found = is_frozen();
    int64_t at = now_ns();
    if (at - *last > *gap)
        *gap = at - *last;
    *last = at;
    return found;
}

/* When all were seen to be frozen. */
static int64_t await_frozen(int64_t *gap)
{
    int64_t last = now_ns(), begin = last;
    while (!look(&last, gap))
        check_time(begin, "the group to be frozen");
    return last;
}

/* When the first task was seen to have gone on from there; *reported: when the kernel no longer said frozen. */
static int64_t await_thaw(int64_t from, int64_t *reported, int64_t *gap)
{
    int64_t last = now_ns(), begin = last, progress = 0;
    *reported = 0;
    while (!progress || !*reported) {
        if (!progress && job.counters[0] != from)
            progress = now_ns();
        if (!*reported && !look(&last, gap))
            *reported = last;
        check_time(begin, "the thaw");
    }
    return progress;
}

static void freeze_again_and_again(void)
{
    static int64_t freeze[MAX_REPEATS], thaw[MAX_REPEATS], progress[MAX_REPEATS], moved[MAX_REPEATS], gaps[MAX_REPEATS];
    for (int64_t k = 0; k < job.repeats; k++) {
        sleep_ns(40 * NS_PER_MS); /* all have run since */
        int64_t begin = now_ns();
        order(1);
        freeze[k] = await_frozen(&gaps[k]) - begin;
        int64_t first = job.counters[0], all = sum();
        sleep_ns(job.hold_ns);
        moved[k] = sum() - all;
        begin = now_ns();
        order(0);
        progress[k] = await_thaw(first, &thaw[k], &gaps[k]) - begin;
        thaw[k] -= begin;
    }
    json_begin();
    json_string("verb", "froze");
    json_integers("freeze_ns", freeze, (size_t)job.repeats);
    json_integers("thaw_ns", thaw, (size_t)job.repeats);
    json_integers("progress_ns", progress, (size_t)job.repeats);
    json_integers("moved", moved, (size_t)job.repeats);
    json_integers("gap_ns", gaps, (size_t)job.repeats);
    json_end();
}

/* `--pause COUNT WORD...`: the words, with a NULL after them. */
static char **take_command(int argc, char **argv, int *at)
{
    int64_t count = parse_integer(argv[*at], take_value(argc, argv, at), 1, 64);
    if (argc - *at <= count)
        usage_error("fewer words than told follow", "a command");
    char **words = calloc((size_t)count + 1, sizeof *words);
    if (!words)
        die("allocate", "a command");
    memcpy(words, argv + *at + 1, (size_t)count * sizeof *words);
    *at += (int)count;
    return words;
}

/* `freeze --version 1|2 --group DIR --counters FILE --tasks N --repeats K --hold-us H [--pause …] [--resume …]` */
int verb_freeze(int argc, char **argv)
{
    const char *group = NULL, *counters = NULL;
    job.version = 2, job.tasks = 1, job.repeats = 1, job.hold_ns = 50 * NS_PER_MS;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--version") == 0)
            job.version = (int)parse_integer("--version", take_value(argc, argv, &i), 1, 2);
        else if (strcmp(argv[i], "--group") == 0)
            group = take_value(argc, argv, &i);
        else if (strcmp(argv[i], "--counters") == 0)
            counters = take_value(argc, argv, &i);
        else if (strcmp(argv[i], "--tasks") == 0)
            job.tasks = parse_integer("--tasks", take_value(argc, argv, &i), 1, MAX_TASKS);
        else if (strcmp(argv[i], "--repeats") == 0)
            job.repeats = parse_integer("--repeats", take_value(argc, argv, &i), 1, MAX_REPEATS);
        else if (strcmp(argv[i], "--hold-us") == 0)
            job.hold_ns = 1000 * parse_integer("--hold-us", take_value(argc, argv, &i), 0, 3600000000LL);
        else if (strcmp(argv[i], "--pause") == 0)
            job.pause = take_command(argc, argv, &i);
        else if (strcmp(argv[i], "--resume") == 0)
            job.resume = take_command(argc, argv, &i);
        else
            usage_error("unknown option", argv[i]);
    if (!group || !counters)
        usage_error("--group and --counters are needed", "freeze");
    job.control = open_in(group, job.version == 1 ? "freezer.state" : "cgroup.freeze", O_WRONLY);
    job.state = open_in(group, job.version == 1 ? "freezer.state" : "cgroup.events", O_RDONLY);
    int fd = open(counters, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        die("open", counters);
    job.counters = mmap(NULL, (size_t)job.tasks * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (job.counters == MAP_FAILED)
        die("map", counters);
    freeze_again_and_again();
    return EXIT_OK;
}
