/* When threads ran and when they stood still, by their own reading of the clock. */
#ifndef ISOBENCH_STALLS_H
#define ISOBENCH_STALLS_H

#include <stddef.h>
#include <stdint.h>

struct stall {
    int64_t begin, end; /* ns since the zero of the record */
};

/* The record of one thread. */
struct stalls {
    struct stall *list; /* in the order of time */
    size_t count, room;
    int64_t lost;     /* stalls there was no room for: then the record is not to be used */
    int64_t readings; /* of the clock: the thread's progress */
};

/* Make room, touched already, so that writing into it later is no page fault. */
void stalls_open(struct stalls *me, size_t room);

/* Read the clock in a tight loop from `from` to `to`, ns since zero_ns. Two readings further apart than the
 * threshold are a stall. One that is cut by either end is recorded up to there. */
void stalls_watch(struct stalls *me, int64_t zero_ns, int64_t from, int64_t to, int64_t threshold);

/* Time stood still within [from, to). */
int64_t stalls_within(const struct stalls *me, int64_t from, int64_t to);

/* The most run time all threads together had in any interval of that width within [from, to), in ns. */
int64_t stalls_most_run(const struct stalls *threads, size_t n, int64_t from, int64_t to, int64_t width);

/* Ascending; for qsort(3). */
int compare_ns(const void *a, const void *b);

/* The nearest-rank percentile of values in ascending order; 0 of none. */
int64_t per_mille(const int64_t *sorted, size_t count, int64_t rank);

#endif
