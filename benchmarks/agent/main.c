#include "agent.h"

#include <stdio.h>
#include <string.h>

int64_t first_instruction_ns;

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} VERBS[] = {
    {"start", verb_start, "execute a launch n times and stamp its phases (host side)"},
    {"ready", verb_ready, "say that it runs, exit"},
    {"hold", verb_hold, "say that it runs, wait for a byte or the end of input"},
    {"echo", verb_echo, "say that it runs, answer every byte until the end of input or of a line"},
    {"spin", verb_spin, "burn CPU for a window, record run and stall"},
    {"request", verb_request, "do short work at times that are due, tell how late it was done"},
    {"gaps", verb_gaps, "what the recorder of spin sees of stops whose length is known"},
    {"touch", verb_touch, "allocate and touch memory, then hold"},
    {"appetite", verb_appetite, "eat CPU time, memory, processes or writes, tell how much"},
    {"watch", verb_watch, "do a little work again and again, tell how long each took (host side)"},
    {"herd", verb_herd, "a number of tasks whose progress can be seen from outside"},
    {"freeze", verb_freeze, "freeze and thaw a herd again and again, tell how long each took (host side)"},
    {"probe", verb_probe, "tell what is visible from in here"},
    {"primitives", verb_primitives, "what each kernel primitive of a container costs (host side)"},
    {"timer", verb_timer, "read the clock again and again, tell what that costs"},
    {"plain", verb_plain, "start a program by vfork alone, tell how long each start took"},
    {"pattern", verb_pattern, "whether it is an extended regular expression"},
    {"init", verb_init, "PID 1 of a VM guest: mount, run one verb, power off"},
};

int main(int argc, char **argv)
{
    first_instruction_ns = now_ns();
    for (size_t i = 0; argc > 1 && i < sizeof VERBS / sizeof *VERBS; i++)
        if (strcmp(argv[1], VERBS[i].name) == 0)
            return VERBS[i].run(argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "isoagent: %s: unknown verb\n", argv[1]);
    fprintf(stderr, "usage: isoagent VERB [OPTION]...\n");
    for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
        fprintf(stderr, "  %-6s %s\n", VERBS[i].name, VERBS[i].help);
    return EXIT_USAGE;
}
