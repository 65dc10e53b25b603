/* The command line of `start`. Argument counts come before argument lists, so that nothing needs quoting
 * and no word of a workload can be taken for an option of ours. */
#define _GNU_SOURCE
#include "launch.h"

#include "agent.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
    const char *name;
    uint64_t flag;
} NAMESPACES[] = {
    {"mount", CLONE_NEWNS},     {"uts", CLONE_NEWUTS},   {"ipc", CLONE_NEWIPC},       {"pid", CLONE_NEWPID},
    {"network", CLONE_NEWNET}, {"user", CLONE_NEWUSER}, {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME},
};

static uint64_t parse_namespaces(const char *list)
{
    uint64_t flags = 0;
    while (*list) {
        size_t length = strcspn(list, ","), i, count = sizeof NAMESPACES / sizeof *NAMESPACES;
        for (i = 0; i < count; i++)
            if (strlen(NAMESPACES[i].name) == length && strncmp(NAMESPACES[i].name, list, length) == 0)
                break;
        if (i == count)
            usage_error("unknown namespace", list);
        flags |= NAMESPACES[i].flag;
        list += length + (list[length] == ',');
    }
    return flags;
}

static char **take_list(int argc, char **argv, int *at)
{
    const char *option = argv[*at];
    int64_t count = parse_integer(option, take_value(argc, argv, at), 1, 65536);
    if (*at + count >= argc)
        usage_error("fewer arguments than announced", option);
    char **list = calloc((size_t)count + 1, sizeof *list);
    if (!list)
        die("allocate", option);
    for (int64_t i = 0; i < count; i++)
        list[i] = argv[++*at];
    return list;
}

static void take_command(struct command *commands, int *count, int argc, char **argv, int *at)
{
    if (*count == MAX_STEPS)
        usage_error("too many of them", argv[*at]);
    struct command *command = &commands[(*count)++];
    const char *phase = take_value(argc, argv, at);
    command->phase = strcmp(phase, "-") ? phase : NULL;
    command->argv = take_list(argc, argv, at);
}

static void take_root(struct launch *launch, enum root_change change, int argc, char **argv, int *at)
{
    launch->root_change = change;
    launch->root = (char *)take_value(argc, argv, at);
}

/* regex(7), extended; matched against one line at a time. */
static void take_pattern(struct ready_condition *ready, const char *pattern)
{
    char why[128];
    if (!(ready->expression = malloc(sizeof *ready->expression)))
        die("allocate", "pattern");
    int error = regcomp(ready->expression, pattern, REG_EXTENDED | REG_NOSUB);
    if (error) {
        regerror(error, ready->expression, why, sizeof why);
        fprintf(stderr, "isoagent: the pattern '%s' is no extended regular expression: %s\n", pattern, why);
        exit(EXIT_USAGE);
    }
    ready->pattern = pattern;
}

static void take_ready(struct ready_condition *ready, int argc, char **argv, int *at)
{
    const char *option = argv[*at], *kind = take_value(argc, argv, at);
    if (strcmp(kind, "output") == 0)
        ready->kind = READY_ON_OUTPUT;
    else if (strcmp(kind, "exit") == 0)
        ready->kind = READY_ON_EXIT;
    else if (strcmp(kind, "line") == 0) {
        ready->kind = READY_ON_LINE;
        take_pattern(ready, take_value(argc, argv, at));
    } else if (strcmp(kind, "port") == 0) {
        ready->kind = READY_ON_PORT;
        ready->port = (int)parse_integer(option, take_value(argc, argv, at), 1, 65535);
    } else
        usage_error("output, line PATTERN, port N or exit", option);
}

/* Our own environment, in which a variable of the same name gives way to the new one. */
static void add_variable(struct launch *l, char *variable)
{
    const char *equals = strchr(variable, '=');
    if (!equals || equals == variable)
        usage_error("NAME=VALUE is needed", "--env");
    size_t name = (size_t)(equals - variable) + 1, count = 0;
    if (!l->environment) {
        if (!(l->environment = calloc(MAX_ENVIRONMENT + 1, sizeof *l->environment)))
            die("allocate", "environment");
        for (; environ[count] && count < MAX_ENVIRONMENT; count++)
            l->environment[count] = environ[count];
    }
    for (count = 0; l->environment[count]; count++)
        if (strncmp(l->environment[count], variable, name) == 0)
            break;
    if (count == MAX_ENVIRONMENT)
        usage_error("too many of them", "--env");
    l->environment[count] = variable;
}

static void take_option(struct launch *l, int argc, char **argv, int *at)
{
    const char *option = argv[*at];
#define IS(name) (strcmp(option, name) == 0)
    if (IS("--count"))
        l->count = parse_integer(option, take_value(argc, argv, at), 1, 1000000);
    else if (IS("--timeout-ms"))
        l->timeout_ns = parse_integer(option, take_value(argc, argv, at), 1, 86400000) * NS_PER_MS;
    else if (IS("--pause-ms"))
        l->pause_ns = parse_integer(option, take_value(argc, argv, at), 0, 60000) * NS_PER_MS;
    else if (IS("--delay-us"))
        l->delay_ns = parse_integer(option, take_value(argc, argv, at), 0, 60000000) * NS_PER_US;
    else if (IS("--grace-ms"))
        l->grace_ns = parse_integer(option, take_value(argc, argv, at), 0, 600000) * NS_PER_MS;
    else if (IS("--workers"))
        l->workers = parse_integer(option, take_value(argc, argv, at), 1, 512);
    else if (IS("--window-ms"))
        l->window_ns = parse_integer(option, take_value(argc, argv, at), 1, 86400000) * NS_PER_MS;
    else if (IS("--due"))
        l->due = take_value(argc, argv, at);
    else if (IS("--drop-caches"))
        l->drop_caches = 1;
    else if (IS("--interactive"))
        l->interactive = 1;
    else if (IS("--on-request"))
        l->on_request = 1;
    else if (IS("--console"))
        l->console = 1;
    else if (IS("--proc"))
        l->mount_proc = 1;
    else if (IS("--env"))
        add_variable(l, (char *)take_value(argc, argv, at));
    else if (IS("--ready"))
        take_ready(&l->ready, argc, argv, at);
    else if (IS("--own-network"))
        l->own_network = 1;
    else if (IS("--loopback"))
        l->loopback = 1;
    else if (IS("--supervised"))
        l->supervised = 1;
    else if (IS("--stop-when-ready"))
        l->stop_when_ready = 1;
    else if (IS("--cgroup")) {
        if (l->cgroup_count == MAX_CGROUPS)
            usage_error("too many of them", option);
        l->cgroups[l->cgroup_count++] = (char *)take_value(argc, argv, at);
    } else if (IS("--write")) {
        if (l->write_count == MAX_WRITES)
            usage_error("too many of them", option);
        struct file_write *write = &l->writes[l->write_count++];
        write->path = (char *)take_value(argc, argv, at);
        write->value = (char *)take_value(argc, argv, at);
    } else if (IS("--step"))
        take_command(l->steps, &l->step_count, argc, argv, at);
    else if (IS("--cleanup"))
        take_command(l->cleanups, &l->cleanup_count, argc, argv, at);
    else if (IS("--namespaces"))
        l->namespaces = parse_namespaces(take_value(argc, argv, at));
    else if (IS("--chroot"))
        take_root(l, ROOT_CHROOT, argc, argv, at);
    else if (IS("--pivot-root"))
        take_root(l, ROOT_PIVOT, argc, argv, at);
    else if (IS("--spawn"))
        l->spawn = take_list(argc, argv, at);
    else if (IS("--adopt"))
        l->adopt = (char *)take_value(argc, argv, at);
    else
        usage_error("unknown option", option);
#undef IS
}

void launch_parse(struct launch *launch, int argc, char **argv)
{
    *launch = (struct launch){
        .count = 1,
        .timeout_ns = 60 * NS_PER_S,
        .pause_ns = 0,
        .grace_ns = 2 * NS_PER_S,
    };
    for (int i = 1; i < argc; i++)
        take_option(launch, argc, argv, &i);
    if (!launch->spawn == !launch->adopt)
        usage_error("exactly one of --spawn and --adopt is needed", "start");
    if (launch->root_change == ROOT_PIVOT && !(launch->namespaces & CLONE_NEWNS))
        usage_error("needs a mount namespace of its own", "--pivot-root");
    if (!launch->workers != !launch->window_ns)
        usage_error("--workers and --window-ms go together", "start");
    if (launch->workers && (launch->interactive || launch->drop_caches))
        usage_error("goes neither with --interactive nor with --drop-caches", "--workers");
    if (launch->on_request && (launch->interactive || launch->workers))
        usage_error("goes neither with --interactive nor with --workers", "--on-request");
    if (launch->due && !launch->workers)
        usage_error("goes with --workers only", "--due");
    if (launch->loopback && !(launch->namespaces & CLONE_NEWNET))
        usage_error("needs a network namespace of its own", "--loopback");
}

/* A copy of `text` with every "{n}" replaced by the slot's number. */
static char *expand(const char *text, int64_t slot)
{
    char number[24];
    int digits = snprintf(number, sizeof number, "%lld", (long long)slot);
    size_t room = strlen(text) + 1;
    for (const char *at = text; (at = strstr(at, "{n}")); at += 3)
        room += (size_t)digits;
    char *out = malloc(room), *to = out;
    if (!out)
        die("allocate", "launch");
    for (const char *next; (next = strstr(text, "{n}")); text = next + 3) {
        to = mempcpy(to, text, (size_t)(next - text));
        to = mempcpy(to, number, (size_t)digits);
    }
    strcpy(to, text);
    return out;
}

static char **expand_list(char **list, int64_t slot)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **out = calloc(count + 1, sizeof *out);
    if (!out)
        die("allocate", "launch");
    for (size_t i = 0; i < count; i++)
        out[i] = expand(list[i], slot);
    return out;
}

void launch_for_slot(struct launch *out, const struct launch *template, int64_t slot)
{
    *out = *template;
    for (int i = 0; i < out->cgroup_count; i++)
        out->cgroups[i] = expand(template->cgroups[i], slot);
    for (int i = 0; i < out->write_count; i++) {
        out->writes[i].path = expand(template->writes[i].path, slot);
        out->writes[i].value = expand(template->writes[i].value, slot);
    }
    for (int i = 0; i < out->step_count; i++)
        out->steps[i].argv = expand_list(template->steps[i].argv, slot);
    for (int i = 0; i < out->cleanup_count; i++)
        out->cleanups[i].argv = expand_list(template->cleanups[i].argv, slot);
    out->root = template->root ? expand(template->root, slot) : NULL;
    out->spawn = template->spawn ? expand_list(template->spawn, slot) : NULL;
    out->environment = template->environment ? expand_list(template->environment, slot) : NULL;
    out->adopt = template->adopt ? expand(template->adopt, slot) : NULL;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void launch_free(struct launch *launch)
{
    for (int i = 0; i < launch->cgroup_count; i++)
        free(launch->cgroups[i]);
    for (int i = 0; i < launch->write_count; i++) {
        free(launch->writes[i].path);
        free(launch->writes[i].value);
    }
    for (int i = 0; i < launch->step_count; i++)
        free_list(launch->steps[i].argv);
    for (int i = 0; i < launch->cleanup_count; i++)
        free_list(launch->cleanups[i].argv);
    free(launch->root);
    free_list(launch->spawn);
    free_list(launch->environment);
    free(launch->adopt);
}

/* `pattern PATTERN`: whether --ready line would take it; what is wrong goes to stderr. */
int verb_pattern(int argc, char **argv)
{
    struct ready_condition ready;
    if (argc != 2)
        usage_error("exactly one pattern is needed", "pattern");
    take_pattern(&ready, argv[1]);
    return EXIT_OK;
}
