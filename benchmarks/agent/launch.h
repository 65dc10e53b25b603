/* What `start` executes: the command line as values, and the creation of processes. */
#ifndef ISOBENCH_LAUNCH_H
#define ISOBENCH_LAUNCH_H

#include <regex.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_CGROUPS 16
#define MAX_WRITES 32
#define MAX_STEPS 8
#define MAX_ENVIRONMENT 256

enum root_change { ROOT_KEPT, ROOT_CHROOT, ROOT_PIVOT };

struct command {
    const char *phase; /* NULL: its end is not stamped */
    char **argv;       /* NULL-terminated */
};

struct file_write {
    char *path, *value;
};

enum ready_kind { READY_ON_OUTPUT, READY_ON_LINE, READY_ON_PORT, READY_ON_EXIT };

/* What counts as ready; ready.c watches for it. */
struct ready_condition {
    enum ready_kind kind;
    const char *pattern; /* as it was given */
    regex_t *expression; /* the same, compiled */
    int port;
};

/* A launch with `{n}` still in its strings is a template; launch_for_slot makes the one of a slot. */
struct launch {
    int64_t count, timeout_ns, pause_ns, grace_ns;
    int64_t delay_ns; /* burnt in each start right after its invoke: a slowdown that is known */
    int interactive, console, drop_caches;
    int on_request; /* each start waits for a byte of our own input */
    int64_t workers, window_ns; /* workers 0: one instance after another, by this very process */
    const char *due;            /* file of the times at which starts are due; NULL: closed loop */
    char *cgroups[MAX_CGROUPS];
    int cgroup_count;
    struct file_write writes[MAX_WRITES];
    int write_count;
    struct command steps[MAX_STEPS], cleanups[MAX_STEPS];
    int step_count, cleanup_count;
    uint64_t namespaces; /* CLONE_NEW* flags */
    enum root_change root_change;
    char *root;
    int mount_proc;
    char **spawn;
    char **environment; /* of spawn: our own with what --env adds or replaces */
    char *adopt;
    struct ready_condition ready;
    int own_network, loopback, supervised, stop_when_ready;
};

void launch_parse(struct launch *launch, int argc, char **argv);
void launch_for_slot(struct launch *out, const struct launch *template, int64_t slot);
void launch_free(struct launch *launch);

/* Everything a child does between clone and exec; all of it prepared before, none of it allocated. */
struct spawn {
    char **argv, **environment; /* environment NULL: our own */
    int stdin_fd, stdout_fd, stderr_fd, console_fd; /* console_fd -1: none */
    const struct launch *isolation;                 /* NULL: a plain process */
    const char *const *enter;                       /* cgroup.procs files the child writes itself into */
    int enter_count;
    int cgroup_fd;          /* cgroup v2 directory to be born in; -1: none */
    const char *failed_at;  /* set when the child could not exec, with error */
    int error;
};

/* Once, before the first spawn_process. */
void spawn_prepare(void);
/* Returns the child's pid once its exec has taken effect (and *pidfd), or -1 with failed_at and error. */
pid_t spawn_process(struct spawn *spawn, int *pidfd);

#endif
