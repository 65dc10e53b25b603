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

struct process {
    pid_t pid, parent;
};

/* Every process there is now. */
static struct process *table;
static size_t table_count, table_room;

static void add_process(pid_t pid, pid_t parent)
{
    if (table_count == table_room) {
        table_room += 1024;
        if (!(table = realloc(table, table_room * sizeof *table)))
            die("allocate", "process table");
    }
    table[table_count++] = (struct process){pid, parent};
}

static void read_table(void)
{
    DIR *proc = opendir("/proc");
    table_count = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        char path[300], text[512], *after;
        int parent = -1;
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
        if ((after = strrchr(text, ')')) && sscanf(after + 1, " %*c %d", &parent) == 1)
            add_process((pid_t)atoi(entry->d_name), parent);
    }
    if (proc)
        closedir(proc);
}

/* Kill every child a process has now; *before_ns is the time of the first kill. Returns how many. */
int kill_children(pid_t parent, int64_t *before_ns)
{
    int killed = 0;
    read_table();
    for (size_t k = 0; k < table_count; k++) {
        if (table[k].parent != parent)
            continue;
        if (!killed)
            *before_ns = now_ns();
        killed += kill(table[k].pid, SIGKILL) == 0;
    }
    return killed;
}

static int is_among(const struct pids *pids, pid_t pid)
{
    for (size_t k = 0; k < pids->count; k++)
        if (pids->list[k] == pid)
            return 1;
    return 0;
}

/* Children, grandchildren … of a process as they are now. */
struct pids descendants(pid_t ancestor)
{
    read_table();
    struct pids found = {.list = calloc(table_count + 1, sizeof *found.list)};
    if (!found.list)
        die("allocate", "list of processes");
    size_t before;
    do {
        before = found.count;
        for (size_t k = 0; k < table_count; k++)
            if ((table[k].parent == ancestor || is_among(&found, table[k].parent)) &&
                !is_among(&found, table[k].pid))
                found.list[found.count++] = table[k].pid;
    } while (found.count > before);
    return found;
}

int any_running(void)
{
    for (int64_t k = 0; k < instance_count; k++)
        if (instances[k].pidfd != -1)
            return 1;
    return 0;
}

static int is_instance(pid_t pid)
{
    for (int64_t k = 0; k < instance_count; k++)
        if (instances[k].pidfd != -1 && instances[k].pid == pid)
            return 1;
    return 0;
}

/* The orphans among a list of processes (NULL: all orphans) that are still there, dead or alive. An orphan is a child
 * of ours, the subreaper's, that is no instance's own process. */
static int count_orphans(const struct pids *among, int do_kill)
{
    int found = 0;
    if (among && !among->count)
        return 0;
    read_table();
    for (size_t k = 0; k < table_count; k++) {
        pid_t pid = table[k].pid;
        if (table[k].parent != getpid() || is_instance(pid) || (among && !is_among(among, pid)))
            continue;
        found++;
        if (do_kill)
            kill(pid, SIGKILL);
    }
    return found;
}

/* Reap every orphan that has ended, and see that those in a list (NULL: all) do end: what is left after the grace
 * is killed. Returns -1 when there are still some after that: stuck in the kernel, or forking faster than we kill. */
int reap_orphans(const struct pids *among, int64_t grace_ns)
{
    int64_t kill_at = now_ns() + grace_ns, give_up_at = kill_at + REAP_TIMEOUT_NS;
    for (;;) {
        siginfo_t ended = {0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD)
            return 0;
        if (ended.si_pid) {
            if (is_instance(ended.si_pid))
                pump(-1, 0, NULL); /* which stamps its end, and reaps it */
            else
                waitpid(ended.si_pid, NULL, WNOHANG);
            continue;
        }
        int64_t now = now_ns();
        if ((now >= kill_at || any_running()) && !count_orphans(among, now >= kill_at))
            return 0;
        if (now >= give_up_at)
            return -1;
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
