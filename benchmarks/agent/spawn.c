/* Creation of one process, with or without isolation.
 *
 * CLONE_VM | CLONE_VFORK: the child borrows our memory until exec, so no page table is copied and the
 * parent resumes exactly when exec has taken effect (or the child has said why not). clone3(2) because
 * CLONE_INTO_CGROUP (Linux 5.7) and CLONE_NEWTIME exist only there. */
#define _GNU_SOURCE
#include "launch.h"

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define CLONE_INTO_CGROUP_FLAG 0x200000000ULL

/* struct clone_args of linux/sched.h up to Linux 5.7; musl ships no kernel headers. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
        cgroup;
};

extern char **environ;

static _Noreturn void give_up(struct spawn *spawn, const char *where)
{
    spawn->error = errno;
    spawn->failed_at = where;
    _exit(EXIT_CANNOT_EXEC);
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written == -1 ? -1 : 0;
}

/* user_namespaces(7): root inside is the caller outside; setgroups must be denied before gid_map when
 * the caller has no CAP_SETGID. The ids were read before the clone: inside they are the overflow ids. */
static void map_ids(struct spawn *spawn, const char *uid_map, const char *gid_map)
{
    if (write_text("/proc/self/setgroups", "deny") == -1)
        give_up(spawn, "write /proc/self/setgroups");
    if (write_text("/proc/self/uid_map", uid_map) == -1)
        give_up(spawn, "write /proc/self/uid_map");
    if (write_text("/proc/self/gid_map", gid_map) == -1)
        give_up(spawn, "write /proc/self/gid_map");
}

/* pivot_root(2), NOTES: with both arguments "." the old root is stacked on the new and then detached. */
static void pivot(struct spawn *spawn, const struct launch *isolation)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
        give_up(spawn, "make / private");
    if (mount(isolation->root, isolation->root, NULL, MS_BIND | MS_REC, NULL) == -1)
        give_up(spawn, "bind-mount the root");
    if (chdir(isolation->root) == -1)
        give_up(spawn, "chdir to the root");
    /* Before the old root goes: inside a user namespace a new proc needs a visible one (mount_too_revealing). */
    if (isolation->mount_proc && mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
        give_up(spawn, "mount /proc");
    if (syscall(SYS_pivot_root, ".", ".") == -1)
        give_up(spawn, "pivot_root");
    if (umount2(".", MNT_DETACH) == -1)
        give_up(spawn, "detach the old root");
    if (chdir("/") == -1)
        give_up(spawn, "chdir /");
}

static void isolate(struct spawn *spawn, const struct launch *isolation)
{
    if (isolation->root_change == ROOT_PIVOT)
        pivot(spawn, isolation);
    else if (isolation->mount_proc) {
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
            give_up(spawn, "make / private");
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
            give_up(spawn, "mount /proc");
    }
    if (isolation->root_change == ROOT_CHROOT && (chroot(isolation->root) == -1 || chdir("/") == -1))
        give_up(spawn, "chroot");
}

struct child_start {
    struct spawn *spawn;
    char uid_map[32], gid_map[32];
};

static int child_main(void *argument)
{
    struct child_start *start = argument;
    struct spawn *spawn = start->spawn;
    /* Should we be killed, the kernel takes the instance with us. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < spawn->enter_count; i++)
        if (write_text(spawn->enter[i], "0") == -1)
            give_up(spawn, spawn->enter[i]);
    if (spawn->isolation && spawn->isolation->namespaces & CLONE_NEWUSER)
        map_ids(spawn, start->uid_map, start->gid_map);
    if (spawn->isolation)
        isolate(spawn, spawn->isolation);
    if (dup2(spawn->stdin_fd, 0) == -1 || dup2(spawn->stdout_fd, 1) == -1 || dup2(spawn->stderr_fd, 2) == -1 ||
        (spawn->console_fd != -1 && dup2(spawn->console_fd, 3) == -1))
        give_up(spawn, "dup2");
    execve(spawn->argv[0], spawn->argv, environ);
    give_up(spawn, "exec");
}

/* A child on a stack of its own in our memory must not return through our frames, hence a few lines of
 * assembly; elsewhere it is a copy-on-write child, which is slower and equally right. */
static long clone3_call(struct clone3_args *args, int (*entry)(void *), void *argument)
{
#if defined(__x86_64__)
    static char stack[64 * 1024] __attribute__((aligned(16))); /* one clone at a time: VFORK suspends us */
    args->flags |= CLONE_VM;
    args->stack = (uint64_t)(uintptr_t)stack;
    args->stack_size = sizeof stack;
    register int (*f)(void *) __asm__("r12") = entry;
    register void *a __asm__("r13") = argument;
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(f), "r"(a), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory");
    return result;
#else
    long result = syscall(SYS_clone3, args, sizeof *args);
    if (result == 0)
        _exit(entry(argument));
    return result == -1 ? -errno : result;
#endif
}

pid_t spawn_process(struct spawn *spawn, int *pidfd)
{
    struct child_start start = {.spawn = spawn};
    snprintf(start.uid_map, sizeof start.uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(start.gid_map, sizeof start.gid_map, "0 %u 1", (unsigned)getegid());
    struct clone3_args args = {
        .flags = CLONE_VFORK | CLONE_PIDFD | (spawn->isolation ? spawn->isolation->namespaces : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    if (spawn->cgroup_fd != -1) {
        args.flags |= CLONE_INTO_CGROUP_FLAG;
        args.cgroup = (uint64_t)spawn->cgroup_fd;
    }
    spawn->failed_at = NULL;
    long pid = clone3_call(&args, child_main, &start);
    if (pid < 0) {
        spawn->error = (int)-pid;
        spawn->failed_at = "clone3";
        return -1;
    }
    return (pid_t)pid;
}
