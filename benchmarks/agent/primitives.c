/* `primitives NAME`: what one kernel primitive costs, made n times; or two sequences of them.
 *
 * A line of JSON for each form: "alone" and "undone"; or "drained"; or "cumulated" for each step of a sequence.
 * Every value is there, in ns, in the order they were measured. */
#include "primitives.h"

#include "agent.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DEFAULT_ITERATIONS 10
#define MAX_ITERATIONS 100000

static void print_refusal(const struct refusal *refusal)
{
    if (!refusal->error) {
        json_null("refused");
        return;
    }
    json_open("refused");
    json_string("call", refusal->call);
    json_integer("errno", refusal->error);
    json_string("text", strerror(refusal->error));
    json_close();
}

static void print_parts(int64_t *const *parts, int64_t count)
{
    json_open("parts_ns");
    for (int i = 0; i < place.group_count; i++)
        json_integers(place.groups[i].hierarchy, parts[i], (size_t)count);
    json_close();
}

static void begin_line(const char *primitive, const char *form, const int64_t *ns, int64_t count)
{
    json_begin();
    json_string("primitive", primitive);
    json_string("form", form);
    json_integers("ns", ns, (size_t)count);
}

static void end_line(const struct refusal *refusal)
{
    print_refusal(refusal);
    json_end();
}

static void print_samples(const char *name, const struct primitive *primitive, const struct samples *samples)
{
    int by_groups = strcmp(name, "cgroup_create") == 0 || strcmp(name, "cgroup_enter") == 0;
    begin_line(name, "alone", samples->alone, samples->alone_count);
    if (by_groups)
        print_parts(samples->parts_made, samples->alone_count);
    if (primitive && primitive->size)
        json_integer("instructions", primitive->size());
    end_line(&samples->refusal);
    if (strcmp(name, "clock") == 0)
        return;
    begin_line(name, "undone", samples->undone, samples->undone_count);
    if (by_groups && primitive && primitive->undo)
        print_parts(samples->parts_undone, samples->undone_count);
    end_line(&samples->refusal);
}

static void print_sequence(const char *name, const struct sequence *sequence)
{
    for (int i = 0; sequence->steps[i]; i++) {
        begin_line(sequence->steps[i], "cumulated", sequence->stamps[i], sequence->count);
        end_line(sequence->refusal.error ? &sequence->refusal : &sequence->refusals[i]);
    }
    begin_line(name, "undone", sequence->undone, sequence->count);
    end_line(&sequence->refusal);
}

/* Those that need a network namespace beside their own are measured in a child, so that this is drained too
 * before we end. Returns 1 in the child. */
static int in_a_child(void)
{
    pid_t child = fork();
    if (child == -1)
        die("fork", "");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return 1;
    }
    reap_children();
    settle_network();
    return 0;
}

static void run_sequence(const char *name, int64_t iterations)
{
    struct sequence *sequence = sequence_open(strcmp(name, "sequence_user") == 0, iterations);
    if (in_a_child()) {
        measure_sequence(sequence, iterations);
        _exit(EXIT_OK);
    }
    print_sequence(name, sequence);
}

static void run_veth(const struct primitive *primitive, struct samples *samples, int64_t iterations)
{
    if (!in_a_child())
        return;
    if (outer_network_open() == -1)
        samples->refusal = board->refusal;
    else
        measure_alone(primitive, samples, iterations);
    _exit(EXIT_OK);
}

static void run_drained(const char *name, int64_t iterations)
{
    const struct primitive *primitive = primitive_named(name);
    if (!primitive || !primitive->limit)
        usage_error("is for namespaces only", "--drained");
    struct samples *samples = samples_open(iterations);
    measure_drained(primitive, samples, iterations);
    begin_line(name, "drained", samples->drained, samples->drained_count);
    json_integer("resolution_ns", samples->resolution);
    end_line(&samples->refusal);
}

static void run_primitive(const char *name, int64_t iterations)
{
    const struct primitive *primitive = primitive_named(name);
    struct samples *samples = samples_open(iterations);
    if (strcmp(name, "clock") == 0)
        measure_clock(samples, iterations);
    else if (strcmp(name, "exec") == 0)
        measure_exec(samples, iterations);
    else if (strcmp(name, "veth_pair") == 0)
        run_veth(primitive, samples, iterations);
    else
        measure_alone(primitive, samples, iterations);
    print_samples(name, primitive, samples);
}

static int is_known(const char *name)
{
    static const char *const OTHERS[] = {"clock", "exec", "sequence", "sequence_user"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (strcmp(OTHERS[i], name) == 0)
            return 1;
    return primitive_named(name) != NULL;
}

static void add_group(int argc, char **argv, int *at)
{
    if (place.group_count == MAX_GROUPS)
        usage_error("too many", "--cgroup");
    const char *hierarchy = take_value(argc, argv, at);
    place.groups[place.group_count++] = (struct group){hierarchy, take_value(argc, argv, at)};
}

/* The names of the primitives, one a line: what NAME may be. */
static int list_names(void)
{
    for (size_t i = 0; primitive_name(i); i++)
        puts(primitive_name(i));
    puts("clock\nexec\nsequence\nsequence_user");
    return EXIT_OK;
}

static void fill_place(void)
{
    snprintf(place.new_root, sizeof place.new_root, "%s", place.root);
    snprintf(place.proc, sizeof place.proc, "%s/target", place.work);
    snprintf(place.tmpfs, sizeof place.tmpfs, "%s/target", place.work);
    snprintf(place.bind_from, sizeof place.bind_from, "%s/source", place.work);
    snprintf(place.bind_to, sizeof place.bind_to, "%s/target", place.work);
    snprintf(place.uid_map, sizeof place.uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(place.gid_map, sizeof place.gid_map, "0 %u 1", (unsigned)getegid());
}

static void check_length(const char *option, const char *path)
{
    if (!path || !*path)
        usage_error("is needed", option);
    if (strlen(path) > PATH_SIZE / 2)
        usage_error("the path is too long", option);
}

int verb_primitives(int argc, char **argv)
{
    int64_t iterations = DEFAULT_ITERATIONS;
    int drained = 0;
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list_names();
    /* Who is to remove our groups and reads our lines: without it we would go on for nobody. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 2 || !is_known(argv[1]))
        usage_error("is no primitive; `primitives --list` tells which there are", argc < 2 ? "nothing" : argv[1]);
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--iterations") == 0)
            iterations = parse_integer("--iterations", take_value(argc, argv, &i), 1, MAX_ITERATIONS);
        else if (strcmp(argv[i], "--drained") == 0)
            drained = 1;
        else if (strcmp(argv[i], "--token") == 0)
            place.token = take_value(argc, argv, &i);
        else if (strcmp(argv[i], "--root") == 0)
            place.root = take_value(argc, argv, &i);
        else if (strcmp(argv[i], "--work") == 0)
            place.work = take_value(argc, argv, &i);
        else if (strcmp(argv[i], "--cgroup") == 0)
            add_group(argc, argv, &i);
        else
            usage_error("unknown option", argv[i]);
    check_length("--root", place.root);
    check_length("--work", place.work);
    for (int i = 0; i < place.group_count; i++)
        check_length("--cgroup", place.groups[i].directory);
    if (!place.token || strlen(place.token) != strlen("isobench-00000000"))
        usage_error("a run's token is needed", "--token");
    fill_place();
    board = shared_memory(sizeof *board);
    if (strncmp(argv[1], "sequence", strlen("sequence")) == 0)
        run_sequence(argv[1], iterations);
    else if (drained)
        run_drained(argv[1], iterations);
    else
        run_primitive(argv[1], iterations);
    return EXIT_OK;
}
