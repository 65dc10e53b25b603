#include "stalls.h"
#include "agent.h"

#include <stdlib.h>
#include <string.h>

struct turn {
    int64_t at;
    int64_t slope; /* threads that begin (+) or cease (-) to run */
};

void stalls_open(struct stalls *me, size_t room)
{
    me->list = malloc(room * sizeof *me->list);
    if (!me->list)
        die("allocate", "stalls");
    memset(me->list, 1, room * sizeof *me->list);
    me->room = room;
}

static void add(struct stalls *me, int64_t begin, int64_t end)
{
    if (me->count == me->room) {
        me->lost++;
        return;
    }
    me->list[me->count].begin = begin;
    me->list[me->count].end = end;
    me->count++;
}

void stalls_watch(struct stalls *me, int64_t zero_ns, int64_t from, int64_t to, int64_t threshold)
{
    int64_t last = from;
    while (last < to) {
        int64_t at = now_ns() - zero_ns;
        if (at - last > threshold)
            add(me, last, at < to ? at : to);
        last = at;
        me->readings++;
    }
}

static int64_t overlap(const struct stall *stall, int64_t from, int64_t to)
{
    int64_t begin = stall->begin > from ? stall->begin : from, end = stall->end < to ? stall->end : to;
    return end > begin ? end - begin : 0;
}

int64_t stalls_within(const struct stalls *me, int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (size_t i = 0; i < me->count; i++)
        sum += overlap(&me->list[i], from, to);
    return sum;
}

int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int compare_turns(const void *a, const void *b)
{
    return compare_ns(&((const struct turn *)a)->at, &((const struct turn *)b)->at);
}

int64_t per_mille(const int64_t *sorted, size_t count, int64_t rank)
{
    if (!count)
        return 0;
    size_t at = (count * (size_t)rank + 999) / 1000;
    return sorted[at ? at - 1 : 0];
}

static struct turn *turns_of(const struct stalls *threads, size_t n, int64_t from, int64_t to, size_t *count)
{
    size_t most = 2;
    for (size_t i = 0; i < n; i++)
        most += 2 * threads[i].count;
    struct turn *turns = malloc(most * sizeof *turns);
    if (!turns)
        die("allocate", "turns");
    *count = 0;
    turns[(*count)++] = (struct turn){from, (int64_t)n};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < threads[i].count; k++) {
            turns[(*count)++] = (struct turn){threads[i].list[k].begin, -1};
            turns[(*count)++] = (struct turn){threads[i].list[k].end, 1};
        }
    turns[(*count)++] = (struct turn){to, 0};
    qsort(turns, *count, sizeof *turns, compare_turns);
    return turns;
}

/* A place on the curve of run time over time, moved forward only. */
struct place {
    size_t next; /* the first turn not behind it */
    int64_t at, run, slope;
};

static int64_t run_until(struct place *p, const struct turn *turns, size_t count, int64_t at)
{
    while (p->next < count && turns[p->next].at <= at) {
        p->run += p->slope * (turns[p->next].at - p->at);
        p->at = turns[p->next].at;
        p->slope += turns[p->next++].slope;
    }
    return p->run + p->slope * (at - p->at);
}

/* Run time is piecewise linear, so the greatest difference over a width begins or ends at a turn. */
int64_t stalls_most_run(const struct stalls *threads, size_t n, int64_t from, int64_t to, int64_t width)
{
    size_t count;
    struct turn *turns = turns_of(threads, n, from, to, &count);
    int64_t most = 0;
    if (width > to - from)
        width = to - from;
    for (int ends = 0; ends < 2; ends++) {
        struct place low = {.at = from}, high = {.at = from};
        for (size_t i = 0; i < count; i++) {
            int64_t begin = turns[i].at - (ends ? width : 0);
            if (begin < from || begin + width > to)
                continue;
            int64_t before = run_until(&low, turns, count, begin);
            int64_t run = run_until(&high, turns, count, begin + width) - before;
            most = run > most ? run : most;
        }
    }
    free(turns);
    return most;
}
