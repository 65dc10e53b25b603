/* `init COMMAND [ARGUMENT]...` or `init --own FILE`: PID 1 of a VM guest. Mounts what a Linux program expects,
 * runs the command on the serial lines that are its channels, reaps every orphan, and switches the machine off.
 *
 * FILE is about a user's workload: for which a kernel's command line is too short. Words that end in NUL: what
 * counts as ready and is to be looked for in here (port, exit, or anything else), the port, the number of words of
 * the command, these words, and its environment. That it is ready is told by a line on its standard error.
 *
 * The lines are 8250 ports, which every x86 kernel has built in; the console (ttyS0) belongs to the kernel.
 * Nothing is written to the workload's output here, so its first byte is the workload's own; what we have
 * to say goes to its standard error. */
#define _GNU_SOURCE
#include "agent.h"
#include "loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <sys/io.h>
#endif

#define OUTPUT_LINE "/dev/ttyS1"
#define ERROR_LINE "/dev/ttyS2"
#define DEBUG_EXIT_PORT 0xf4
#define MAX_FILE (1 << 20)
#define MAX_WORDS 4096
#define PROBE_EVERY_NS NS_PER_MS

/* What to run. */
struct task {
    char **command, **environment; /* environment NULL: the kernel's for init */
    const char *ready;             /* "port", "exit", or what is seen on the serial lines */
    int port;
};

static void mount_at(const char *type, const char *where)
{
    if (mkdir(where, 0755) == -1 && errno != EEXIST)
        die("make", where);
    /* EBUSY: a kernel with CONFIG_DEVTMPFS_MOUNT has mounted /dev itself. */
    if (mount(type, where, type, MS_NOSUID | MS_NOEXEC, NULL) == -1 && errno != EBUSY)
        die("mount", where);
}

/* A line that carries bytes as they are: no echo, no line editing, no translation of newlines. The speed is
 * the highest one: QEMU holds a received byte back for four character times. */
static int open_line(const char *path)
{
    struct termios settings;
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd == -1 || tcgetattr(fd, &settings) == -1)
        die("open", path);
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    cfsetspeed(&settings, B115200);
    if (tcsetattr(fd, TCSANOW, &settings) == -1)
        die("set up", path);
    return fd;
}

static pid_t start(const struct task *task, int output, int errors)
{
    char **command = task->command;
    pid_t child = fork();
    if (child != 0)
        return child;
    setsid();
    if (dup2(output, STDIN_FILENO) == -1 || dup2(output, STDOUT_FILENO) == -1 || dup2(errors, STDERR_FILENO) == -1)
        _exit(EXIT_CANNOT_EXEC);
    execve(command[0], command, task->environment ? task->environment : environ);
    dprintf(STDERR_FILENO, "isoagent: execute %s: %s\n", command[0], strerror(errno));
    _exit(EXIT_CANNOT_EXEC);
}

/* In a line of its own, whatever the workload has begun to write: one write is one piece on a serial line. */
static void tell_ready(int errors, const struct task *task)
{
    if (task->port)
        dprintf(errors, "\nisoagent: port %d accepts\n", task->port);
    else
        dprintf(errors, "\nisoagent: the workload exited 0\n");
}

/* Reap until the command itself has ended, and meanwhile look for its port; its wait status. */
static int await(const struct task *task, pid_t child, int errors)
{
    int status = 0, probing = strcmp(task->ready, "port") == 0;
    for (pid_t ended; (ended = waitpid(-1, &status, probing ? WNOHANG : 0)) != child;) {
        if (ended == -1 && errno != EINTR)
            die("wait for", "the workload");
        if (!probing)
            continue;
        if (loopback_accepts(task->port)) {
            probing = 0;
            tell_ready(errors, task);
        } else if (!ended) {
            sleep_ns(PROBE_EVERY_NS);
        }
    }
    return status;
}

/* A reset would end QEMU with 0. Its isa-debug-exit device ends it with 2 * value + 1 instead: 1 for us. */
static void fail_the_machine(void)
{
#if defined(__x86_64__)
    if (ioperm(DEBUG_EXIT_PORT, 1, 1) == 0)
        outb(0, DEBUG_EXIT_PORT);
#endif
}

static void tell_failure(int errors, int status)
{
    if (WIFSIGNALED(status))
        dprintf(errors, "{\"verb\":\"init\",\"signal\":%d}\n", WTERMSIG(status));
    else
        dprintf(errors, "{\"verb\":\"init\",\"exit\":%d}\n", WEXITSTATUS(status));
}

/* The words of the file, NULL-terminated. */
static char **read_words(const char *path)
{
    static char text[MAX_FILE];
    static char *words[MAX_WORDS + 1];
    size_t count = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, text, sizeof text - 1);
    if (length == -1)
        die("read", path);
    close(fd);
    for (char *at = text; at < text + length && count < MAX_WORDS; at += strlen(at) + 1)
        words[count++] = at;
    return words;
}

static struct task own_task(const char *path)
{
    char **words = read_words(path);
    size_t count = 0;
    int64_t port, command;
    while (words[count])
        count++;
    if (count < 4 || !read_integer(words[1], 0, 65535, &port) ||
        !read_integer(words[2], 1, (int64_t)count - 3, &command))
        usage_error("is not what it should be", path);
    struct task task = {.ready = words[0], .port = (int)port};
    task.command = calloc((size_t)command + 1, sizeof *task.command);
    if (!task.command)
        die("allocate", "command");
    memcpy(task.command, words + 3, (size_t)command * sizeof *words);
    task.environment = words + 3 + command;
    return task;
}

/* What container runtimes do as well: a loopback device that is up, the usual links and /dev/shm. */
static void furnish(void)
{
    static const char *const LINKS[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"fd/0", "/dev/stdin"},
                                           {"fd/1", "/dev/stdout"},
                                           {"fd/2", "/dev/stderr"}};
    if (loopback_up() == -1)
        die("bring up", "the loopback device");
    for (size_t k = 0; k < sizeof LINKS / sizeof *LINKS; k++)
        if (symlink(LINKS[k][0], LINKS[k][1]) == -1 && errno != EEXIST)
            die("make", LINKS[k][1]);
    if ((mkdir("/dev/shm", 01777) == -1 || chmod("/dev/shm", 01777) == -1) && errno != EEXIST)
        die("make", "/dev/shm");
}

int verb_init(int argc, char **argv)
{
    if (argc < 2)
        usage_error("a command is missing", "init");
    if (getpid() != 1)
        usage_error("is for PID 1 of a VM guest only: it switches the machine off", "init");
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    mount_at("devtmpfs", "/dev");
    int output = open_line(OUTPUT_LINE), errors = open_line(ERROR_LINE);
    dup2(errors, STDERR_FILENO); /* what die() says is for the host to see, not for the kernel's console */

    struct task task = {.command = argv + 1, .ready = "output"};
    if (strcmp(argv[1], "--own") == 0 && argc == 3) {
        task = own_task(argv[2]);
        furnish();
    }
    pid_t child = start(&task, output, errors);
    if (child == -1)
        die("fork", task.command[0]);
    int status = await(&task, child, errors);
    if (status)
        tell_failure(errors, status);
    else if (strcmp(task.ready, "exit") == 0)
        tell_ready(errors, &task);
    tcdrain(output);
    tcdrain(errors);
    if (status)
        fail_the_machine();
    reboot(RB_AUTOBOOT);
    die("switch off", "the machine");
}
