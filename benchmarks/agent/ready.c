/* Watching for what counts as ready.
 *
 * Output and lines are seen as they are read, an exit as it happens. For a port there is a process of its own, the
 * prober: made before invoke and in none of the workload's cgroups, it enters the network namespace of the workload,
 * tries to connect once a millisecond, and says so through a pipe, so that a port is one more descriptor to wait
 * for. Its tries take a few microseconds of another CPU each, or of the workload's where there is only one. */
#define _GNU_SOURCE
#include "instance.h"
#include "loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_EVERY_NS NS_PER_MS
#define MAX_DEPTH 8 /* generations below a supervisor; lxc-start needs one */
#define READY_BYTE 'R'

/* ---- output, lines, exit --------------------------------------------------------------------- */

static void end_line(struct instance *i, struct line *line)
{
    if (line->length && line->text[line->length - 1] == '\r')
        line->length--;
    line->text[line->length] = 0;
    if (regexec(i->launch.ready.expression, line->text, 0, NULL, 0) == 0)
        i->ready_count++;
    line->length = 0;
}

static void watch_lines(struct instance *i, struct line *line, const char *bytes, size_t length)
{
    for (size_t k = 0; k < length; k++)
        if (bytes[k] == '\n')
            end_line(i, line);
        else if (line->length < LINE_LIMIT)
            line->text[line->length++] = bytes[k] ? bytes[k] : ' ';
}

void ready_watch_output(struct instance *i, const char *bytes, size_t length)
{
    if (i->launch.ready.kind == READY_ON_OUTPUT)
        i->ready_count = 1;
    else if (i->launch.ready.kind == READY_ON_LINE)
        watch_lines(i, &i->output_line, bytes, length);
}

void ready_watch_errors(struct instance *i, const char *bytes, size_t length)
{
    if (i->launch.ready.kind == READY_ON_LINE)
        watch_lines(i, &i->error_line, bytes, length);
}

void ready_watch_exit(struct instance *i)
{
    if (i->launch.ready.kind == READY_ON_EXIT && i->exit_code == 0)
        i->ready_count = 1;
}

/* ---- the prober ------------------------------------------------------------------------------- */

static _Noreturn void tell_and_exit(int fd, const char *what)
{
    dprintf(fd, "%s: %s", what, strerror(errno));
    _exit(EXIT_FAILED);
}

/* A descriptor of the network namespace of that process, unless it is the one we are in. */
static int other_network(pid_t pid)
{
    char path[64];
    struct stat ours, theirs;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return -1;
    if (stat("/proc/self/ns/net", &ours) == -1 || fstat(fd, &theirs) == -1 || ours.st_ino == theirs.st_ino)
        close_fd(&fd);
    return fd;
}

/* The same of the process or the first of its descendants that has one (proc_pid_task_tid_children(5)). */
static int network_below(pid_t pid, int depth)
{
    char path[64], list[4096];
    int found = other_network(pid);
    if (found != -1 || depth == MAX_DEPTH)
        return found;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, list, sizeof list - 1);
    close_fd(&fd);
    list[length > 0 ? length : 0] = 0;
    for (char *at = list, *end; found == -1 && *at; at = end + strspn(end, " ")) {
        long child = strtol(at, &end, 10);
        if (end == at)
            break;
        found = network_below((pid_t)child, depth + 1);
    }
    return found;
}

static void enter_network(pid_t pid, int result_fd)
{
    int fd;
    if (access("/proc/self/ns/net", F_OK) == -1)
        tell_and_exit(result_fd, "/proc/self/ns/net");
    while ((fd = network_below(pid, 0)) == -1)
        sleep_ns(PROBE_EVERY_NS);
    if (setns(fd, CLONE_NEWNET) == -1)
        tell_and_exit(result_fd, "enter its network namespace");
    close(fd);
}

static _Noreturn void probe(const struct launch *l, int go_fd, int result_fd)
{
    pid_t pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1); /* of 50 µs otherwise, a twentieth of what we wait */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    /* No pipe of any instance may stay open on our account. Both ends are above 9 (make_pipe). */
    if (dup2(go_fd, 3) == -1 || dup2(result_fd, 4) == -1 || syscall(SYS_close_range, 5, ~0U, 0) == -1)
        tell_and_exit(result_fd, "close_range");
    if (read(3, &pid, sizeof pid) != sizeof pid)
        _exit(EXIT_OK); /* there is nothing to look for */
    if (l->own_network)
        enter_network(pid, 4);
    while (!loopback_accepts(l->ready.port))
        sleep_ns(PROBE_EVERY_NS);
    dprintf(4, "%c", READY_BYTE);
    _exit(EXIT_OK);
}

static void start_prober(struct instance *i)
{
    int go_fd = -1, result_fd = -1;
    if (make_pipe(&go_fd, &i->prober_go_fd) == -1 || make_pipe(&i->probe_fd, &result_fd) == -1) {
        fail(i, FAILED, "make the pipes of the prober: %s", strerror(errno));
    } else if ((i->prober = fork()) == 0) {
        close(i->prober_go_fd);
        probe(&i->launch, go_fd, result_fd);
    } else if (i->prober == -1) {
        fail(i, FAILED, "start the prober: %s", strerror(errno));
        i->prober = 0;
    }
    close_fd(&go_fd);
    close_fd(&result_fd);
}

void ready_prepare(struct instance *i)
{
    const struct launch *l = &i->launch;
    if (l->ready.kind != READY_ON_PORT)
        return;
    if (!l->own_network && loopback_accepts(l->ready.port))
        fail(i, FAILED, "port %d of this host is taken already", l->ready.port);
    else
        start_prober(i);
}

void ready_aim(struct instance *i, pid_t pid)
{
    if (i->prober_go_fd != -1 && write(i->prober_go_fd, &pid, sizeof pid) != sizeof pid)
        fail(i, FAILED, "the prober does not listen");
    close_fd(&i->prober_go_fd);
}

void ready_on_probe(struct instance *i, int64_t at)
{
    char words[256];
    ssize_t length = read(i->probe_fd, words, sizeof words - 1);
    close_fd(&i->probe_fd);
    words[length > 0 ? length : 0] = 0;
    if (words[0] == READY_BYTE) {
        i->ready_count++;
        stamp(i, READY, at);
    } else {
        fail(i, FAILED, "look for port %d: %s", i->launch.ready.port, words[0] ? words : "the prober was killed");
    }
}

void ready_end(struct instance *i)
{
    close_fd(&i->prober_go_fd);
    close_fd(&i->probe_fd);
    if (i->prober > 0) {
        kill(i->prober, SIGKILL);
        waitpid(i->prober, NULL, 0);
        i->prober = 0;
    }
}

/* ---- why it was not ------------------------------------------------------------------------------ */

/* A machine that does not boot says on its console how far it got: its last line goes into the reason. */
static void add_last_words(struct instance *i)
{
    const char *end = i->console + i->console_kept;
    while (end > i->console && (unsigned char)end[-1] <= ' ')
        end--;
    const char *line = end;
    while (line > i->console && line[-1] != '\n' && line[-1] != '\r')
        line--;
    if (line == end)
        return;
    size_t told = strlen(i->reason);
    snprintf(i->reason + told, sizeof i->reason - told, "; last on its console: %.*s", (int)(end - line), line);
    for (char *c = i->reason + told; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

void fail_not_ready_in_time(struct instance *i)
{
    if (i->status != OK)
        return;
    const struct ready_condition *ready = &i->launch.ready;
    int mute = i->stdout_fd == -1 && (ready->kind == READY_ON_OUTPUT || i->stderr_fd == -1);
    if (mute && ready->kind <= READY_ON_LINE)
        fail(i, TIMEOUT, "not ready in time: it has closed its output and runs on");
    else if (ready->kind == READY_ON_LINE)
        fail(i, TIMEOUT, "not ready in time: no line matched '%s'", ready->pattern);
    else if (ready->kind == READY_ON_PORT)
        fail(i, TIMEOUT, "not ready in time: port %d did not accept", ready->port);
    else if (ready->kind == READY_ON_EXIT)
        fail(i, TIMEOUT, "not ready in time: it did not end");
    else
        fail(i, TIMEOUT, "not ready in time");
    add_last_words(i);
}

void fail_ended_unready(struct instance *i)
{
    if (i->status != OK)
        return;
    const struct ready_condition *ready = &i->launch.ready;
    if (i->exit_code > 0)
        fail(i, FAILED, "the workload exited %d before it was ready", i->exit_code);
    else if (i->term_signal > 0)
        fail(i, FAILED, "the workload was killed by signal %d before it was ready", i->term_signal);
    else if (ready->kind == READY_ON_OUTPUT)
        fail(i, FAILED, "the workload ended without a word");
    else
        fail(i, FAILED, "the workload ended before it was ready; one that goes into the background has to be told "
                        "to stay in the foreground");
    add_last_words(i);
}
