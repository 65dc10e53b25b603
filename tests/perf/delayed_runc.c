/* runc, whose `create` begins DELAY_US later: what a known slowdown of a runtime looks like to the gate.
 *
 * The delay is burnt, not slept: a sleep ends later by a slack nobody knows. */
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
    int64_t end = now_ns() + DELAY_US * 1000LL;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "create") == 0)
            while (now_ns() < end)
                ;
    execv(PROGRAM, argv);
    return 127;
}
