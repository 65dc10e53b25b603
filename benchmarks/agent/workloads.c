/* The workloads that only say something and wait. */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void wait_for_go(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == -1 && errno == EINTR)
        ;
}

int verb_ready(int argc, char **argv)
{
    if (argc > 1)
        usage_error("unknown option", argv[1]);
    hello_begin("ready");
    json_end();
    return EXIT_OK;
}

int verb_hold(int argc, char **argv)
{
    if (argc > 1)
        usage_error("unknown option", argv[1]);
    hello_begin("hold");
    json_end();
    wait_for_go();
    return EXIT_OK;
}

/* Answer every byte with itself, until the end of input or of a line: a guest never sees the end of its input. */
int verb_echo(int argc, char **argv)
{
    char byte;
    if (argc > 1)
        usage_error("unknown option", argv[1]);
    hello_begin("echo");
    json_end();
    for (;;) {
        ssize_t length = read(STDIN_FILENO, &byte, 1);
        if (length == -1 && errno == EINTR)
            continue;
        if (length != 1 || byte == '\n')
            return EXIT_OK;
        if (write(STDOUT_FILENO, &byte, 1) != 1)
            return EXIT_FAILED;
    }
}

int verb_touch(int argc, char **argv)
{
    int64_t mib = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--mib") == 0)
            mib = parse_integer("--mib", take_value(argc, argv, &i), 1, 1 << 20);
        else
            usage_error("unknown option", argv[i]);

    size_t size = (size_t)mib << 20;
    int64_t before = now_ns();
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap", "anonymous memory");
    /* 4096: the smallest page there is; one write into each makes it resident. */
    for (size_t at = 0; at < size; at += 4096)
        ((volatile char *)memory)[at] = 1;
    hello_begin("touch");
    json_integer("bytes", (int64_t)size);
    json_integer("touch_ns", now_ns() - before);
    json_end();
    wait_for_go();
    return EXIT_OK;
}
