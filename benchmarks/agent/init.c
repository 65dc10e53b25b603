/* `init COMMAND [ARGUMENT]...`: PID 1 of a VM guest. Mounts what a Linux program expects, runs the command
 * on the serial lines that are its channels, reaps every orphan, and switches the machine off.
 *
 * The lines are 8250 ports, which every x86 kernel has built in; the console (ttyS0) belongs to the kernel.
 * Nothing is written to the workload's output here, so its first byte is the workload's own; what we have
 * to say goes to its standard error. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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

static pid_t start(char **command, int output, int errors)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    setsid();
    if (dup2(output, STDIN_FILENO) == -1 || dup2(output, STDOUT_FILENO) == -1 || dup2(errors, STDERR_FILENO) == -1)
        _exit(EXIT_CANNOT_EXEC);
    execv(command[0], command);
    dprintf(STDERR_FILENO, "isoagent: execute %s: %s\n", command[0], strerror(errno));
    _exit(EXIT_CANNOT_EXEC);
}

/* Reap until the command itself has ended; its wait status. */
static int await(pid_t child)
{
    int status = 0;
    for (pid_t ended; (ended = wait(&status)) != child;)
        if (ended == -1 && errno != EINTR)
            die("wait for", "the workload");
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

    pid_t child = start(argv + 1, output, errors);
    if (child == -1)
        die("fork", argv[1]);
    int status = await(child);
    if (status)
        tell_failure(errors, status);
    tcdrain(output);
    tcdrain(errors);
    if (status)
        fail_the_machine();
    reboot(RB_AUTOBOOT);
    die("switch off", "the machine");
}
