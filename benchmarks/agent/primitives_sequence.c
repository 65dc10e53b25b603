/* The primitives one after the other, in one start, in the order of runc: the process, its cgroup before it can
 * escape, namespaces, network, mounts, root, filter, exec. */
#define _GNU_SOURCE
#include "primitives.h"

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC "exec"

static const char *const PLAIN[] = {
    "process",       "cgroup_create",     "cgroup_enter",   "mount_namespace",  "uts_namespace",
    "ipc_namespace", "network_namespace", "pid_namespace",  "cgroup_namespace", "veth_pair",
    "private_mounts", "overlay_mount",    "proc_mount",     "tmpfs_mount",      "bind_mount",
    "pivot_root",    "seccomp_profile",   EXEC,             NULL,
};

/* No veth pair: root inside has no right to the host's end of one, which is why rootless runtimes make none. */
static const char *const WITH_USER[] = {
    "process",       "cgroup_create", "cgroup_enter",      "user_namespace", "user_map",         "mount_namespace",
    "uts_namespace", "ipc_namespace", "network_namespace", "pid_namespace",  "cgroup_namespace", "private_mounts",
    "overlay_mount", "proc_mount",    "tmpfs_mount",       "bind_mount",     "pivot_root",       "seccomp_profile",
    EXEC,            NULL,
};

/* Without it the others still do what they should. After a namespace that was refused they would act on the
 * host: a mount would stay there, and pivot_root(2) would take its root away. */
static int can_be_left_out(const char *step)
{
    return strncmp(step, "cgroup_", strlen("cgroup_")) == 0 || strcmp(step, "veth_pair") == 0 ||
           strncmp(step, "seccomp_", strlen("seccomp_")) == 0;
}

static void take_step(const char *step, int number)
{
    const struct primitive *primitive = primitive_named(step);
    board->refusal = (struct refusal){0};
    int result = primitive->make ? primitive->make() : 0;
    board->stamps[number] = now_ns();
    board->refusals[number] = board->refusal;
    if (result == -1 && !can_be_left_out(step))
        _exit(EXIT_FAILED);
}

static _Noreturn void run_steps(const char *const *steps, int in, int out)
{
    static char *const ARGV[] = {"/isoagent", "hold", NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int number = 0;
    for (; strcmp(steps[number], EXEC) != 0; number++)
        take_step(steps[number], number);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execv(ARGV[0], ARGV);
    tried(-1, "exec %s", ARGV[0]);
    board->refusals[number] = board->refusal;
    _exit(EXIT_CANNOT_EXEC);
}

/* The stamp at the top of main of the program that was executed, from its first line; 0 when it said none. */
static int64_t first_instruction_of(int fd)
{
    char line[256];
    size_t length = 0;
    ssize_t got;
    while (length < sizeof line - 1 && (got = read(fd, line + length, sizeof line - 1 - length)) != 0) {
        if (got == -1 && errno != EINTR)
            break;
        length += got > 0 ? (size_t)got : 0;
        if (memchr(line, '\n', length))
            break;
    }
    line[length] = '\0';
    const char *stamp = strstr(line, "\"t\":");
    return stamp ? strtoll(stamp + 4, NULL, 10) : 0;
}

static int take_down(void)
{
    if (place.outer_net != -1 && veth_remove_outer_end() == -1)
        return -1;
    return remove_groups_in_the_end();
}

static struct refusal why_it_stopped(const char *const *steps)
{
    for (int i = 0; steps[i]; i++)
        if (board->refusals[i].error && !can_be_left_out(steps[i])) {
            errno = board->refusals[i].error;
            tried(-1, "the sequence stopped at %s: %.160s", steps[i], board->refusals[i].call);
            return board->refusal;
        }
    errno = ECHILD;
    tried(-1, "the program at the end of the sequence said nothing");
    return board->refusal;
}

/* The first step is over when the new process runs; it stamps that itself. */
static void iterate(struct sequence *sequence)
{
    int in[2], out[2], last = 0;
    *board = (struct board){0};
    if (pipe2(in, O_CLOEXEC) == -1 || pipe2(out, O_CLOEXEC) == -1)
        die("pipe2", "");
    int64_t begun = now_ns();
    pid_t child = fork();
    if (child == 0)
        run_steps(sequence->steps, in[0], out[1]);
    if (child == -1)
        die("fork", "");
    close(in[0]);
    close(out[1]);
    while (sequence->steps[last + 1])
        last++;
    board->stamps[last] = first_instruction_of(out[0]);
    int64_t undoing = now_ns();
    close(in[1]);
    close(out[0]);
    reap_children();
    board->refusal = (struct refusal){0};
    int taken_down = take_down();
    int64_t undone = now_ns();
    for (int i = 0; i <= last; i++) {
        sequence->stamps[i][sequence->count] = board->stamps[i] - begun;
        if (board->refusals[i].error)
            sequence->refusals[i] = board->refusals[i];
    }
    sequence->undone[sequence->count] = undone - undoing;
    if (taken_down == -1)
        sequence->refusal = board->refusal;
    else if (board->stamps[last])
        sequence->count++;
    else
        sequence->refusal = why_it_stopped(sequence->steps);
    settle_network();
}

struct sequence *sequence_open(int with_user_namespace, int64_t iterations)
{
    struct sequence *sequence = shared_memory(sizeof *sequence);
    size_t row = (size_t)iterations * sizeof(int64_t);
    sequence->steps = with_user_namespace ? WITH_USER : PLAIN;
    sequence->with_user_namespace = with_user_namespace;
    sequence->undone = shared_memory(row);
    for (int i = 0; sequence->steps[i]; i++)
        sequence->stamps[i] = shared_memory(row);
    return sequence;
}

void measure_sequence(struct sequence *sequence, int64_t iterations)
{
    use_new_root();
    seccomp_prepare();
    /* What refuses it here refuses the network namespace of the sequence too, which then says so. */
    if (!sequence->with_user_namespace)
        outer_network_open();
    for (int64_t i = 0; i < iterations && !sequence->refusal.error; i++)
        iterate(sequence);
}
