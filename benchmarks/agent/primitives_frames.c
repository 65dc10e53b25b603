/* How a primitive is measured: in a process that is thrown away, so that the agent keeps its own namespaces. */
#define _GNU_SOURCE
#include "primitives.h"

#include "agent.h"
#include "launch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REST_NS = 200000, ATTEMPT_PAUSE_NS = 20000 };
#define DRAIN_LIMIT_NS (5 * NS_PER_S)
#define SETTLE_LIMIT_NS (NS_PER_S / 2)

void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap", "shared memory");
    /* Its pages are to be there before anybody stamps into them. */
    memset(memory, 0, size);
    return memory;
}

struct samples *samples_open(int64_t iterations)
{
    size_t row = (size_t)iterations * sizeof(int64_t);
    struct samples *samples = shared_memory(sizeof *samples);
    samples->alone = shared_memory(row);
    samples->undone = shared_memory(row);
    samples->drained = shared_memory(row);
    for (int i = 0; i < place.group_count; i++) {
        samples->parts_made[i] = shared_memory(row);
        samples->parts_undone[i] = shared_memory(row);
    }
    return samples;
}

int64_t reap_children(void)
{
    int64_t last = 0;
    for (;;)
        if (waitpid(-1, NULL, 0) != -1)
            last = now_ns();
        else if (errno == ECHILD)
            return last;
}

static int works_on_networks(const char *pid)
{
    char path[32], name[64];
    snprintf(path, sizeof path, "/proc/%.12s/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, name, sizeof name - 1);
    if (fd != -1)
        close(fd);
    name[length > 0 ? length : 0] = '\0';
    /* wq_worker_comm() in kernel/workqueue.c: "+" and what it works on; "-" what it has worked on. */
    return strstr(name, "+netns") != NULL;
}

static int network_is_busy(void)
{
    DIR *proc = opendir("/proc");
    int busy = 0;
    for (struct dirent *entry; proc && !busy && (entry = readdir(proc));)
        busy = isdigit((unsigned char)entry->d_name[0]) && works_on_networks(entry->d_name);
    if (proc)
        closedir(proc);
    return busy;
}

void settle_network(void)
{
    int64_t deadline = now_ns() + SETTLE_LIMIT_NS;
    do
        sleep_ns(NS_PER_MS); /* first too: the worker has to be woken */
    while (network_is_busy() && now_ns() < deadline);
}

void measure_clock(struct samples *samples, int64_t iterations)
{
    for (int64_t i = 0; i < iterations; i++) {
        int64_t begun = now_ns();
        samples->alone[i] = now_ns() - begun;
    }
    samples->alone_count = iterations;
}

static void await_byte(int fd)
{
    char byte;
    while (read(fd, &byte, 1) == -1 && errno == EINTR)
        ;
}

static void open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) == -1)
        die("pipe2", "");
}

static void close_pipe(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* One start of `hold`, which ends when its input does. */
static int exec_once(int64_t *alone, int64_t *undone)
{
    int in[2], out[2], pidfd = -1;
    char program[PATH_SIZE];
    snprintf(program, sizeof program, "%s/isoagent", place.root);
    char *argv[] = {program, "hold", NULL};
    open_pipe(in);
    open_pipe(out);
    struct spawn spawn = {.argv = argv, .stdin_fd = in[0], .stdout_fd = out[1], .stderr_fd = STDERR_FILENO,
                          .console_fd = -1, .cgroup_fd = -1};
    int64_t begun = now_ns();
    pid_t child = spawn_process(&spawn, &pidfd);
    *alone = now_ns() - begun;
    int error = spawn.error;
    if (child != -1 && !error)
        await_byte(out[0]); /* its first byte: it runs */
    close_pipe(out);
    close(in[0]);
    begun = now_ns();
    close(in[1]);
    *undone = reap_children() - begun;
    if (pidfd != -1)
        close(pidfd);
    errno = error;
    return error ? tried(-1, "%s %s", spawn.failed_at, program) : 0;
}

void measure_exec(struct samples *samples, int64_t iterations)
{
    spawn_prepare();
    for (int64_t i = 0; i < iterations; i++) {
        if (exec_once(&samples->alone[i], &samples->undone[i]) == -1) {
            samples->refusal = board->refusal;
            return;
        }
        samples->alone_count = samples->undone_count = i + 1;
        sleep_ns(REST_NS);
    }
}

static _Noreturn void make_and_undo(const struct primitive *primitive, const int go[2])
{
    board->born = now_ns();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(go[1]);
    if (primitive->prepare && primitive->prepare() == -1)
        _exit(EXIT_FAILED);
    board->begun = now_ns();
    if (primitive->make && primitive->make() == -1)
        _exit(EXIT_FAILED);
    board->made = now_ns();
    await_byte(go[0]);
    board->undoing = now_ns();
    if (primitive->undo && primitive->undo() == -1)
        _exit(EXIT_FAILED);
    board->undone = now_ns();
    _exit(EXIT_OK);
}

/* Died without a word of what was refused: by a signal. */
static void check_ended_well(void)
{
    if (board->refusal.error || (board->made && board->undone))
        return;
    errno = ECHILD;
    tried(-1, "the process that makes it was killed");
}

static void keep(const struct primitive *primitive, struct samples *samples, int64_t forked, int64_t reaped)
{
    int64_t at = samples->alone_count;
    samples->alone[at] = primitive->make ? board->made - board->begun : board->born - forked;
    samples->undone[at] = (primitive->undo ? board->undone : reaped) - board->undoing;
    for (int i = 0; i < place.group_count; i++) {
        samples->parts_made[i][at] = board->parts_made[i];
        samples->parts_undone[i][at] = board->parts_undone[i];
    }
    samples->alone_count = samples->undone_count = at + 1;
}

static void iterate(const struct primitive *primitive, struct samples *samples)
{
    int go[2];
    *board = (struct board){0};
    open_pipe(go);
    int64_t forked = now_ns();
    pid_t child = fork();
    if (child == 0)
        make_and_undo(primitive, go);
    if (child == -1)
        die("fork", "");
    close(go[0]);
    /* One that goes on in a sibling ends at once: it is not to be the last we reap. */
    if (primitive->moves)
        waitpid(child, NULL, 0);
    if (write(go[1], "", 1) == -1 && errno != EPIPE)
        die("write", "the go-ahead");
    int64_t reaped = reap_children();
    close(go[1]);
    check_ended_well();
    if (!board->refusal.error)
        keep(primitive, samples, forked, reaped);
    samples->refusal = board->refusal;
}

void measure_alone(const struct primitive *primitive, struct samples *samples, int64_t iterations)
{
    signal(SIGPIPE, SIG_IGN);
    for (int64_t i = 0; i < iterations && !samples->refusal.error; i++) {
        iterate(primitive, samples);
        if (remove_groups_in_the_end() == -1)
            samples->refusal = board->refusal;
        if (primitive->settle_network)
            settle_network();
        else
            sleep_ns(primitive->rest_ns ? primitive->rest_ns : REST_NS);
    }
}

/* One holder of a namespace, of which the kernel allows one only. */
struct holder {
    struct board *board;
    int made[2], go[2];
};

/* ENOSPC: the namespace before is still counted. */
static int make_when_allowed(const struct primitive *primitive)
{
    int64_t deadline = now_ns() + DRAIN_LIMIT_NS, before = now_ns();
    for (;;) {
        board->tried = now_ns();
        if (board->tried - before > board->gap)
            board->gap = board->tried - before;
        before = board->tried;
        int result = primitive->make();
        if (result == 0 || board->refusal.error != ENOSPC || before > deadline)
            return result;
        board->refusal.error = 0;
        sleep_ns(ATTEMPT_PAUSE_NS);
    }
}

static _Noreturn void hold(const struct primitive *primitive, const struct holder *holder)
{
    board = holder->board;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    close(holder->made[0]);
    int result = make_when_allowed(primitive);
    board->made = now_ns();
    if (result == -1 || write(holder->made[1], "", 1) != 1)
        _exit(EXIT_FAILED);
    await_byte(holder->go[0]);
    board->undoing = now_ns();
    _exit(EXIT_OK);
}

static void start_holder(const struct primitive *primitive, struct holder *holder, struct board *its_board)
{
    holder->board = its_board;
    *its_board = (struct board){0};
    open_pipe(holder->made);
    open_pipe(holder->go);
    pid_t child = fork();
    if (child == 0)
        hold(primitive, holder);
    if (child == -1)
        die("fork", "");
    close(holder->made[1]);
    close(holder->go[0]);
}

/* 1 when it has its namespace, 0 when it was refused. */
static int holds(const struct holder *holder)
{
    char byte;
    ssize_t got;
    while ((got = read(holder->made[0], &byte, 1)) == -1 && errno == EINTR)
        ;
    close(holder->made[0]);
    return got == 1;
}

static void let_go(const struct holder *holder)
{
    if (write(holder->go[1], "", 1) == -1 && errno != EPIPE)
        die("write", "the go-ahead");
    close(holder->go[1]);
}

/* While one holds its namespace the next tries to make one, in vain, until the kernel has let go of the first:
 * each success ends the drain of the namespace before. The end of the call counts, not its begin: where there is
 * no room for another, unshare(CLONE_NEWIPC) itself waits for namespaces on their way out. */
static void drain_by_turns(const struct primitive *primitive, struct samples *samples, int64_t drains)
{
    struct board *boards = shared_memory(2 * sizeof *boards);
    struct holder holders[2];
    start_holder(primitive, &holders[0], &boards[0]);
    if (!holds(&holders[0])) {
        samples->refusal = boards[0].refusal;
        return;
    }
    for (int64_t i = 0; i < drains; i++) {
        struct holder *last = &holders[i & 1], *next = &holders[(i + 1) & 1];
        start_holder(primitive, next, &boards[(i + 1) & 1]);
        while (!((volatile struct board *)next->board)->tried)
            sleep_ns(ATTEMPT_PAUSE_NS);
        let_go(last);
        if (!holds(next)) {
            samples->refusal = next->board->refusal;
            return;
        }
        samples->drained[i] = next->board->made - last->board->undoing;
        if (next->board->gap > samples->resolution)
            samples->resolution = next->board->gap;
        samples->drained_count = i + 1;
    }
    let_go(&holders[drains & 1]);
}

/* user.max_*_namespaces (namespaces(7)) counts for each user namespace; the kernel takes one off when it has
 * really let go of it, for a network namespace at the end of cleanup_net(). */
static int allow_one_only(const struct primitive *primitive)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/user/%s", primitive->limit);
    const struct primitive *user = primitive_named("user_namespace");
    if (user->make() == -1 || primitive_named("user_map")->make() == -1)
        return -1;
    return write_file(path, "1");
}

void measure_drained(const struct primitive *primitive, struct samples *samples, int64_t drains)
{
    *board = (struct board){0};
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGCHLD, SIG_IGN); /* no zombies: one keeps its PID namespace alive */
        if (allow_one_only(primitive) == -1)
            samples->refusal = board->refusal;
        else
            drain_by_turns(primitive, samples, drains);
        reap_children();
        _exit(EXIT_OK);
    }
    if (child == -1)
        die("fork", "");
    reap_children();
    if (primitive->settle_network)
        settle_network();
}
