/* `start`: execute a launch and stamp its phases. The timed path of every figure of start-up.
 *
 * We are a child subreaper: whatever an instance leaves behind becomes our child, and is killed before we say
 * that the instance has ended. */
#define _GNU_SOURCE
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct launch template;
struct instance *instances;
int64_t instance_count;
volatile sig_atomic_t interrupted;
int null_fd, signal_read_fd;
static int signal_write_fd;

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
