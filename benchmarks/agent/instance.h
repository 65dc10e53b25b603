/* One instance of a launch in the agent's `start`, and what can be done with it. */
#ifndef ISOBENCH_INSTANCE_H
#define ISOBENCH_INSTANCE_H

#include "agent.h"
#include "launch.h"

#include <signal.h>

#define KEPT_OUTPUT (64 * 1024)
#define KEPT_ERRORS 4096
#define KEPT_CONSOLE 256 /* a machine's last words: enough for its last line */
#define LINE_LIMIT 4095 /* of a line, as much is matched */
#define CLEANUP_TIMEOUT_NS (30 * NS_PER_S)

enum phase { CREATED, SPAWNED, KERNEL, READY, EXIT, CLEANED, PHASES };
enum status { OK, FAILED, TIMEOUT };

/* A line that is being read. */
struct line {
    char text[LINE_LIMIT + 1];
    size_t length;
};

struct instance {
    int64_t slot, invoke_ns, stamp_ns[PHASES]; /* stamps: 0 is "not told apart" */
    int64_t intended_ns; /* when it was due; 0: when it was invoked */
    int late;            /* nobody was free to start it when it was due */
    int64_t stop_ns;                           /* just before it was told to end, or killed; 0: it never was */
    int in_use;                                /* from new_instance to the report of its end */
    struct launch launch;
    enum status status;
    char reason[512];
    pid_t pid;
    int pidfd, stdin_fd, stdout_fd, stderr_fd, console_fd;
    int killed, exited, exit_code, term_signal; /* the last two -1: unknown */
    char *output;
    size_t output_kept, line_start;
    int64_t output_bytes;
    char errors[KEPT_ERRORS];
    size_t errors_kept;
    char console[KEPT_CONSOLE];
    size_t console_kept;
    struct ping *ping; /* what its output is the answer to; NULL: to nothing */
    int64_t ready_count; /* how often what counts as ready was seen */
    struct line output_line, error_line;
    pid_t prober; /* 0: none */
    int prober_go_fd, probe_fd;
    int cgroups_made;
};

/* A byte was written to the workload's input, and its answer has not come, or has at answered_ns. */
struct ping {
    int64_t answered_ns;
};

/* start.c: the launch as it was asked for, with `{n}` in its strings; the instances, by slot. */
extern struct launch template;
extern struct instance *instances;
extern int64_t instance_count;
extern volatile sig_atomic_t interrupted;
extern int null_fd, signal_read_fd;

void prepare_process(void);
void run_attempt(int64_t slot, int64_t intended_ns, int late);

/* concurrent.c */
int run_concurrent(void);

/* events.c */
__attribute__((format(printf, 3, 4))) void fail(struct instance *i, enum status status, const char *format, ...);
void stamp(struct instance *i, enum phase phase, int64_t at);
enum phase phase_named(const char *name);
void report(struct instance *i, const char *event);
void report_lines(struct instance *i, int64_t at);
void report_end(int64_t begun_ns);
void report_ping(struct instance *i, const int64_t *round_trips_ns, size_t count);

/* streams.c */
void close_fd(int *fd);
int make_pipe(int *read_end, int *write_end);
void set_nonblocking(int fd);
void streams_prepare(void);
void watch_streams(struct instance *i);
void watch_end(struct instance *i);
int pump(int extra_fd, int64_t deadline_ns, int64_t *extra_at);
void drain(struct instance *i);

/* processes.c */
struct pids {
    pid_t *list;
    size_t count;
};
int kill_children(pid_t parent, int64_t *before_ns);
struct pids descendants(pid_t ancestor);
int any_running(void);
int reap_orphans(const struct pids *among, int64_t grace_ns);
int run_command(struct instance *i, const struct command *command, const char *kind, int in_fd, int out_fd, int err_fd,
                int64_t deadline_ns, int heed_interrupt);

/* ready.c: in the order of an instance's life; ready_prepare before invoke, ready_aim once its process is known. */
void ready_prepare(struct instance *i);
void ready_aim(struct instance *i, pid_t pid);
void ready_watch_output(struct instance *i, const char *bytes, size_t length);
void ready_watch_errors(struct instance *i, const char *bytes, size_t length);
void ready_watch_exit(struct instance *i);
void ready_on_probe(struct instance *i, int64_t at);
void ready_end(struct instance *i);
void fail_not_ready_in_time(struct instance *i);
void fail_ended_unready(struct instance *i);

/* instance.c */
struct instance *new_instance(int64_t slot);
void launch_instance(struct instance *i, int64_t *deadline_ns);
void await_exit(struct instance *i, int64_t deadline_ns);
void stop(struct instance *i);
void judge_end(struct instance *i);
void clean_up(struct instance *i);

#endif
