/* The agent: one static program that starts instances on the host and is the workload inside them. */
#ifndef ISOBENCH_AGENT_H
#define ISOBENCH_AGENT_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

/* Exit codes of the agent itself, as sh(1) has them for commands it cannot run. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANNOT_EXEC = 127 };

/* Verbs: argv[0] is the verb's own name, as in main(). */
int verb_start(int argc, char **argv);
int verb_ready(int argc, char **argv);
int verb_hold(int argc, char **argv);
int verb_echo(int argc, char **argv);
int verb_spin(int argc, char **argv);
int verb_request(int argc, char **argv);
int verb_gaps(int argc, char **argv);
int verb_touch(int argc, char **argv);
int verb_probe(int argc, char **argv);
int verb_primitives(int argc, char **argv);
int verb_appetite(int argc, char **argv);
int verb_watch(int argc, char **argv);
int verb_herd(int argc, char **argv);
int verb_freeze(int argc, char **argv);
int verb_pattern(int argc, char **argv);
int verb_init(int argc, char **argv);
int verb_timer(int argc, char **argv);
int verb_plain(int argc, char **argv);

/* CLOCK_MONOTONIC at the top of main: the workload's first instruction of its own. */
extern int64_t first_instruction_ns;

/* clock.c */
int64_t now_ns(void);
void sleep_ns(int64_t ns);

/* args.c: checked parsing. On a bad value they print what and where to stderr and exit EXIT_USAGE. */
int64_t parse_integer(const char *option, const char *text, int64_t min, int64_t max);
int read_integer(const char *text, int64_t min, int64_t max, int64_t *value); /* 1: it is one; never exits */
const char *take_value(int argc, char **argv, int *at);
_Noreturn void usage_error(const char *what, const char *which);
_Noreturn void die(const char *what, const char *which); /* with errno's text, exit EXIT_FAILED */

/* json.c: one object a line on stdout, flushed at the end of the object so that a line is one write. */
void json_begin(void);
void json_string(const char *key, const char *text);
void json_bytes(const char *key, const char *bytes, size_t length);
void json_integer(const char *key, int64_t value);
void json_boolean(const char *key, int value);
void json_null(const char *key);
void json_integers(const char *key, const int64_t *values, size_t count);
void json_open(const char *key);
void json_close(void);
void json_end(void);

/* A workload's first line: the verb, its stamp, its process id as it sees it. Left open for more keys. */
void hello_begin(const char *verb);
/* Block until one byte or the end of standard input. */
void wait_for_go(void);

#endif
