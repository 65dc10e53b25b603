/* Ending processes, and running the helper commands of an instance. */
#define _GNU_SOURCE
#include "instance.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_TIMEOUT_NS (5 * NS_PER_S)

/* Kill every child a process has now. Returns how many. */
int kill_children(pid_t parent)
{
    int killed = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        char path[300], text[512], *after;
        int state_parent = -1;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd == -1 ? -1 : read(fd, text, sizeof text - 1);
        if (fd != -1)
            close(fd);
        if (length <= 0)
            continue;
        text[length] = 0;
        /* proc_pid_stat(5): the command may hold any byte, so count from its last parenthesis. */
        if ((after = strrchr(text, ')')) && sscanf(after + 1, " %*c %d", &state_parent) == 1 && state_parent == parent)
            killed += kill((pid_t)atoi(entry->d_name), SIGKILL) == 0;
    }
    if (proc)
        closedir(proc);
    return killed;
}

/* Reap until we have no child; those that do not end by themselves within the grace are killed. Returns -1
 * when there are still some after that: stuck in the kernel, or forking faster than we kill. */
int reap_all(int64_t grace_ns)
{
    int64_t kill_at = now_ns() + grace_ns, give_up_at = kill_at + REAP_TIMEOUT_NS;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid == -1 && errno == ECHILD)
            return 0;
        if (pid > 0)
            continue;
        int64_t now = now_ns();
        if (now >= give_up_at)
            return -1;
        if (now >= kill_at)
            kill_children(getpid()); /* as a subreaper: every orphan of an instance */
        sleep_ns(NS_PER_MS);
    }
}

/* Run one helper command of an instance to its end. Returns 0 when it exited 0. */
int run_command(struct instance *i, const struct command *command, const char *kind, int in_fd, int out_fd,
                       int err_fd, int64_t deadline_ns, int heed_interrupt)
{
    struct spawn spawn = {
        .argv = command->argv,
        .stdin_fd = in_fd,
        .stdout_fd = out_fd,
        .stderr_fd = err_fd,
        .console_fd = -1,
        .cgroup_fd = -1,
    };
    int pidfd = -1;
    int64_t at = 0;
    siginfo_t info = {0};
    if (spawn_process(&spawn, &pidfd) == -1) {
        fail(i, FAILED, "%s '%s': %s: %s", kind, command->argv[0], spawn.failed_at, strerror(spawn.error));
        return -1;
    }
    while (!pump(pidfd, deadline_ns, &at)) {
        if (now_ns() < deadline_ns && !(interrupted && heed_interrupt))
            continue;
        if (interrupted && heed_interrupt)
            fail(i, FAILED, "interrupted");
        else
            fail(i, TIMEOUT, "%s '%s' did not end in time", kind, command->argv[0]);
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        heed_interrupt = 0;
        deadline_ns = now_ns() + CLEANUP_TIMEOUT_NS;
    }
    waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
    close(pidfd);
    if (spawn.failed_at)
        fail(i, FAILED, "%s '%s': %s: %s", kind, command->argv[0], spawn.failed_at, strerror(spawn.error));
    else if (info.si_code != CLD_EXITED)
        fail(i, FAILED, "%s '%s' was killed by signal %d", kind, command->argv[0], info.si_status);
    else if (info.si_status != 0)
        fail(i, FAILED, "%s '%s' exited %d", kind, command->argv[0], info.si_status);
    else if (command->phase)
        stamp(i, phase_named(command->phase), at);
    return i->status == OK ? 0 : -1;
}
