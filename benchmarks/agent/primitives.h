/* The kernel primitives a container runtime is made of, each as a function that does it once. */
#ifndef ISOBENCH_PRIMITIVES_H
#define ISOBENCH_PRIMITIVES_H

#include <stdint.h>
#include <sys/types.h>

#define MAX_GROUPS 16
#define MAX_STEPS_OF_SEQUENCE 24
#define PATH_SIZE 512

/* One directory in one cgroup hierarchy; its parent is there, it is made and removed by us. */
struct group {
    const char *hierarchy, *directory;
};

/* Where primitives act; filled in once, then changed only by the sequence (use_new_root). */
struct place {
    const char *token, *root, *work;
    struct group groups[MAX_GROUPS];
    int group_count;
    int outer_net;            /* the namespace the other end of a veth pair goes to; -1: not opened yet */
    char proc[PATH_SIZE], tmpfs[PATH_SIZE], bind_from[PATH_SIZE], bind_to[PATH_SIZE], new_root[PATH_SIZE];
    char uid_map[32], gid_map[32]; /* root inside is the caller outside; made before, inside we are nobody */
    int in_user_namespace;
};
extern struct place place;

/* What a throw-away child tells its parent: stamps of CLOCK_MONOTONIC, and what was refused. */
struct refusal {
    int error; /* errno; 0: nothing was refused */
    char call[256];
};
struct board {
    int64_t born, begun, made, undoing, undone;
    int64_t tried; /* drained: when the last attempt began */
    int64_t gap;   /* drained: the longest time between two attempts */
    int64_t parts_made[MAX_GROUPS], parts_undone[MAX_GROUPS]; /* ns in each hierarchy */
    struct refusal refusal;
    int64_t stamps[MAX_STEPS_OF_SEQUENCE];
    struct refusal refusals[MAX_STEPS_OF_SEQUENCE];
};
extern struct board *board; /* shared memory */

/* Functions return 0, or -1 having said on the board what was refused. `prepare` is not timed. Without
 * `undo` the end of the process undoes it. */
struct primitive {
    const char *name;
    int (*prepare)(void);
    int (*make)(void);
    int (*undo)(void);
    int moves;          /* 1: goes on in a new process, a sibling (only children enter the namespace) */
    const char *limit;  /* file of /proc/sys/user whose count tells when the namespace is really gone */
    int settle_network; /* 1: leaves a network namespace that the kernel takes apart later */
    int64_t rest_ns;    /* between two iterations; 0: as short as for most */
    int64_t (*size)(void); /* of the seccomp filters: instructions */
};
const struct primitive *primitive_named(const char *name); /* NULL: there is none */
const char *primitive_name(size_t index);                  /* NULL: past the last */

/* `result` itself; -1 puts errno and the call, as a printf format, on the board. */
int tried(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));
int write_file(const char *path, const char *text);
/* Removes the groups; waits up to 2 s for one that is still busy with a process that has just ended. */
int remove_groups_in_the_end(void);
void use_new_root(void);

/* primitives_seccomp.c */
int seccomp_prepare(void);
int seccomp_profile(void);
int seccomp_minimal(void);
int64_t seccomp_profile_size(void);
int64_t seccomp_minimal_size(void);

/* primitives_veth.c */
int veth_prepare(void);
int veth_make(void);
int veth_undo(void);
int veth_remove_outer_end(void);
int outer_network_open(void);

/* primitives_frames.c: what came of the iterations, one value of each array for each that ended well. In
 * shared memory, for some are measured by a child. */
struct samples {
    int64_t alone_count, undone_count, drained_count, *alone, *undone, *drained;
    int64_t resolution; /* drained: no value is finer */
    int64_t *parts_made[MAX_GROUPS], *parts_undone[MAX_GROUPS];
    struct refusal refusal;
};
struct samples *samples_open(int64_t iterations);
void measure_clock(struct samples *samples, int64_t iterations);
void measure_exec(struct samples *samples, int64_t iterations);
void measure_alone(const struct primitive *primitive, struct samples *samples, int64_t iterations);
void measure_drained(const struct primitive *primitive, struct samples *samples, int64_t drains);
void *shared_memory(size_t size);
int64_t reap_children(void); /* waits for every child; CLOCK_MONOTONIC when the last was reaped */
/* Waits, half a second at most, until the kernel's worker is done with network namespaces. */
void settle_network(void);

/* primitives_sequence.c */
struct sequence {
    int64_t count;
    int with_user_namespace;
    int64_t *undone, *stamps[MAX_STEPS_OF_SEQUENCE]; /* since the begin of the sequence */
    const char *const *steps;                               /* NULL-terminated */
    struct refusal refusals[MAX_STEPS_OF_SEQUENCE], refusal;
};
struct sequence *sequence_open(int with_user_namespace, int64_t iterations);
void measure_sequence(struct sequence *sequence, int64_t iterations);

#endif
