/* The reference of `make perf`: the least a C program can do to start the agent and hear from it.
 *
 *   plain_loop vfork COUNT PROGRAM            vfork(2) + execv(2)
 *   plain_loop clone3 COUNT PROGRAM ROOT      clone3(2) with six namespaces, pivot_root(2), /proc
 *
 * It shares no code with the agent, on purpose: one clock reading before, one when the first byte has come
 * through a pipe. Prints the latency of each start in nanoseconds, one a line. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void enter_root(const char *root)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount(root, root, NULL, MS_BIND | MS_REC, NULL) ||
        chdir(root) || mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ||
        syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
        _exit(126);
}

static pid_t clone3_namespaces(void)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } args = {
        .flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* One start, from just before the process is made to its first byte; -1 when it failed. */
static int64_t start(char *program, const char *root)
{
    char *const child_argv[] = {program, "ready", NULL};
    int ends[2];
    char byte;
    if (pipe(ends))
        return -1;
    int64_t begin = now();
    pid_t pid = root ? clone3_namespaces() : vfork();
    if (pid == 0) {
        if (root)
            enter_root(root);
        dup2(ends[1], 1);
        execv(program, child_argv);
        _exit(127);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], &byte, 1);
    int64_t end = now();
    waitpid(pid, NULL, 0);
    close(ends[0]);
    return pid > 0 && got == 1 ? end - begin : -1;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const char *root = strcmp(argv[1], "clone3") == 0 ? argv[4] : NULL;
    for (long left = atol(argv[2]); left; left--) {
        int64_t latency = start(argv[3], root);
        if (latency < 0)
            return 1;
        printf("%lld\n", (long long)latency);
        usleep(5000); /* the same rest as between two starts of ours */
    }
    return 0;
}
