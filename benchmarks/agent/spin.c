/* Burns CPU on every thread for a window of wall time and records when it ran and when it stood still.
 *
 * Each thread reads the clock in a tight loop. Two readings further apart than the threshold mean that
 * the thread did not run in between: a stall (throttled, preempted, or a guest that lost its CPU).
 *
 * The window begins after a lead-in. At the go-ahead the group's quota is unspent and its period timer
 * stands at any phase, so the first k periods may grant k + 1 quotas; once the group has been throttled,
 * its use repeats every period and any k periods hold exactly k quotas, at whatever phase they begin. */
#define _GNU_SOURCE
#include "agent.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_THREADS 1024
#define MAX_PERIODS 4096

struct worker {
    pthread_t thread;
    int64_t cpu_ns, cpu_total_ns, run_ns, stall_ns, longest_stall_ns, stalls, progress, wall_ns;
    int64_t *period_run_ns;
};

static struct {
    int64_t threads, lead_ns, window_ns, period_ns, threshold_ns, periods;
    int64_t begin_ns; /* of the window, after the lead-in */
    pthread_barrier_t go;
} job;

static int64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Add the run segment [from, to) to the periods it lies in; both in ns since the window began. */
static void add_run(struct worker *me, int64_t from, int64_t to)
{
    me->run_ns += to - from;
    while (from < to) {
        int64_t period = from / job.period_ns, end = (period + 1) * job.period_ns;
        int64_t until = end < to ? end : to;
        if (period < job.periods)
            me->period_run_ns[period] += until - from;
        from = until;
    }
}

static void add_stall(struct worker *me, int64_t length)
{
    me->stalls++;
    me->stall_ns += length;
    if (length > me->longest_stall_ns)
        me->longest_stall_ns = length;
}

static void *spin(void *argument)
{
    struct worker *me = argument;
    pthread_barrier_wait(&job.go);
    int64_t cpu_at_go = thread_cpu_ns();
    while (now_ns() < job.begin_ns)
        ;
    int64_t cpu_at_begin = thread_cpu_ns();
    /* The window is the same for all threads; a thread that comes late has stood still until then. */
    int64_t last = 0, run_from = 0;
    while (last < job.window_ns) {
        int64_t at = now_ns() - job.begin_ns;
        if (at - last > job.threshold_ns) {
            int64_t until = at < job.window_ns ? at : job.window_ns;
            add_run(me, run_from, last);
            add_stall(me, until - last);
            run_from = until;
        }
        last = at;
        me->progress++;
    }
    if (run_from < job.window_ns)
        add_run(me, run_from, job.window_ns);
    me->wall_ns = last;
    int64_t cpu_at_end = thread_cpu_ns();
    me->cpu_ns = cpu_at_end - cpu_at_begin;
    me->cpu_total_ns = cpu_at_end - cpu_at_go;
    return NULL;
}

static void report(const struct worker *workers)
{
    static int64_t values[MAX_THREADS], period_run[MAX_PERIODS];
    size_t n = (size_t)job.threads;
    int64_t stalls = 0, longest = 0, wall = 0;
    for (size_t i = 0; i < n; i++) {
        stalls += workers[i].stalls;
        longest = workers[i].longest_stall_ns > longest ? workers[i].longest_stall_ns : longest;
        wall = workers[i].wall_ns > wall ? workers[i].wall_ns : wall;
        for (int64_t p = 0; p < job.periods; p++)
            period_run[p] += workers[i].period_run_ns[p];
    }
#define EACH(key, field)                                                                              \
    for (size_t i = 0; i < n; i++)                                                                    \
        values[i] = workers[i].field;                                                                 \
    json_integers(key, values, n)

    json_begin();
    json_string("verb", "spun");
    json_integer("lead_ns", job.lead_ns);
    json_integer("window_ns", job.window_ns);
    json_integer("wall_ns", wall);
    json_integer("gap_threshold_ns", job.threshold_ns);
    json_integer("stalls", stalls);
    json_integer("longest_stall_ns", longest);
    EACH("cpu_ns", cpu_ns);
    EACH("cpu_total_ns", cpu_total_ns);
    EACH("run_ns", run_ns);
    EACH("stall_ns", stall_ns);
    EACH("progress", progress);
    json_integers("per_period_run_ns", period_run, (size_t)job.periods);
    json_end();
#undef EACH
}

int verb_spin(int argc, char **argv)
{
    int64_t lead_us = 0, window_us = 1000000, period_us = 100000, threshold_us = 20;
    job.threads = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--threads") == 0)
            job.threads = parse_integer("--threads", take_value(argc, argv, &i), 1, MAX_THREADS);
        else if (strcmp(argv[i], "--lead-us") == 0)
            lead_us = parse_integer("--lead-us", take_value(argc, argv, &i), 0, 3600000000LL);
        else if (strcmp(argv[i], "--window-us") == 0)
            window_us = parse_integer("--window-us", take_value(argc, argv, &i), 1, 3600000000LL);
        else if (strcmp(argv[i], "--period-us") == 0)
            period_us = parse_integer("--period-us", take_value(argc, argv, &i), 1, 3600000000LL);
        else if (strcmp(argv[i], "--threshold-us") == 0)
            threshold_us = parse_integer("--threshold-us", take_value(argc, argv, &i), 1, 1000000);
        else
            usage_error("unknown option", argv[i]);
    job.lead_ns = lead_us * 1000;
    job.window_ns = window_us * 1000;
    job.period_ns = period_us * 1000;
    job.threshold_ns = threshold_us * 1000;
    job.periods = (window_us + period_us - 1) / period_us;
    if (job.periods > MAX_PERIODS)
        usage_error("the window has more periods than are kept (4096)", "--window-us");

    struct worker *workers = calloc((size_t)job.threads, sizeof *workers);
    if (!workers || pthread_barrier_init(&job.go, NULL, (unsigned)job.threads))
        die("allocate", "workers");
    for (int64_t i = 0; i < job.threads; i++) {
        workers[i].period_run_ns = calloc((size_t)job.periods, sizeof(int64_t));
        if (!workers[i].period_run_ns)
            die("allocate", "periods");
    }
    /* Threads exist before the workload is ready: making them is no part of the window. */
    for (int64_t i = 1; i < job.threads; i++)
        if (pthread_create(&workers[i].thread, NULL, spin, &workers[i]))
            die("create", "thread");
    hello_begin("spin");
    json_end();
    wait_for_go();
    job.begin_ns = now_ns() + job.lead_ns;
    spin(&workers[0]); /* the barrier inside lets the others go */
    for (int64_t i = 1; i < job.threads; i++)
        pthread_join(workers[i].thread, NULL);
    report(workers);
    wait_for_go();
    return EXIT_OK;
}
