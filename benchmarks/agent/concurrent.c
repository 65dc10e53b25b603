/* `start --workers N`: N instances at once, each started by a process of its own.
 *
 * A worker is a whole starter: its own subreaper, event loop and slot, so that no start waits for another one's
 * helper commands, and none of them reaps what is another's. The next start is the next of a counter all workers
 * share. Closed loop: a worker takes it as soon as its last instance has ended and is cleaned up. Open loop
 * (--due): it is due at a time of its own, for which a free worker waits; when none is free it begins late.
 *
 * What a worker says goes into memory of its own and is passed on when all have ended: nobody is woken to read it
 * while we measure. */
#define _GNU_SOURCE
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAD_NS (50 * NS_PER_MS)     /* from the last worker's being ready to the window: all of them have to wake up */
#define FINE_SLEEP_NS (2 * NS_PER_MS) /* the part of a sleep that a signal may have to wait for */

struct schedule {
    const int64_t *due_ns; /* NULL: closed loop */
    int64_t count;
};

/* Between the workers. */
static struct shared {
    int64_t t0_ns, next;
} *shared;

struct worker {
    pid_t pid;
    int said_fd;
};

/* int64_t of this machine, ascending, in ns since the beginning of the window. */
static struct schedule read_schedule(const char *path)
{
    struct schedule schedule = {.count = template.count};
    struct stat status;
    if (!path)
        return schedule;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1 || fstat(fd, &status) == -1)
        die("read", path);
    schedule.count = status.st_size / (int64_t)sizeof *schedule.due_ns;
    if (schedule.count == 0)
        usage_error("holds no time at all", path);
    schedule.due_ns = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (schedule.due_ns == MAP_FAILED)
        die("map", path);
    close(fd);
    return schedule;
}

/* Not late by the slack of 50 us that timers have by default (prctl(2), PR_SET_TIMERSLACK), which the workload must
 * not find changed: it is inherited. */
static void sleep_until(int64_t at)
{
    while (!interrupted && now_ns() < at - FINE_SLEEP_NS)
        pump(-1, at - FINE_SLEEP_NS, NULL);
    struct timespec t = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
    prctl(PR_SET_TIMERSLACK, 1);
    while (!interrupted && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
    prctl(PR_SET_TIMERSLACK, 0);
}

/* One start, if there is one left and the window is not over. Returns 0 when there is not. */
static int next_start(int64_t slot, const struct schedule *schedule)
{
    int64_t number = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED), now = now_ns();
    if (number >= schedule->count || now >= shared->t0_ns + template.window_ns)
        return 0;
    int64_t due = schedule->due_ns ? shared->t0_ns + schedule->due_ns[number] : 0;
    if (due > now)
        sleep_until(due);
    if (!interrupted)
        run_attempt(slot, due, due && due < now);
    return 1;
}

static int work(int64_t slot, const struct schedule *schedule, int ready_fd, int go_fd)
{
    prepare_process();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (write(ready_fd, "", 1) != 1)
        die("tell", "that a worker is ready");
    while (!interrupted && !pump(go_fd, now_ns() + NS_PER_S, NULL))
        ;
    close(go_fd);
    close(ready_fd);
    if (!interrupted && !schedule->due_ns)
        sleep_until(shared->t0_ns);
    while (!interrupted && next_start(slot, schedule))
        ;
    return interrupted ? 128 + SIGTERM : EXIT_OK;
}

static void start_worker(struct worker *worker, int64_t slot, const struct schedule *schedule, int ready_fd, int go_fd,
                         int go_write_fd)
{
    pid_t parent = getpid();
    if ((worker->said_fd = memfd_create("isoagent", MFD_CLOEXEC)) == -1 || (worker->pid = fork()) == -1)
        die("make", "a worker");
    if (worker->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* as the coordinator has it: clean up and end */
    if (getppid() != parent)
        _exit(128 + SIGTERM);
    close(go_write_fd);
    if (dup2(worker->said_fd, STDOUT_FILENO) == -1)
        die("redirect", "standard output");
    _exit(work(slot, schedule, ready_fd, go_fd));
}

/* What became of the workers since the last look. Returns how many have ended. */
static int64_t collect(struct worker *workers, int *broken)
{
    int64_t ended = 0;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int64_t k = 0; k < template.workers; k++) {
            if (workers[k].pid != pid)
                continue;
            workers[k].pid = 0;
            ended++;
            if (!WIFEXITED(status) || (WEXITSTATUS(status) != EXIT_OK && WEXITSTATUS(status) != 128 + SIGTERM))
                *broken = 1;
        }
    return ended;
}

static void end_workers(const struct worker *workers)
{
    for (int64_t k = 0; k < template.workers; k++)
        if (workers[k].pid > 0)
            kill(workers[k].pid, SIGTERM);
}

/* Handle a signal, if one comes within the time (NULL: until one comes). */
static void heed(const sigset_t *signals, const struct timespec *limit, const struct worker *workers)
{
    int number = sigtimedwait(signals, NULL, limit);
    if (number <= 0 || number == SIGCHLD)
        return;
    interrupted = 1;
    end_workers(workers);
}

static void pass_on(const struct worker *worker)
{
    static char buffer[64 * 1024];
    ssize_t length;
    if (lseek(worker->said_fd, 0, SEEK_SET) == -1)
        die("read", "what a worker said");
    while ((length = read(worker->said_fd, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)length, stdout);
    close(worker->said_fd);
}

int run_concurrent(void)
{
    struct schedule schedule = read_schedule(template.due);
    struct worker *workers = calloc((size_t)template.workers, sizeof *workers);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!workers || shared == MAP_FAILED)
        die("allocate", "workers");
    int ready_fd, ready_write_fd, go_fd, go_write_fd, broken = 0;
    if (make_pipe(&ready_fd, &ready_write_fd) == -1 || make_pipe(&go_fd, &go_write_fd) == -1)
        die("make", "pipe");
    set_nonblocking(ready_fd);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (int64_t k = 0; k < template.workers; k++)
        start_worker(&workers[k], k, &schedule, ready_write_fd, go_fd, go_write_fd);
    close(ready_write_fd);
    close(go_fd);

    int64_t ready = 0, left = template.workers;
    const struct timespec moment = {.tv_nsec = NS_PER_MS};
    while (ready < left && !interrupted && !broken) {
        char bytes[64];
        ssize_t length = read(ready_fd, bytes, sizeof bytes);
        ready += length > 0 ? length : 0;
        if (length <= 0)
            heed(&signals, &moment, workers);
        left -= collect(workers, &broken);
    }
    if (broken)
        end_workers(workers);
    shared->t0_ns = now_ns() + LEAD_NS;
    close(go_write_fd);
    while (left > 0) {
        heed(&signals, NULL, workers);
        left -= collect(workers, &broken);
        if (broken)
            end_workers(workers);
    }
    close(ready_fd);
    if (broken)
        fprintf(stderr, "isoagent: a worker ended before its work was done\n");
    if (broken && reap_orphans(NULL, 0) == -1)
        fprintf(stderr, "isoagent: processes it left behind cannot be killed\n");
    for (int64_t k = 0; k < template.workers; k++)
        pass_on(&workers[k]);
    free(workers);
    report_end(shared->t0_ns);
    return broken ? EXIT_FAILED : interrupted ? 128 + SIGTERM : EXIT_OK;
}
