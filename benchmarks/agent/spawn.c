/* Creation of one process, with or without isolation.
 *
 * CLONE_VM | CLONE_VFORK: the child borrows our memory until exec, so no page table is copied and the
 * parent resumes exactly when exec has taken effect (or the child has said why not). clone3(2) because
 * CLONE_CLEAR_SIGHAND (Linux 5.5), CLONE_INTO_CGROUP (5.7) and CLONE_NEWTIME exist only there. */
#define _GNU_SOURCE
#include "launch.h"

#include "agent.h"
#include "loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define CLONE_CLEAR_SIGHAND_FLAG 0x100000000ULL
#define CLONE_INTO_CGROUP_FLAG 0x200000000ULL

/* struct clone_args of linux/sched.h up to Linux 5.7; musl ships no kernel headers. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
        cgroup;
};

extern char **environ;

/* How a child that could not exec says so. Shared memory, for a copy-on-write child has no other way; what
 * `where` points to was there before the clone, at the same address for both. */
static struct failure {
    const char *where;
    int error;
} *failure;

static _Noreturn void give_up(const char *where)
{
    failure->error = errno;
    failure->where = where;
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

/* Made before the clone: inside, our ids are the overflow ids. */
static char uid_map[32], gid_map[32];

/* user_namespaces(7): root inside is the caller outside; setgroups must be denied before gid_map when
 * the caller has no CAP_SETGID. */
static void map_ids(void)
{
    if (write_text("/proc/self/setgroups", "deny") == -1)
        give_up("write /proc/self/setgroups");
    if (write_text("/proc/self/uid_map", uid_map) == -1)
        give_up("write /proc/self/uid_map");
    if (write_text("/proc/self/gid_map", gid_map) == -1)
        give_up("write /proc/self/gid_map");
}

/* pivot_root(2), NOTES: with both arguments "." the old root is stacked on the new and then detached. */
static void pivot(const struct launch *isolation)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
        give_up("make / private");
    if (mount(isolation->root, isolation->root, NULL, MS_BIND | MS_REC, NULL) == -1)
        give_up("bind-mount the root");
    if (chdir(isolation->root) == -1)
        give_up("chdir to the root");
    /* Before the old root goes: inside a user namespace a new proc needs a visible one (mount_too_revealing). */
    if (isolation->mount_proc && mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
        give_up("mount /proc");
    if (syscall(SYS_pivot_root, ".", ".") == -1)
        give_up("pivot_root");
    if (umount2(".", MNT_DETACH) == -1)
        give_up("detach the old root");
    if (chdir("/") == -1)
        give_up("chdir /");
}

static void isolate(const struct launch *isolation)
{
    if (isolation->root_change == ROOT_PIVOT)
        pivot(isolation);
    else if (isolation->mount_proc) {
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
            give_up("make / private");
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
            give_up("mount /proc");
    }
    if (isolation->root_change == ROOT_CHROOT && (chroot(isolation->root) == -1 || chdir("/") == -1))
        give_up("chroot");
}

static int child_main(void *argument)
{
    struct spawn *spawn = argument;
    /* Should we be killed, the kernel takes the instance with us. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < spawn->enter_count; i++)
        if (write_text(spawn->enter[i], "0") == -1)
            give_up(spawn->enter[i]);
    if (spawn->isolation && spawn->isolation->namespaces & CLONE_NEWUSER)
        map_ids();
    if (spawn->isolation && spawn->isolation->loopback && loopback_up() == -1)
        give_up("bring the loopback device up");
    if (spawn->isolation)
        isolate(spawn->isolation);
    if (dup2(spawn->stdin_fd, 0) == -1 || dup2(spawn->stdout_fd, 1) == -1 || dup2(spawn->stderr_fd, 2) == -1 ||
        (spawn->console_fd != -1 && dup2(spawn->console_fd, 3) == -1))
        give_up("dup2");
    execve(spawn->argv[0], spawn->argv, spawn->environment ? spawn->environment : environ);
    give_up("exec");
}

/* A copy-on-write child: slower, equally right. */
static long clone3_copying(struct clone3_args *args, int (*entry)(void *), void *argument)
{
    long result = syscall(SYS_clone3, args, sizeof *args);
    if (result == 0)
        _exit(entry(argument));
    return result == -1 ? -errno : result;
}

/* A child on a stack of its own in our memory must not return through our frames, hence a few lines of
 * assembly. Not for a time namespace: before Linux 6.1 a process does not enter its new one while it shares
 * memory with us, and exec does not make up for it. */
static long clone3_call(struct clone3_args *args, int (*entry)(void *), void *argument)
{
#if defined(__x86_64__)
    if (args->flags & CLONE_NEWTIME)
        return clone3_copying(args, entry, argument);
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
    return clone3_copying(args, entry, argument);
#endif
}

void spawn_prepare(void)
{
    failure = mmap(NULL, sizeof *failure, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (failure == MAP_FAILED)
        die("mmap", "shared memory");
    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
}

pid_t spawn_process(struct spawn *spawn, int *pidfd)
{
    struct clone3_args args = {
        /* CLEAR_SIGHAND: until exec the child would run our handlers, in our memory. */
        .flags = CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND_FLAG |
                 (spawn->isolation ? spawn->isolation->namespaces : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    if (spawn->cgroup_fd != -1) {
        args.flags |= CLONE_INTO_CGROUP_FLAG;
        args.cgroup = (uint64_t)spawn->cgroup_fd;
    }
    *failure = (struct failure){0};
    long pid = clone3_call(&args, child_main, spawn);
    if (pid < 0) {
        spawn->error = (int)-pid;
        spawn->failed_at = "clone3";
        return -1;
    }
    spawn->failed_at = failure->where;
    spawn->error = failure->error;
    return (pid_t)pid;
}
