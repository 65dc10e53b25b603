/* One start: from invoke to a process that runs, to its end, to nothing left of it. */
#define _GNU_SOURCE
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SUPERVISOR_GRACE_NS (2 * NS_PER_S)
#define CGROUP2_MAGIC 0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */

static int write_file(struct instance *i, const struct file_write *write_to)
{
    int fd = open(write_to->path, O_WRONLY | O_CLOEXEC);
    ssize_t written = fd == -1 ? -1 : write(fd, write_to->value, strlen(write_to->value));
    if (written == -1)
        fail(i, FAILED, "write '%s' to %s: %s", write_to->value, write_to->path, strerror(errno));
    if (fd != -1)
        close(fd);
    return written == -1 ? -1 : 0;
}

static void make_cgroups(struct instance *i)
{
    struct launch *l = &i->launch;
    for (; i->cgroups_made < l->cgroup_count; i->cgroups_made++)
        if (mkdir(l->cgroups[i->cgroups_made], 0755) == -1) {
            fail(i, FAILED, "make cgroup %s: %s", l->cgroups[i->cgroups_made], strerror(errno));
            return;
        }
    for (int w = 0; w < l->write_count; w++)
        if (write_file(i, &l->writes[w]) == -1)
            return;
    if (l->cgroup_count)
        stamp(i, CREATED, now_ns());
}

static int is_cgroup2(const char *path)
{
    char parent[PATH_MAX];
    struct statfs fs;
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent)
        *slash = 0;
    return statfs(parent, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

/* The instance's own process, born into its v2 cgroup or entering its v1 ones before exec. */
static void spawn_instance(struct instance *i, const char *const *enter, int enter_count, const char *born_in,
                           int fds[4])
{
    struct spawn spawn = {
        .argv = i->launch.spawn,
        .environment = i->launch.environment,
        .stdin_fd = fds[0],
        .stdout_fd = fds[1],
        .stderr_fd = fds[2],
        .console_fd = fds[3],
        .isolation = i->launch.namespaces || i->launch.root_change || i->launch.mount_proc ? &i->launch : NULL,
        .enter = enter,
        .enter_count = enter_count,
        .cgroup_fd = -1,
    };
    if (born_in && (spawn.cgroup_fd = open(born_in, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1) {
        fail(i, FAILED, "open cgroup %s: %s", born_in, strerror(errno));
        return;
    }
    pid_t pid = spawn_process(&spawn, &i->pidfd);
    int64_t at = now_ns();
    close_fd(&spawn.cgroup_fd);
    if (pid == -1) {
        i->pidfd = -1;
        fail(i, FAILED, "start '%s': %s: %s", i->launch.spawn[0], spawn.failed_at, strerror(spawn.error));
        return;
    }
    i->pid = pid;
    if (spawn.failed_at)
        fail(i, FAILED, "start '%s': %s: %s", i->launch.spawn[0], spawn.failed_at, strerror(spawn.error));
    else
        stamp(i, SPAWNED, at);
    ready_aim(i, pid);
}

/* The process id a step has written for us; 0: none yet. */
static pid_t adopted_pid(const struct instance *i)
{
    char text[32] = {0};
    int fd = open(i->launch.adopt, O_RDONLY | O_CLOEXEC);
    pid_t pid = fd == -1 || read(fd, text, sizeof text - 1) <= 0 ? 0 : (pid_t)atoi(text);
    if (fd != -1)
        close(fd);
    return pid;
}

static void adopt_instance(struct instance *i)
{
    if ((i->pid = adopted_pid(i)) <= 0)
        fail(i, FAILED, "no process id in %s", i->launch.adopt);
    else if ((i->pidfd = (int)syscall(SYS_pidfd_open, i->pid, 0)) == -1)
        fail(i, FAILED, "process %d of %s is gone: %s", (int)i->pid, i->launch.adopt, strerror(errno));
}

/* The steps; the prober is told of the process as soon as there is one, which a later step makes the workload. */
static void run_steps(struct instance *i, int child_fds[4], int64_t deadline_ns)
{
    struct launch *l = &i->launch;
    /* An adopted workload has its standard streams from the step that makes it. */
    int step_in = l->adopt ? child_fds[0] : null_fd;
    pid_t pid;
    for (int s = 0; i->status == OK && s < l->step_count; s++) {
        run_command(i, &l->steps[s], "step", step_in, child_fds[1], child_fds[2], deadline_ns, 1);
        if (i->prober_go_fd != -1 && l->adopt && (pid = adopted_pid(i)) > 0)
            ready_aim(i, pid);
    }
}

struct instance *new_instance(int64_t slot)
{
    struct instance *i = &instances[slot];
    if (!i->output && !(i->output = malloc(KEPT_OUTPUT)))
        die("allocate", "output");
    char *output = i->output;
    *i = (struct instance){.slot = slot, .in_use = 1, .output = output, .exit_code = -1, .term_signal = -1};
    i->pidfd = i->stdin_fd = i->stdout_fd = i->stderr_fd = i->console_fd = i->prober_go_fd = i->probe_fd = -1;
    launch_for_slot(&i->launch, &template, slot);
    if (instance_count <= slot)
        instance_count = slot + 1;
    return i;
}

/* Its standard streams and console: our ends in the instance, the child's in child_fds. */
static void make_channels(struct instance *i, int child_fds[4])
{
    if ((template.interactive && make_pipe(&child_fds[0], &i->stdin_fd) == -1) ||
        make_pipe(&i->stdout_fd, &child_fds[1]) == -1 || make_pipe(&i->stderr_fd, &child_fds[2]) == -1 ||
        (template.console && make_pipe(&i->console_fd, &child_fds[3]) == -1)) {
        fail(i, FAILED, "make its pipes: %s", strerror(errno));
        return;
    }
    set_nonblocking(i->stdout_fd);
    set_nonblocking(i->stderr_fd);
    if (template.console)
        set_nonblocking(i->console_fd);
}

/* From invoke to the instance's process running; everything that can be done before invoke is. */
void launch_instance(struct instance *i, int64_t *deadline_ns)
{
    struct launch *l = &i->launch;
    int child_fds[4] = {template.interactive ? -1 : null_fd, -1, -1, -1};
    char procs[MAX_CGROUPS][PATH_MAX];
    const char *enter[MAX_CGROUPS], *born_in = NULL;
    int enter_count = 0;
    for (int c = 0; c < l->cgroup_count; c++) {
        if (is_cgroup2(l->cgroups[c]) && !born_in) {
            born_in = l->cgroups[c];
            continue;
        }
        snprintf(procs[enter_count], PATH_MAX, "%s/cgroup.procs", l->cgroups[c]);
        enter[enter_count] = procs[enter_count];
        enter_count++;
    }
    ready_prepare(i);
    make_channels(i, child_fds);
    watch_streams(i);

    i->invoke_ns = now_ns();
    while (l->delay_ns && now_ns() < i->invoke_ns + l->delay_ns && !interrupted)
        ; /* not a sleep: that would end later by a slack nobody knows (prctl(2), PR_SET_TIMERSLACK) */
    *deadline_ns = i->invoke_ns + l->timeout_ns;
    if (i->status == OK)
        make_cgroups(i);
    run_steps(i, child_fds, *deadline_ns);
    if (i->status == OK && l->spawn)
        spawn_instance(i, enter, enter_count, born_in, child_fds);
    else if (i->status == OK)
        adopt_instance(i);
    watch_end(i);

    for (int k = template.interactive ? 0 : 1; k < 4; k++)
        close_fd(&child_fds[k]);
}

/* A command that cleans up runs after a failure too, and its own failure does not hide that one. */
static void run_cleanup(struct instance *i, const struct command *command, int64_t deadline_ns)
{
    enum status status = i->status;
    char reason[sizeof i->reason];
    memcpy(reason, i->reason, sizeof reason);
    i->status = OK;
    run_command(i, command, "cleanup", null_fd, null_fd, STDERR_FILENO, deadline_ns, 0);
    if (status != OK) {
        i->status = status;
        memcpy(i->reason, reason, sizeof reason);
    }
}

/* Everything after the end of the instance's process (or of the attempt to make one). */
void clean_up(struct instance *i)
{
    ready_end(i);
    struct launch *l = &i->launch;
    int64_t deadline = now_ns() + CLEANUP_TIMEOUT_NS;
    int made_something = l->cleanup_count || i->cgroups_made;
    drain(i);
    for (int c = 0; c < l->cleanup_count; c++)
        run_cleanup(i, &l->cleanups[c], deadline);
    while (i->cgroups_made) {
        const char *path = l->cgroups[i->cgroups_made - 1];
        if (rmdir(path) == 0 || errno == ENOENT) {
            i->cgroups_made--;
        } else if (errno == EBUSY && now_ns() < deadline) {
            sleep_ns(NS_PER_MS / 5); /* an exiting task leaves its cgroup a moment after its parent saw it end */
        } else {
            fail(i, FAILED, "remove cgroup %s: %s", path, strerror(errno));
            break;
        }
    }
    if (made_something)
        stamp(i, CLEANED, now_ns());
    close_fd(&i->stdin_fd);
    close_fd(&i->stdout_fd);
    close_fd(&i->stderr_fd);
    close_fd(&i->console_fd);
    launch_free(l);
}

/* Wait until its process has ended. Returns 0 then, -1 when the deadline came first. */
static int await_end(const struct instance *i, int64_t deadline_ns)
{
    while (i->pidfd != -1 && now_ns() < deadline_ns)
        pump(-1, deadline_ns, NULL);
    return i->pidfd == -1 ? 0 : -1;
}

/* Kill the instance and wait for it. Of a tool that watches over the workload (lxc-start) the children alone: once
 * they have ended, by us or already by themselves, it removes what it has made. Only if it does not is it killed. */
void stop(struct instance *i)
{
    if (i->pidfd == -1)
        return;
    i->killed = 1;
    int64_t now = 0;
    int supervised = i->launch.supervised, children = supervised ? kill_children(i->pid, &now) : 0;
    if (!i->stop_ns)
        i->stop_ns = children ? now : now_ns();
    if (supervised && await_end(i, now_ns() + SUPERVISOR_GRACE_NS) == 0)
        return;
    syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
    if (await_end(i, now_ns() + CLEANUP_TIMEOUT_NS) == 0)
        return;
    fail(i, FAILED, "its process %d cannot be killed", (int)i->pid);
    close_fd(&i->pidfd);
}

/* Ready, and that is all we wanted of it. */
static int has_served(const struct instance *i)
{
    return i->launch.stop_when_ready && i->stamp_ns[READY];
}

/* Wait for the end of the instance's process. Past the deadline it is killed, and with --stop-when-ready as soon as
 * it is ready: SIGKILL, for how long a workload takes to end in order is its own affair and no isolator's. */
void await_exit(struct instance *i, int64_t deadline_ns)
{
    while (i->pidfd != -1 && i->status == OK && !interrupted && !has_served(i) && now_ns() < deadline_ns)
        pump(-1, deadline_ns, NULL);
    ready_end(i);
    if (i->pidfd == -1)
        return;
    if (interrupted)
        fail(i, FAILED, "interrupted");
    else if (!i->stamp_ns[READY])
        fail_not_ready_in_time(i);
    else if (!has_served(i))
        fail(i, TIMEOUT, "not ended in time");
    stop(i);
}

/* How it ended by itself; that we have killed it is no fault of its own. */
void judge_end(struct instance *i)
{
    if (i->killed)
        return;
    if (!i->stamp_ns[READY])
        fail_ended_unready(i);
    else if (i->exit_code > 0)
        fail(i, FAILED, "the workload exited %d", i->exit_code);
    else if (i->term_signal > 0)
        fail(i, FAILED, "the workload was killed by signal %d", i->term_signal);
    else if (has_served(i) && i->launch.ready.kind == READY_ON_PORT)
        fail(i, FAILED, "the workload ended as soon as its port accepted; one that goes into the background has to be "
                        "told to stay in the foreground");
}
