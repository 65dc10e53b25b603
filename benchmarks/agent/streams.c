/* Waiting for instances, and reading what they say. One loop, pump(), waits on all descriptors of all live
 * instances; whatever waits (a step, readiness, the end of a process, a command on our own input) is a condition
 * on top of it. A stamp is taken right after epoll_wait(2) has returned, before anything is read. epoll, for
 * what one wait costs must not grow with the instances that are held meanwhile. */
#define _GNU_SOURCE
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_LIMIT (16LL * 1024 * 1024)
#define DRAIN_READS 32 /* of 64 KiB: more than any pipe of ours holds */

void close_fd(int *fd)
{
    if (*fd != -1)
        close(*fd);
    *fd = -1;
}

/* Ends above 9 never collide with the 0..3 a child dups them to; dup2 onto itself would keep O_CLOEXEC. */
int make_pipe(int *read_end, int *write_end)
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

void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void keep_output(struct instance *i, const char *bytes, size_t length)
{
    size_t room = KEPT_OUTPUT - i->output_kept;
    size_t kept = length < room ? length : room;
    memcpy(i->output + i->output_kept, bytes, kept);
    i->output_kept += kept;
    i->output_bytes += (int64_t)length;
    ready_watch_output(i, bytes, length);
    if (i->output_bytes > OUTPUT_LIMIT)
        fail(i, FAILED, "the workload wrote more than 16 MiB");
}

/* The last `room` bytes of a stream. */
static void keep_tail(char *tail, size_t *kept, size_t room, const char *bytes, size_t length)
{
    if (length > room) {
        bytes += length - room;
        length = room;
    }
    if (*kept + length > room) {
        size_t dropped = *kept + length - room;
        memmove(tail, tail + dropped, *kept - dropped);
        *kept -= dropped;
    }
    memcpy(tail + *kept, bytes, length);
    *kept += length;
}

static void keep_errors(struct instance *i, const char *bytes, size_t length)
{
    ready_watch_errors(i, bytes, length);
    keep_tail(i->errors, &i->errors_kept, KEPT_ERRORS, bytes, length);
}

static void keep_console(struct instance *i, const char *bytes, size_t length)
{
    keep_tail(i->console, &i->console_kept, KEPT_CONSOLE, bytes, length);
}

/* One read of at most 64 KiB. Returns 0 when there is nothing (more). */
static int read_stream(struct instance *i, int *fd, void (*keep)(struct instance *, const char *, size_t))
{
    static char buffer[64 * 1024];
    ssize_t length = read(*fd, buffer, sizeof buffer);
    if (length > 0) {
        keep(i, buffer, (size_t)length);
        return 1;
    }
    if (length == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(fd);
    return 0;
}

static void stamp_ready(struct instance *i, int64_t at)
{
    if (i->ready_count)
        stamp(i, READY, at);
}

/* Exactly one byte is the answer to one byte. */
static void on_answer(struct instance *i, int64_t at)
{
    char answer[2];
    ssize_t length = read(i->stdout_fd, answer, sizeof answer);
    if (length == 0)
        close_fd(&i->stdout_fd);
    else if (length == 1 && *answer == '?' && !i->ping->answered_ns)
        i->ping->answered_ns = at;
    else if (length > 0)
        fail(i, FAILED, "the workload answered what it was not asked");
}

static void on_output(struct instance *i, int64_t at)
{
    if (i->ping) {
        on_answer(i, at);
        return;
    }
    if (!read_stream(i, &i->stdout_fd, keep_output))
        return;
    stamp_ready(i, at);
    if (template.interactive)
        report_lines(i, at);
}

static void on_errors(struct instance *i, int64_t at)
{
    if (read_stream(i, &i->stderr_fd, keep_errors))
        stamp_ready(i, at);
}

static void on_console(struct instance *i, int64_t at)
{
    if (read_stream(i, &i->console_fd, keep_console))
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
    ready_watch_exit(i);
    stamp_ready(i, at);
    close_fd(&i->pidfd);
}

/* ---- the loop ----------------------------------------------------------------------------------- */

enum stream { CONSOLE, OUTPUT, ERRORS, PROBE, END, STREAMS };
#define EXTRA UINT64_MAX
#define SIGNAL (UINT64_MAX - 1)
#define EVENTS 64

static int epoll_fd = -1, signal_watched;

static int watch(int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void unwatch(int fd)
{
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Once, in the process that is to wait; descriptors above 9 for the reason make_pipe has. */
void streams_prepare(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd == -1 || watch(signal_read_fd, SIGNAL) == -1)
        die("prepare", "epoll");
    signal_watched = 1;
}

static void watch_stream(struct instance *i, int fd, enum stream stream)
{
    if (fd != -1 && watch(fd, (uint64_t)i->slot * STREAMS + stream) == -1)
        fail(i, FAILED, "watch its descriptors: %s", strerror(errno));
}

/* What is closed needs no unwatching: epoll(7), "will closing a file descriptor cause it to be removed". */
void watch_streams(struct instance *i)
{
    watch_stream(i, i->console_fd, CONSOLE);
    watch_stream(i, i->stdout_fd, OUTPUT);
    watch_stream(i, i->stderr_fd, ERRORS);
    watch_stream(i, i->probe_fd, PROBE);
}

void watch_end(struct instance *i)
{
    watch_stream(i, i->pidfd, END);
}

static void on_event(struct instance *i, enum stream stream, int64_t at)
{
    if (stream == CONSOLE && i->console_fd != -1)
        on_console(i, at);
    else if (stream == OUTPUT && i->stdout_fd != -1)
        on_output(i, at);
    else if (stream == ERRORS && i->stderr_fd != -1)
        on_errors(i, at);
    else if (stream == PROBE && i->probe_fd != -1)
        ready_on_probe(i, at);
    else if (stream == END && i->pidfd != -1)
        on_exit_of(i, at);
}

/* Rounded up to what epoll_wait(2) takes: a deadline is never missed by more than that. */
static int milliseconds_until(int64_t deadline_ns)
{
    int64_t left = deadline_ns - now_ns();
    int64_t ms = left > 0 ? (left + NS_PER_MS - 1) / NS_PER_MS : 0;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* Wait once for anything: an event of an instance, `extra_fd` readable, the deadline, a signal.
 * Returns 1 when extra_fd is readable, and the time of that in *extra_at. */
int pump(int extra_fd, int64_t deadline_ns, int64_t *extra_at)
{
    struct epoll_event events[EVENTS];
    int extra_ready = 0;
    if (interrupted && signal_watched) {
        unwatch(signal_read_fd);
        signal_watched = 0;
    }
    /* EPERM: a file, which is always readable. */
    int is_file = extra_fd != -1 && watch(extra_fd, EXTRA) == -1;
    int found = epoll_wait(epoll_fd, events, EVENTS, is_file ? 0 : milliseconds_until(deadline_ns));
    int64_t at = now_ns();
    if (extra_fd != -1 && !is_file)
        unwatch(extra_fd);
    for (int k = 0; k < found; k++) {
        uint64_t what = events[k].data.u64;
        if (what == EXTRA)
            extra_ready = 1;
        else if (what != SIGNAL)
            on_event(&instances[what / STREAMS], (enum stream)(what % STREAMS), at);
    }
    if (extra_at)
        *extra_at = at;
    return is_file || extra_ready;
}

/* After the end of a process: what it wrote is in the pipe. Whoever else holds the pipe, and may go on writing
 * for ever, is not waited for. */
void drain(struct instance *i)
{
    /* The end may have been seen before the last words that came ahead of it. */
    int64_t at = i->stamp_ns[EXIT] ? i->stamp_ns[EXIT] : now_ns();
    for (int n = 0; n < DRAIN_READS && i->stdout_fd != -1 && read_stream(i, &i->stdout_fd, keep_output); n++)
        stamp_ready(i, at);
    if (template.interactive)
        report_lines(i, at);
    for (int n = 0; n < DRAIN_READS && i->stderr_fd != -1 && read_stream(i, &i->stderr_fd, keep_errors); n++)
        stamp_ready(i, at);
}
