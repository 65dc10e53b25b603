/* What the recorder of stalls sees, against stops of known length. One thread records; another interrupts it by
 * a signal, whose handler keeps the thread for a given time and notes by the same clock from when to when. A stop
 * is seen when one recorded stall spans it. */
#define _GNU_SOURCE
#include "agent.h"
#include "stalls.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STOPS 10000
#define REST_NS (NS_PER_MS / 2) /* between two stops, so that they stay apart */
#define TAIL_NS (50 * NS_PER_MS)
#define ROOM 65536

static const int64_t LENGTHS_US[] = {1, 2, 5, 8, 10, 12, 15, 20, 50, 100, 500, 2000};

static struct stall stops[MAX_STOPS]; /* by the handler, ns of the clock */
static volatile sig_atomic_t stopped;
static int64_t stop_ns;

static struct {
    struct stalls stalls;
    int64_t zero_ns, until_ns, threshold_ns;
    pthread_barrier_t go;
} job;

static void stop(int signal)
{
    (void)signal;
    int64_t begin = now_ns(), at;
    do
        at = now_ns();
    while (at - begin < stop_ns);
    stops[stopped].begin = begin;
    stops[stopped].end = at;
    stopped++;
}

static void *watch(void *unused)
{
    pthread_barrier_wait(&job.go);
    stalls_watch(&job.stalls, job.zero_ns, 0, job.until_ns, job.threshold_ns);
    return unused;
}

static int64_t spanning(const struct stall *stop_at, size_t *from)
{
    int64_t begin = stop_at->begin - job.zero_ns, end = stop_at->end - job.zero_ns;
    while (*from < job.stalls.count && job.stalls.list[*from].end < end)
        (*from)++;
    if (*from == job.stalls.count || job.stalls.list[*from].begin > begin)
        return -1;
    return job.stalls.list[*from].end - job.stalls.list[*from].begin;
}

static void report(int64_t length_ns)
{
    static int64_t excess[MAX_STOPS];
    size_t seen = 0, within = 0, at = 0;
    int64_t shortest_seen = 0, longest_missed = 0;
    for (int i = 0; i < stopped; i++) {
        int64_t truth = stops[i].end - stops[i].begin;
        if (stops[i].end - job.zero_ns >= job.until_ns)
            continue;
        within++;
        int64_t found = spanning(&stops[i], &at);
        if (found < 0) {
            longest_missed = truth > longest_missed ? truth : longest_missed;
            continue;
        }
        shortest_seen = !shortest_seen || truth < shortest_seen ? truth : shortest_seen;
        excess[seen++] = found - truth;
    }
    qsort(excess, seen, sizeof *excess, compare_ns);
    int64_t run = job.until_ns - stalls_within(&job.stalls, 0, job.until_ns);
    json_begin();
    json_string("verb", "gaps");
    json_integer("threshold_ns", job.threshold_ns);
    json_integer("length_ns", length_ns);
    json_integer("stops", (int64_t)within);
    json_integer("seen", (int64_t)seen);
    json_integer("shortest_seen_ns", shortest_seen);
    json_integer("longest_missed_ns", longest_missed);
    json_integer("excess_p50_ns", per_mille(excess, seen, 500));
    json_integer("excess_p99_ns", per_mille(excess, seen, 990));
    json_integer("stalls", (int64_t)job.stalls.count);
    json_integer("lost_stalls", job.stalls.lost);
    json_integer("readings", job.stalls.readings);
    json_integer("run_ns", run);
    json_integer("window_ns", job.until_ns);
    json_end();
}

static void measure(int64_t length_ns, int64_t count)
{
    pthread_t watcher;
    job.stalls.count = 0;
    job.stalls.lost = job.stalls.readings = 0;
    stopped = 0;
    stop_ns = length_ns;
    if (pthread_barrier_init(&job.go, NULL, 2) || pthread_create(&watcher, NULL, watch, NULL))
        die("create", "thread");
    job.zero_ns = now_ns();
    job.until_ns = count * (length_ns + 2 * REST_NS) + TAIL_NS;
    pthread_barrier_wait(&job.go);
    for (int64_t i = 0; i < count && now_ns() < job.zero_ns + job.until_ns - TAIL_NS / 2; i++) {
        sleep_ns(REST_NS);
        pthread_kill(watcher, SIGUSR1);
        while (stopped <= i && now_ns() < job.zero_ns + job.until_ns)
            sleep_ns(REST_NS / 10);
    }
    pthread_join(watcher, NULL);
    pthread_barrier_destroy(&job.go);
    report(length_ns);
}

int verb_gaps(int argc, char **argv)
{
    int64_t threshold_us = 10, count = 100;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--threshold-us") == 0)
            threshold_us = parse_integer("--threshold-us", take_value(argc, argv, &i), 1, 1000000);
        else if (strcmp(argv[i], "--count") == 0)
            count = parse_integer("--count", take_value(argc, argv, &i), 1, MAX_STOPS);
        else
            usage_error("unknown option", argv[i]);
    job.threshold_ns = threshold_us * 1000;
    struct sigaction action = {.sa_handler = stop};
    if (sigaction(SIGUSR1, &action, NULL) == -1)
        die("handle", "SIGUSR1");
    stalls_open(&job.stalls, ROOM);
    for (size_t i = 0; i < sizeof LENGTHS_US / sizeof *LENGTHS_US; i++)
        measure(LENGTHS_US[i] * 1000, count);
    return EXIT_OK;
}
