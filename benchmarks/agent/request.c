/* A server of one thread: short work, then sleep. Requests are due at times fixed beforehand, whether or not the
 * ones before are done, and each is timed from when it was due: a stall hits every request it should (open loop).
 *
 * The times are the same in every run: a slot of a 16th of the mean interval holds a request with a chance of
 * 1:16, which is near to a Poisson process. The work is a number of rounds, fixed by a calibration before the
 * workload is ready: by a clock, a guest that loses its CPU would do less of it. */
#define _GNU_SOURCE
#include "agent.h"
#include "stalls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define SLOTS 16
#define TRIALS 20
#define MAX_REQUESTS 100000

static volatile uint64_t sink;

static uint64_t step(uint64_t x)
{
    x ^= x << 13; /* xorshift64 */
    x ^= x >> 7;
    return x ^ (x << 17);
}

static void work(int64_t rounds)
{
    uint64_t x = 88172645463325252ULL;
    while (rounds--)
        x = step(x);
    sink = x;
}

static int64_t fastest_ns(int64_t rounds)
{
    int64_t least = INT64_MAX;
    for (int trial = 0; trial < TRIALS; trial++) {
        int64_t before = now_ns();
        work(rounds);
        int64_t took = now_ns() - before;
        least = took < least ? took : least;
    }
    return least;
}

static int64_t rounds_for(int64_t work_ns)
{
    int64_t probe = 20000;
    int64_t rounds = probe * work_ns / fastest_ns(probe);
    return rounds ? rounds : 1;
}

static int64_t *due_times(int64_t count, int64_t mean_ns)
{
    int64_t *due = malloc((size_t)count * sizeof *due);
    if (!due)
        die("allocate", "times");
    uint64_t x = 0x9e3779b97f4a7c15ULL;
    int64_t at = 0;
    for (int64_t i = 0; i < count;) {
        x = step(x);
        at += mean_ns / SLOTS;
        if ((x >> 32) % SLOTS == 0)
            due[i++] = at;
    }
    return due;
}

static void sleep_until(int64_t at)
{
    struct timespec t = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void report(int64_t *latency, size_t count, int64_t wall_ns, int64_t cpu_ns, int64_t work_ns)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += latency[i];
    qsort(latency, count, sizeof *latency, compare_ns);
    json_begin();
    json_string("verb", "served");
    json_integer("requests", (int64_t)count);
    json_integer("work_ns", work_ns);
    json_integer("wall_ns", wall_ns);
    json_integer("cpu_ns", cpu_ns);
    json_integer("mean_ns", sum / (int64_t)count);
    json_integer("p50_ns", per_mille(latency, count, 500));
    json_integer("p99_ns", per_mille(latency, count, 990));
    json_integer("p999_ns", per_mille(latency, count, 999));
    json_integer("max_ns", latency[count - 1]);
    json_end();
}

int verb_request(int argc, char **argv)
{
    int64_t work_us = 200, mean_us = 1000, count = 1000;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--work-us") == 0)
            work_us = parse_integer("--work-us", take_value(argc, argv, &i), 1, 1000000);
        else if (strcmp(argv[i], "--mean-us") == 0)
            mean_us = parse_integer("--mean-us", take_value(argc, argv, &i), 16, 10000000);
        else if (strcmp(argv[i], "--count") == 0)
            count = parse_integer("--count", take_value(argc, argv, &i), 1, MAX_REQUESTS);
        else
            usage_error("unknown option", argv[i]);
    /* The default slack of 50 us would be a part of every latency (prctl(2), PR_SET_TIMERSLACK). */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    int64_t rounds = rounds_for(work_us * 1000), work_ns = fastest_ns(rounds);
    int64_t *due = due_times(count, mean_us * 1000);
    hello_begin("request");
    json_end();
    wait_for_go();
    int64_t cpu = process_cpu_ns(), begin = now_ns();
    for (int64_t i = 0; i < count; i++) {
        int64_t at = begin + due[i];
        if (now_ns() < at)
            sleep_until(at);
        work(rounds);
        due[i] = now_ns() - at;
    }
    int64_t wall = now_ns() - begin;
    report(due, (size_t)count, wall, process_cpu_ns() - cpu, work_ns);
    wait_for_go();
    return EXIT_OK;
}
