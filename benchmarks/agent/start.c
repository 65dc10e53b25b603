/* `start`: execute a launch and stamp its phases. The timed path of every figure of start-up.
 *
 * One loop, pump(), waits on all descriptors of all live instances; whatever waits (a step, readiness,
 * the end of a process, a command on our own input) is a condition on top of it. A stamp is taken right
 * after poll(2) has returned, before anything is read. We are a child subreaper: whatever an instance
 * leaves behind becomes our child, and is killed before we say that the instance has ended. */
#define _GNU_SOURCE
#include "agent.h"
#include "launch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_OUTPUT (64 * 1024)
#define KEPT_ERRORS 4096
#define OUTPUT_LIMIT (16LL * 1024 * 1024)
#define CLEANUP_TIMEOUT_NS (30 * NS_PER_S)
#define REAP_TIMEOUT_NS (5 * NS_PER_S)
#define SUPERVISOR_GRACE_NS (2 * NS_PER_S)
#define DRAIN_READS 32 /* of 64 KiB: more than any pipe of ours holds */
#define CGROUP2_MAGIC 0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */

enum phase { CREATED, SPAWNED, KERNEL, READY, EXIT, CLEANED, PHASES };
static const char *const PHASE_NAMES[PHASES] = {"created", "spawned", "kernel", "ready", "exit", "cleaned"};

enum status { OK, FAILED, TIMEOUT };
static const char *const STATUS_NAMES[] = {"ok", "failed", "timeout"};

struct instance {
    int64_t slot, invoke_ns, stamp_ns[PHASES]; /* stamps: 0 is "not told apart" */
    struct launch launch;
    enum status status;
    char reason[512];
    pid_t pid;
    int pidfd, stdin_fd, stdout_fd, stderr_fd, console_fd;
    int killed, exited, exit_code, term_signal; /* the last two -1: unknown */
    char *output;
    size_t output_kept, line_start;
    int64_t output_bytes;
    char errors[KEPT_ERRORS];
    size_t errors_kept;
    int cgroups_made;
};

static struct launch template;
static struct instance *instances;
static int64_t instance_count;
static volatile sig_atomic_t interrupted;
static int null_fd, signal_read_fd, signal_write_fd;

/* The byte wakes a poll(2) that was about to begin; it is never read: once interrupted, the pipe is no longer polled. */
static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    interrupted = 1;
    if (write(signal_write_fd, "", 1) == -1)
        errno = saved;
    errno = saved;
}

/* A handler rather than SIG_IGN, which every workload would inherit through exec. */
static void on_broken_pipe(int number)
{
    (void)number;
}

/* ---- small tools ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void fail(struct instance *i, enum status status, const char *format, ...)
{
    if (i->status != OK)
        return; /* the first cause is the reason */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(i->reason, sizeof i->reason, format, arguments);
    va_end(arguments);
    i->status = status;
}

static void close_fd(int *fd)
{
    if (*fd != -1)
        close(*fd);
    *fd = -1;
}

/* Ends above 9 never collide with the 0..3 a child dups them to; dup2 onto itself would keep O_CLOEXEC. */
static int make_pipe(int *read_end, int *write_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == -1)
        return -1;
    *read_end = fcntl(ends[0], F_DUPFD_CLOEXEC, 10);
    *write_end = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return *read_end == -1 || *write_end == -1 ? -1 : 0;
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void stamp(struct instance *i, enum phase phase, int64_t at)
{
    if (!i->stamp_ns[phase])
        i->stamp_ns[phase] = at;
}

static enum phase phase_named(const char *name)
{
    for (int p = 0; p < PHASES; p++)
        if (strcmp(name, PHASE_NAMES[p]) == 0)
            return (enum phase)p;
    usage_error("unknown phase", name);
}

/* ---- events --------------------------------------------------------------------------------- */

static void report(struct instance *i, const char *event)
{
    json_begin();
    json_string("kind", event);
    json_integer("slot", i->slot);
    json_string("status", STATUS_NAMES[i->status]);
    if (i->status != OK)
        json_string("reason", i->reason);
    json_integer("invoke_ns", i->invoke_ns);
    json_open("phases_ns");
    for (int p = 0; p < PHASES; p++)
        if (i->stamp_ns[p])
            json_integer(PHASE_NAMES[p], i->stamp_ns[p] - i->invoke_ns);
    json_close();
    if (i->pid > 0)
        json_integer("pid", i->pid);
    if (i->exit_code >= 0)
        json_integer("exit_code", i->exit_code);
    if (i->term_signal >= 0)
        json_integer("term_signal", i->term_signal);
    json_bytes("output", i->output, i->output_kept);
    json_integer("output_bytes", i->output_bytes);
    json_bytes("stderr", i->errors, i->errors_kept);
    json_end();
    if (ferror(stdout))
        interrupted = 1; /* nobody reads what we measure */
}

/* Interactive: report the lines completed since the last time. The first is part of `ready`. */
static void report_lines(struct instance *i, int64_t at)
{
    for (char *end; (end = memchr(i->output + i->line_start, '\n', i->output_kept - i->line_start));) {
        size_t length = (size_t)(end - i->output) - i->line_start;
        if (i->line_start) {
            json_begin();
            json_string("kind", "line");
            json_integer("slot", i->slot);
            json_integer("t_ns", at);
            json_bytes("output", i->output + i->line_start, length);
            json_end();
        }
        i->line_start += length + 1;
    }
}

/* ---- reading what instances say ------------------------------------------------------------- */

static void keep_output(struct instance *i, const char *bytes, size_t length)
{
    size_t room = KEPT_OUTPUT - i->output_kept;
    size_t kept = length < room ? length : room;
    memcpy(i->output + i->output_kept, bytes, kept);
    i->output_kept += kept;
    i->output_bytes += (int64_t)length;
    if (i->output_bytes > OUTPUT_LIMIT)
        fail(i, FAILED, "the workload wrote more than 16 MiB");
}

static void keep_errors(struct instance *i, const char *bytes, size_t length)
{
    if (length > KEPT_ERRORS) {
        bytes += length - KEPT_ERRORS;
        length = KEPT_ERRORS;
    }
    if (i->errors_kept + length > KEPT_ERRORS) {
        size_t dropped = i->errors_kept + length - KEPT_ERRORS;
        memmove(i->errors, i->errors + dropped, i->errors_kept - dropped);
        i->errors_kept -= dropped;
    }
    memcpy(i->errors + i->errors_kept, bytes, length);
    i->errors_kept += length;
}

/* One read of at most 64 KiB. Returns 0 when there is nothing (more). */
static int read_stream(struct instance *i, int *fd, void (*keep)(struct instance *, const char *, size_t))
{
    static char buffer[64 * 1024];
    ssize_t length = read(*fd, buffer, sizeof buffer);
    if (length > 0) {
        if (keep)
            keep(i, buffer, (size_t)length);
        return 1;
    }
    if (length == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(fd);
    return 0;
}

static void on_output(struct instance *i, int64_t at)
{
    if (!read_stream(i, &i->stdout_fd, keep_output))
        return;
    stamp(i, READY, at);
    if (template.interactive)
        report_lines(i, at);
}

static void on_console(struct instance *i, int64_t at)
{
    if (read_stream(i, &i->console_fd, NULL))
        stamp(i, KERNEL, at);
}

static void on_exit_of(struct instance *i, int64_t at)
{
    siginfo_t info = {0};
    stamp(i, EXIT, at);
    i->exited = 1;
    /* Not our child (a runtime with a reaper of its own): the end is seen, the exit code is not. */
    if (waitid(P_PIDFD, (id_t)i->pidfd, &info, WEXITED) == 0 && info.si_code == CLD_EXITED)
        i->exit_code = info.si_status;
    else if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
        i->term_signal = info.si_status;
    close_fd(&i->pidfd);
}

static int alive(const struct instance *i)
{
    return i->stdout_fd != -1 || i->stderr_fd != -1 || i->console_fd != -1 || i->pidfd != -1;
}

/* Wait once for anything: an event of an instance, `extra_fd` readable, the deadline, a signal.
 * Returns 1 when extra_fd is readable, and the time of that in *extra_at. */
static int pump(int extra_fd, int64_t deadline_ns, int64_t *extra_at)
{
    static struct pollfd *polls;
    static int64_t room;
    if (room < instance_count * 4 + 2) {
        room = instance_count * 4 + 2;
        polls = realloc(polls, (size_t)room * sizeof *polls);
        if (!polls)
            die("allocate", "poll set");
    }
    nfds_t used = 0;
    polls[used++] = (struct pollfd){.fd = extra_fd, .events = POLLIN};
    polls[used++] = (struct pollfd){.fd = interrupted ? -1 : signal_read_fd, .events = POLLIN};
    for (int64_t k = 0; k < instance_count; k++) {
        struct instance *i = &instances[k];
        if (!alive(i))
            continue;
        polls[used++] = (struct pollfd){.fd = i->stdout_fd, .events = POLLIN};
        polls[used++] = (struct pollfd){.fd = i->console_fd, .events = POLLIN};
        polls[used++] = (struct pollfd){.fd = i->stderr_fd, .events = POLLIN};
        polls[used++] = (struct pollfd){.fd = i->pidfd, .events = POLLIN};
    }
    int64_t left = deadline_ns - now_ns();
    struct timespec wait = {.tv_sec = left > 0 ? left / NS_PER_S : 0, .tv_nsec = left > 0 ? left % NS_PER_S : 0};
    int found = ppoll(polls, used, &wait, NULL);
    int64_t at = now_ns();
    if (found <= 0)
        return 0;

    nfds_t next = 2;
    for (int64_t k = 0; k < instance_count; k++) {
        struct instance *i = &instances[k];
        if (!alive(i))
            continue;
        struct pollfd *p = &polls[next];
        next += 4;
        if (p[1].revents)
            on_console(i, at);
        if (p[0].revents)
            on_output(i, at);
        if (p[2].revents)
            read_stream(i, &i->stderr_fd, keep_errors);
        if (p[3].revents)
            on_exit_of(i, at);
    }
    if (extra_at)
        *extra_at = at;
    return polls[0].revents != 0;
}

/* After the end of a process: what it wrote is in the pipe. Whoever else holds the pipe, and may go on writing
 * for ever, is not waited for. */
static void drain(struct instance *i)
{
    /* poll(2) looks at one descriptor after another: it may see the end and not yet the last words before it. */
    int64_t at = i->stamp_ns[EXIT] ? i->stamp_ns[EXIT] : now_ns();
    for (int n = 0; n < DRAIN_READS && i->stdout_fd != -1 && read_stream(i, &i->stdout_fd, keep_output); n++)
        stamp(i, READY, at);
    if (template.interactive)
        report_lines(i, at);
    for (int n = 0; n < DRAIN_READS && i->stderr_fd != -1 && read_stream(i, &i->stderr_fd, keep_errors); n++)
        ;
}

/* ---- processes ------------------------------------------------------------------------------ */

/* Kill every child a process has now. Returns how many. */
static int kill_children(pid_t parent)
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
static int reap_all(int64_t grace_ns)
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
static int run_command(struct instance *i, const struct command *command, const char *kind, int in_fd, int out_fd,
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

/* ---- one start ------------------------------------------------------------------------------ */

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
}

static void adopt_instance(struct instance *i)
{
    char text[32] = {0};
    int fd = open(i->launch.adopt, O_RDONLY | O_CLOEXEC);
    if (fd == -1 || read(fd, text, sizeof text - 1) <= 0 || (i->pid = (pid_t)atoi(text)) <= 0)
        fail(i, FAILED, "no process id in %s", i->launch.adopt);
    else if ((i->pidfd = (int)syscall(SYS_pidfd_open, i->pid, 0)) == -1)
        fail(i, FAILED, "process %d of %s is gone: %s", (int)i->pid, i->launch.adopt, strerror(errno));
    if (fd != -1)
        close(fd);
}

static struct instance *new_instance(int64_t slot)
{
    struct instance *i = &instances[slot];
    if (!i->output && !(i->output = malloc(KEPT_OUTPUT)))
        die("allocate", "output");
    char *output = i->output;
    *i = (struct instance){.slot = slot, .output = output, .exit_code = -1, .term_signal = -1};
    i->pidfd = i->stdin_fd = i->stdout_fd = i->stderr_fd = i->console_fd = -1;
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
static void launch_instance(struct instance *i, int64_t *deadline_ns)
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
    make_channels(i, child_fds);

    i->invoke_ns = now_ns();
    *deadline_ns = i->invoke_ns + l->timeout_ns;
    if (i->status == OK)
        make_cgroups(i);
    /* An adopted workload has its standard streams from the step that makes it. */
    int step_in = l->adopt ? child_fds[0] : null_fd;
    for (int s = 0; i->status == OK && s < l->step_count; s++)
        run_command(i, &l->steps[s], "step", step_in, child_fds[1], child_fds[2], *deadline_ns, 1);
    if (i->status == OK && l->spawn)
        spawn_instance(i, enter, enter_count, born_in, child_fds);
    else if (i->status == OK)
        adopt_instance(i);

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
static void clean_up(struct instance *i)
{
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

/* Kill the instance and wait for it. Its children first: the process may be a tool that supervises the
 * workload (lxc-start) and, once that has ended, removes what it has made. */
static void stop(struct instance *i)
{
    if (i->pidfd == -1)
        return;
    i->killed = 1;
    if (kill_children(i->pid) && await_end(i, now_ns() + SUPERVISOR_GRACE_NS) == 0)
        return;
    syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
    if (await_end(i, now_ns() + CLEANUP_TIMEOUT_NS) == 0)
        return;
    fail(i, FAILED, "its process %d cannot be killed", (int)i->pid);
    close_fd(&i->pidfd);
}

/* Wait for the end of the instance's process; past the deadline it is killed. */
static void await_exit(struct instance *i, int64_t deadline_ns)
{
    while (i->pidfd != -1 && i->status == OK && !interrupted && now_ns() < deadline_ns)
        pump(-1, deadline_ns, NULL);
    if (i->pidfd == -1)
        return;
    if (interrupted)
        fail(i, FAILED, "interrupted");
    else
        fail(i, TIMEOUT, i->stamp_ns[READY] ? "not ended in time" : "not ready in time");
    stop(i);
}

static void judge_end(struct instance *i)
{
    if (!i->stamp_ns[READY])
        fail(i, FAILED, "the workload ended without a word");
    else if (i->exit_code > 0)
        fail(i, FAILED, "the workload exited %d", i->exit_code);
    else if (i->term_signal > 0)
        fail(i, FAILED, "the workload was killed by signal %d", i->term_signal);
}

static void run_one(int64_t slot)
{
    struct instance *i = new_instance(slot);
    int64_t deadline = 0;
    launch_instance(i, &deadline);
    await_exit(i, deadline);
    drain(i);
    judge_end(i);
    if (reap_all(i->status == OK ? 200 * NS_PER_MS : 0) == -1)
        fail(i, FAILED, "processes it left behind cannot be killed");
    clean_up(i);
    report(i, "attempt");
}

static int run_batch(void)
{
    for (int64_t k = 0; k < template.count && !interrupted; k++) {
        int64_t next = k ? now_ns() + template.pause_ns : 0;
        while (now_ns() < next && !interrupted)
            pump(-1, next, NULL); /* nothing lives: it waits for a signal only */
        if (!interrupted)
            run_one(0);
    }
    return interrupted ? 128 + SIGTERM : EXIT_OK;
}

/* ---- interactive: instances held at once, on command ------------------------------------------ */

static int has_line(const struct instance *i)
{
    return i->line_start > 0;
}

static void start_held(void)
{
    struct instance *i = new_instance(instance_count);
    int64_t deadline = 0;
    launch_instance(i, &deadline);
    while (i->status == OK && !has_line(i)) {
        if (i->exited) {
            drain(i);
            if (!has_line(i))
                fail(i, FAILED, "the workload ended before it was ready");
        } else if (interrupted)
            fail(i, FAILED, "interrupted");
        else if (now_ns() >= deadline)
            fail(i, TIMEOUT, "not ready in time");
        else
            pump(-1, deadline, NULL);
    }
    if (i->status != OK)
        stop(i);
    report(i, "ready");
}

static void say_go(struct instance *i)
{
    if (i->stdin_fd != -1 && write(i->stdin_fd, "\n", 1) == -1)
        close_fd(&i->stdin_fd);
}

static int any_running(void)
{
    for (int64_t k = 0; k < instance_count; k++)
        if (instances[k].pidfd != -1)
            return 1;
    return 0;
}

static void end_all(void)
{
    int64_t deadline = now_ns() + template.grace_ns;
    for (int64_t k = 0; k < instance_count; k++) {
        say_go(&instances[k]);
        close_fd(&instances[k].stdin_fd);
    }
    while (any_running() && now_ns() < deadline && !interrupted)
        pump(-1, deadline, NULL);
    for (int64_t k = 0; k < instance_count; k++) {
        if (interrupted && instances[k].pidfd != -1)
            fail(&instances[k], FAILED, "interrupted");
        stop(&instances[k]);
    }
    int reaped = reap_all(200 * NS_PER_MS);
    for (int64_t k = 0; k < instance_count; k++) {
        struct instance *i = &instances[k];
        drain(i);
        if (!i->killed)
            judge_end(i); /* to be killed at the end is no failure: not every workload heeds its standard input */
        if (reaped == -1)
            fail(i, FAILED, "processes left behind cannot be killed");
        clean_up(i);
        report(i, "exit");
    }
    json_begin();
    json_string("kind", "end");
    json_end();
}

enum { GO_ON = -1 };

/* One command line of our own input: "start", "send SLOT" or "end". Returns GO_ON or the code to exit with.
 * A command we cannot obey ends everything in order, rather than to guess or to leave instances behind. */
static int obey(const char *line)
{
    int64_t slot;
    if (strcmp(line, "start") == 0 && instance_count < template.count)
        start_held();
    else if (strncmp(line, "send ", 5) == 0 && read_integer(line + 5, 0, instance_count - 1, &slot))
        say_go(&instances[slot]);
    else if (strcmp(line, "end") == 0)
        return EXIT_OK;
    else {
        fprintf(stderr, "isoagent: command '%s' with %lld of %lld slots taken: cannot be obeyed\n", line,
                (long long)instance_count, (long long)template.count);
        return EXIT_USAGE;
    }
    return GO_ON;
}

static int run_interactive(void)
{
    char line[64];
    size_t length = 0;
    int code = GO_ON;
    while (code == GO_ON && !interrupted) {
        if (!pump(STDIN_FILENO, now_ns() + 3600 * NS_PER_S, NULL))
            continue;
        char byte;
        if (read(STDIN_FILENO, &byte, 1) != 1)
            code = EXIT_OK; /* whoever commanded us is gone */
        else if (byte != '\n' && length < sizeof line - 1)
            line[length++] = byte;
        else {
            line[length] = 0;
            length = 0;
            code = obey(line);
        }
    }
    end_all();
    return interrupted ? 128 + SIGTERM : code;
}

int verb_start(int argc, char **argv)
{
    static char event_buffer[1 << 16];
    launch_parse(&template, argc, argv);
    setvbuf(stdout, event_buffer, _IOFBF, sizeof event_buffer);
    if (make_pipe(&signal_read_fd, &signal_write_fd) == -1)
        die("make", "pipe");
    set_nonblocking(signal_write_fd);
    spawn_prepare();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = on_broken_pipe;
    sigaction(SIGPIPE, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever reads our events is gone: clean up and end */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd == -1 || (null_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10)) == -1)
        die("open", "/dev/null");
    close(fd);
    instances = calloc(template.interactive ? (size_t)template.count : 1, sizeof *instances);
    if (!instances)
        die("allocate", "instances");
    for (int s = 0; s < template.step_count; s++)
        if (template.steps[s].phase)
            phase_named(template.steps[s].phase); /* refuse an unknown one before anything starts */
    return template.interactive ? run_interactive() : run_batch();
}
