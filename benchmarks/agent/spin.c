/* Burns CPU on every thread for a window of wall time and records when it ran and when it stood still.
 *
 * Each thread reads the clock in a tight loop. Two readings further apart than the threshold mean that
 * the thread did not run in between: a stall (throttled, preempted, or a guest that lost its CPU).
 *
 * The window begins after a lead-in. At the go-ahead the group's quota is unspent and its period timer
 * stands at any phase, so the first k periods may grant k + 1 quotas; once the group has been throttled,
 * its use repeats every period and any k periods hold exactly k quotas, at whatever phase they begin. The
 * greatest use is looked for in the lead-in as well: that is where an overshoot would be. */
#define _GNU_SOURCE
#include "agent.h"
#include "stalls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 1024
#define MAX_PERIODS 4096
#define ROOM 65536 /* stalls of all threads together; each has at least: */
#define ROOM_EACH 1024
#define SHORT_WIDTH_NS (10 * NS_PER_MS)

/* Lengths of stalls by their two highest bits after the first: four bins an octave. */
#define BINS (4 * 64)

/* What is told stall by stall: enough for a picture. */
#define SHOWN_PERIODS 3
#define SHOWN_THREADS 4
#define SHOWN_STALLS 24
#define SHOWN_PART 400 /* of the period: shorter ones would not be seen */

struct worker {
    pthread_t thread;
    struct stalls stalls;
    int64_t cpu_ns, cpu_total_ns, run_ns, stall_ns;
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

static void *spin(void *argument)
{
    struct worker *me = argument;
    pthread_barrier_wait(&job.go);
    int64_t cpu_at_go = thread_cpu_ns();
    /* Both spans are the same for all threads; a thread that comes late has stood still until then. */
    stalls_watch(&me->stalls, job.begin_ns, -job.lead_ns, 0, job.threshold_ns);
    int64_t cpu_at_begin = thread_cpu_ns();
    stalls_watch(&me->stalls, job.begin_ns, 0, job.window_ns, job.threshold_ns);
    int64_t cpu_at_end = thread_cpu_ns();
    me->cpu_ns = cpu_at_end - cpu_at_begin;
    me->cpu_total_ns = cpu_at_end - cpu_at_go;
    return NULL;
}

/* CPU time taken from the machine whose kernel this is, in ms; -1 where there is no /proc (proc_stat(5)). */
static int64_t steal_ms(void)
{
    long long ticks;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return -1;
    int found = fscanf(file, "cpu %*d %*d %*d %*d %*d %*d %*d %lld", &ticks);
    fclose(file);
    return found == 1 ? ticks * 1000 / sysconf(_SC_CLK_TCK) : -1;
}

static int bin_of(int64_t ns)
{
    int octave = 63 - __builtin_clzll((unsigned long long)ns);
    return octave < 2 ? octave * 4 : octave * 4 + (int)((ns >> (octave - 2)) & 3);
}

/* The stalls of the window, their lengths in ascending order. */
static int64_t *lengths_of(const struct worker *workers, size_t n, size_t *count)
{
    size_t most = 1;
    for (size_t i = 0; i < n; i++)
        most += workers[i].stalls.count;
    int64_t *lengths = malloc(most * sizeof *lengths);
    if (!lengths)
        die("allocate", "lengths");
    *count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < workers[i].stalls.count; k++)
            if (workers[i].stalls.list[k].begin >= 0)
                lengths[(*count)++] = workers[i].stalls.list[k].end - workers[i].stalls.list[k].begin;
    qsort(lengths, *count, sizeof *lengths, compare_ns);
    return lengths;
}

static void report_stalls(const struct worker *workers, size_t n)
{
    static int64_t pairs[2 * BINS];
    size_t count, bins = 0;
    int64_t *lengths = lengths_of(workers, n, &count);
    for (size_t i = 0; i < count; i++) {
        int64_t bin = bin_of(lengths[i]);
        if (!bins || pairs[2 * bins - 2] != bin) {
            pairs[2 * bins] = bin;
            pairs[2 * bins++ + 1] = 0;
        }
        pairs[2 * bins - 1]++;
    }
    json_integer("stalls", (int64_t)count);
    json_integer("longest_stall_ns", per_mille(lengths, count, 1000));
    json_integer("p99_stall_ns", per_mille(lengths, count, 990));
    json_integers("stall_bins", pairs, 2 * bins);
    free(lengths);
}

/* Thread, begin and end of the stalls of the first few periods. */
static void report_timeline(const struct worker *workers, size_t n)
{
    static int64_t shown[3 * SHOWN_THREADS * SHOWN_STALLS];
    size_t count = 0;
    for (size_t i = 0; i < n && i < SHOWN_THREADS; i++) {
        size_t own = 0;
        for (size_t k = 0; k < workers[i].stalls.count && own < SHOWN_STALLS; k++) {
            struct stall stall = workers[i].stalls.list[k];
            if (stall.begin < 0 || stall.end - stall.begin < job.period_ns / SHOWN_PART)
                continue;
            if (stall.begin >= SHOWN_PERIODS * job.period_ns)
                break;
            shown[count++] = (int64_t)i;
            shown[count++] = stall.begin;
            shown[count++] = stall.end;
            own++;
        }
    }
    json_integers("timeline_ns", shown, count);
}

static void report_periods(const struct worker *workers, size_t n)
{
    static int64_t run[MAX_PERIODS];
    for (int64_t p = 0; p < job.periods; p++) {
        int64_t end = (p + 1) * job.period_ns;
        run[p] = (int64_t)n * ((end < job.window_ns ? end : job.window_ns) - p * job.period_ns);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < workers[i].stalls.count; k++) {
            struct stall stall = workers[i].stalls.list[k];
            for (int64_t from = stall.begin > 0 ? stall.begin : 0; from < stall.end;) {
                int64_t period = from / job.period_ns, end = (period + 1) * job.period_ns;
                int64_t until = end < stall.end ? end : stall.end;
                run[period] -= until - from;
                from = until;
            }
        }
    json_integers("per_period_run_ns", run, (size_t)job.periods);
}

static void report_most(const struct worker *workers, size_t n)
{
    struct stalls *records = calloc(n, sizeof *records);
    if (!records)
        die("allocate", "records");
    for (size_t i = 0; i < n; i++)
        records[i] = workers[i].stalls;
    json_integer("most_in_period_ns",
                 stalls_most_run(records, n, -job.lead_ns, job.window_ns, job.period_ns));
    json_integer("most_in_10ms_ns", stalls_most_run(records, n, -job.lead_ns, job.window_ns, SHORT_WIDTH_NS));
    free(records);
}

static void report(struct worker *workers, int64_t stolen_ms)
{
    static int64_t values[MAX_THREADS];
    size_t n = (size_t)job.threads;
    int64_t lost = 0;
    for (size_t i = 0; i < n; i++) {
        lost += workers[i].stalls.lost;
        workers[i].stall_ns = stalls_within(&workers[i].stalls, 0, job.window_ns);
        workers[i].run_ns = job.window_ns - workers[i].stall_ns;
    }
#define EACH(key, field)                                                                              \
    for (size_t i = 0; i < n; i++)                                                                    \
        values[i] = workers[i].field;                                                                 \
    json_integers(key, values, n)

    json_begin();
    json_string("verb", "spun");
    json_integer("lead_ns", job.lead_ns);
    json_integer("window_ns", job.window_ns);
    json_integer("gap_threshold_ns", job.threshold_ns);
    json_integer("lost_stalls", lost);
    if (stolen_ms >= 0)
        json_integer("steal_ms", stolen_ms);
    else
        json_null("steal_ms");
    EACH("cpu_ns", cpu_ns);
    EACH("cpu_total_ns", cpu_total_ns);
    EACH("run_ns", run_ns);
    EACH("stall_ns", stall_ns);
    EACH("progress", stalls.readings);
    report_stalls(workers, n);
    report_most(workers, n);
    report_timeline(workers, n);
    report_periods(workers, n);
    json_end();
#undef EACH
}

static struct worker *make_workers(void)
{
    struct worker *workers = calloc((size_t)job.threads, sizeof *workers);
    if (!workers || pthread_barrier_init(&job.go, NULL, (unsigned)job.threads))
        die("allocate", "workers");
    int64_t room = ROOM / job.threads > ROOM_EACH ? ROOM / job.threads : ROOM_EACH;
    for (int64_t i = 0; i < job.threads; i++)
        stalls_open(&workers[i].stalls, (size_t)room);
    /* Threads exist before the workload is ready: making them is no part of the window. */
    for (int64_t i = 1; i < job.threads; i++)
        if (pthread_create(&workers[i].thread, NULL, spin, &workers[i]))
            die("create", "thread");
    return workers;
}

int verb_spin(int argc, char **argv)
{
    int64_t lead_us = 0, window_us = 1000000, period_us = 100000, threshold_us = 10;
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

    struct worker *workers = make_workers();
    hello_begin("spin");
    json_end();
    wait_for_go();
    int64_t stolen_ms = steal_ms();
    job.begin_ns = now_ns() + job.lead_ns;
    spin(&workers[0]); /* the barrier inside lets the others go */
    for (int64_t i = 1; i < job.threads; i++)
        pthread_join(workers[i].thread, NULL);
    report(workers, stolen_ms < 0 ? -1 : steal_ms() - stolen_ms);
    wait_for_go();
    return EXIT_OK;
}
