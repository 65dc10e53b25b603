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

#define REAP_GRACE_NS (200 * NS_PER_MS)
#define MAX_PINGS 100000

struct launch template;
struct instance *instances;
int64_t instance_count;
volatile sig_atomic_t interrupted;
int null_fd, signal_read_fd;
static int signal_write_fd;

/* The byte wakes a wait that was about to begin; it is never read: once interrupted, the pipe is no longer watched. */
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

/* sync first: what is dirty is not dropped (Documentation/admin-guide/sysctl/vm.rst). */
static void drop_caches(struct instance *i)
{
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd == -1 || write(fd, "3\n", 2) != 2)
        fail(i, FAILED, "drop the caches: %s", strerror(errno));
    close_fd(&fd);
}

/* One start, from before its invoke to nothing left of it. */
void run_attempt(int64_t slot, int64_t intended_ns, int late)
{
    struct instance *i = new_instance(slot);
    int64_t deadline = 0;
    i->intended_ns = intended_ns;
    i->late = late;
    if (template.drop_caches)
        drop_caches(i);
    launch_instance(i, &deadline);
    await_exit(i, deadline);
    drain(i);
    judge_end(i);
    if (reap_orphans(NULL, i->status == OK && !i->killed ? REAP_GRACE_NS : 0) == -1)
        fail(i, FAILED, "processes it left behind cannot be killed");
    clean_up(i);
    report(i, "attempt");
}

/* A byte of our own input asks for a start. Returns 0 when nobody asks any more. */
static int await_request(void)
{
    char byte;
    while (!interrupted)
        if (pump(STDIN_FILENO, now_ns() + 3600 * NS_PER_S, NULL))
            return read(STDIN_FILENO, &byte, 1) == 1;
    return 0;
}

static int run_batch(void)
{
    for (int64_t k = 0; k < template.count && !interrupted; k++) {
        if (template.on_request && !await_request())
            break;
        /* Asked for, it rests: whoever asks has just worked, or another start has just ended. */
        int64_t next = k || template.on_request ? now_ns() + template.pause_ns : 0;
        while (now_ns() < next && !interrupted)
            pump(-1, next, NULL); /* nothing lives: it waits for a signal only */
        if (!interrupted)
            run_attempt(0, 0, 0);
    }
    return interrupted ? 128 + SIGTERM : EXIT_OK;
}

/* ---- interactive: instances held at once, on command ------------------------------------------ */

static int has_line(const struct instance *i)
{
    return i->line_start > 0;
}

/* Our own workloads say what they have to say in their first line; the event of a held one has all of it. */
static int is_up(const struct instance *i)
{
    return i->launch.ready.kind == READY_ON_OUTPUT ? has_line(i) : i->stamp_ns[READY] != 0;
}

static void fail_ended_early(struct instance *i)
{
    if (i->launch.ready.kind == READY_ON_OUTPUT)
        fail(i, FAILED, "the workload ended before it was ready");
    else
        fail_ended_unready(i);
}

static void start_held(int64_t slot)
{
    struct instance *i = new_instance(slot);
    int64_t deadline = 0;
    launch_instance(i, &deadline);
    while (i->status == OK && !is_up(i)) {
        if (i->exited) {
            drain(i);
            if (!is_up(i))
                fail_ended_early(i);
        } else if (interrupted)
            fail(i, FAILED, "interrupted");
        else if (now_ns() >= deadline)
            fail_not_ready_in_time(i);
        else
            pump(-1, deadline, NULL);
    }
    ready_end(i);
    if (i->status != OK)
        stop(i);
    report(i, "ready");
}

static void say_go(struct instance *i)
{
    if (i->stdin_fd != -1 && write(i->stdin_fd, "\n", 1) == -1)
        close_fd(&i->stdin_fd);
}

/* Tell it to end and wait for that, or kill it; then whatever it has left goes. While others are held, only what
 * descends from it is known to be its own; the orphans it made before wait for the end of the last instance. */
static void stop_held(struct instance *i, int by_force)
{
    struct pids theirs = {0};
    int pidfd = i->pidfd;
    i->pidfd = -1;
    int others = any_running();
    i->pidfd = pidfd;
    if (others && pidfd != -1)
        theirs = descendants(i->pid);
    if (by_force)
        stop(i);
    else if (pidfd != -1) {
        i->stop_ns = now_ns();
        say_go(i);
        close_fd(&i->stdin_fd);
        await_exit(i, i->stop_ns + template.timeout_ns);
    }
    drain(i);
    if (!i->killed)
        judge_end(i);
    if (reap_orphans(others ? &theirs : NULL, i->killed ? 0 : REAP_GRACE_NS) == -1)
        fail(i, FAILED, "processes it left behind cannot be killed");
    free(theirs.list);
    clean_up(i);
    report(i, "exit");
    i->in_use = 0;
}

/* Write a byte, wait for the answer, again and again: what the way to an instance and back costs. */
static void ping_held(struct instance *i, int64_t count)
{
    int64_t *round_trips = calloc((size_t)count, sizeof *round_trips), done = 0;
    int64_t deadline = now_ns() + template.timeout_ns;
    struct ping ping;
    if (!round_trips)
        die("allocate", "round trips");
    i->ping = &ping;
    for (; i->status == OK && done < count; done++) {
        ping.answered_ns = 0;
        int64_t asked = now_ns();
        if (write(i->stdin_fd, "?", 1) != 1)
            fail(i, FAILED, "its input is closed");
        while (i->status == OK && !ping.answered_ns) {
            if (interrupted)
                fail(i, FAILED, "interrupted");
            else if (i->pidfd == -1 || i->stdout_fd == -1)
                fail(i, FAILED, "the workload ended before it had answered");
            else if (now_ns() >= deadline)
                fail(i, TIMEOUT, "no answer in time");
            else
                pump(-1, deadline, NULL);
        }
        if (i->status != OK)
            break;
        round_trips[done] = ping.answered_ns - asked;
    }
    i->ping = NULL;
    report_ping(i, round_trips, (size_t)done);
    free(round_trips);
}

static void end_all(void)
{
    int64_t deadline = now_ns() + template.grace_ns;
    for (int64_t k = 0; k < instance_count; k++) {
        struct instance *i = &instances[k];
        if (i->pidfd != -1)
            i->stop_ns = now_ns();
        say_go(i);
        close_fd(&i->stdin_fd);
    }
    while (any_running() && now_ns() < deadline && !interrupted)
        pump(-1, deadline, NULL);
    for (int64_t k = 0; k < instance_count; k++) {
        if (interrupted && instances[k].pidfd != -1)
            fail(&instances[k], FAILED, "interrupted");
        stop(&instances[k]);
    }
    int reaped = reap_orphans(NULL, REAP_GRACE_NS);
    for (int64_t k = 0; k < instance_count; k++) {
        struct instance *i = &instances[k];
        if (!i->in_use)
            continue;
        drain(i);
        if (!i->killed)
            judge_end(i); /* to be killed at the end is no failure: not every workload heeds its standard input */
        if (reaped == -1)
            fail(i, FAILED, "processes left behind cannot be killed");
        clean_up(i);
        report(i, "exit");
    }
    report_end(0);
}

/* The slot a word names, NULL when there is none or it is not (or, for a start, still) in use. */
static struct instance *slot_of(const char *word, int in_use)
{
    int64_t slot;
    if (!word || !read_integer(word, 0, template.count - 1, &slot) || instances[slot].in_use != in_use)
        return NULL;
    return &instances[slot];
}

/* Do what the words say. Returns 0 when they say nothing that can be done. */
static int do_command(const char *verb, const char *slot, const char *more)
{
    struct instance *i = slot_of(slot, strcmp(verb, "start") != 0);
    int64_t count;
    if (strcmp(verb, "start") == 0 && !slot && instance_count < template.count)
        start_held(instance_count);
    else if (strcmp(verb, "start") == 0 && i && !more)
        start_held(i - instances);
    else if (strcmp(verb, "send") == 0 && i && !more)
        say_go(i);
    else if (strcmp(verb, "stop") == 0 && i && more && (strcmp(more, "exit") == 0 || strcmp(more, "kill") == 0))
        stop_held(i, *more == 'k');
    else if (strcmp(verb, "ping") == 0 && i && more && read_integer(more, 1, MAX_PINGS, &count))
        ping_held(i, count);
    else
        return 0;
    return 1;
}

enum { GO_ON = -1 };

/* One command line of our own input: "start [SLOT]", "send SLOT", "stop SLOT exit|kill", "ping SLOT COUNT" or "end".
 * Returns GO_ON or the code to exit with. A command we cannot obey ends everything in order, rather than to guess
 * or to leave instances behind. */
static int obey(const char *line)
{
    char words[64], *rest;
    snprintf(words, sizeof words, "%s", line);
    char *verb = strtok_r(words, " ", &rest), *slot = strtok_r(NULL, " ", &rest), *more = strtok_r(NULL, " ", &rest);
    if (strcmp(line, "end") == 0)
        return EXIT_OK;
    if (verb && !strtok_r(NULL, " ", &rest) && do_command(verb, slot, more))
        return GO_ON;
    fprintf(stderr, "isoagent: command '%s' with %lld of %lld slots taken: cannot be obeyed\n", line,
            (long long)instance_count, (long long)template.count);
    return EXIT_USAGE;
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

/* What no two processes may share: the pipe of the signals, the event loop, the word of a failed exec. */
void prepare_process(void)
{
    if (make_pipe(&signal_read_fd, &signal_write_fd) == -1)
        die("make", "pipe");
    set_nonblocking(signal_write_fd);
    streams_prepare();
    spawn_prepare();
}

int verb_start(int argc, char **argv)
{
    static char event_buffer[1 << 16];
    launch_parse(&template, argc, argv);
    setvbuf(stdout, event_buffer, _IOFBF, sizeof event_buffer);
    prepare_process();
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
    int64_t slots = template.interactive ? template.count : template.workers ? template.workers : 1;
    instances = calloc((size_t)slots, sizeof *instances);
    if (!instances)
        die("allocate", "instances");
    for (int64_t k = 0; k < slots; k++) {
        struct instance *i = &instances[k];
        i->pidfd = i->stdin_fd = i->stdout_fd = i->stderr_fd = i->console_fd = i->prober_go_fd = i->probe_fd = -1;
    }
    for (int s = 0; s < template.step_count; s++)
        if (template.steps[s].phase)
            phase_named(template.steps[s].phase); /* refuse an unknown one before anything starts */
    if (template.workers)
        return run_concurrent();
    return template.interactive ? run_interactive() : run_batch();
}
