/* What the instrument itself costs: `timer`, the clock; `plain`, the least a program can do to start another. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Readings of the clock, one right after the other. */
int verb_timer(int argc, char **argv)
{
    int64_t calls = 100000, smallest = INT64_MAX, largest = 0;
    struct timespec resolution;
    for (int i = 1; i < argc; i++)
        calls = parse_integer("calls", argv[i], 2, 100000000);
    clock_getres(CLOCK_MONOTONIC, &resolution);
    int64_t first = now_ns(), last = first;
    for (int64_t k = 1; k < calls; k++) {
        int64_t at = now_ns(), step = at - last;
        if (step > 0 && step < smallest)
            smallest = step;
        if (step > largest)
            largest = step;
        last = at;
    }
    json_begin();
    json_string("verb", "timer");
    json_integer("calls", calls);
    json_integer("total_ns", last - first);
    json_integer("smallest_step_ns", smallest);
    json_integer("largest_step_ns", largest);
    json_integer("resolution_ns", resolution.tv_sec * NS_PER_S + resolution.tv_nsec);
    json_end();
    return EXIT_OK;
}

/* One start, from just before vfork(2) to its first byte through a pipe, by two readings of the clock. It shares
 * nothing with `start`: no console, no standard error, no pidfd, no poll(2), no time limit. */
static int64_t plain_start(char **command)
{
    int ends[2];
    char byte;
    if (pipe(ends) == -1)
        die("make", "pipe");
    int64_t begin = now_ns();
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execv(command[0], command);
        _exit(EXIT_CANNOT_EXEC);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], &byte, 1);
    int64_t end = now_ns();
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    close(ends[0]);
    if (pid == -1 || got != 1 || status)
        die("start", command[0]);
    return end - begin;
}

/* `plain COUNT PAUSE-MS PROGRAM [ARGUMENT]...` */
int verb_plain(int argc, char **argv)
{
    if (argc < 4)
        usage_error("COUNT, PAUSE-MS and a program are needed", "plain");
    int64_t count = parse_integer("COUNT", argv[1], 1, 100000), pause_ms = parse_integer("PAUSE-MS", argv[2], 0, 60000);
    int64_t *taken = calloc((size_t)count, sizeof *taken);
    if (!taken)
        die("allocate", "times");
    for (int64_t k = 0; k < count; k++) {
        if (k)
            sleep_ns(pause_ms * NS_PER_MS);
        taken[k] = plain_start(argv + 3);
    }
    json_begin();
    json_string("verb", "plain");
    json_integers("taken_ns", taken, (size_t)count);
    json_end();
    free(taken);
    return EXIT_OK;
}
