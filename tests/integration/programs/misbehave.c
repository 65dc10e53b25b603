/* Workloads that do what a workload should not. One static program: it runs inside every isolator. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(const char *words)
{
    if (write(1, words, strlen(words)) == -1)
        _exit(9);
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static void garbage(void)
{
    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        if (write(1, &one, 1) != 1)
            _exit(9);
    }
}

static void flood(int fd)
{
    static char zeros[65536];
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
}

static void ignore_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
}

/* Two generations and a session away from whoever started us; holds and fills the pipe of standard error. */
static void leave_a_daemon(void)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            ignore_signals();
            flood(2);
            sleep_for_ever();
        }
        _exit(0);
    }
    say("ready\n");
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "garbage") == 0)
        garbage();
    else if (strcmp(how, "flood") == 0)
        flood(1);
    else if (strcmp(how, "mute") == 0)
        sleep_for_ever();
    else if (strcmp(how, "deaf") == 0) {
        ignore_signals();
        say("ready\n");
        sleep_for_ever();
    } else if (strcmp(how, "close") == 0) {
        close(1);
        close(2);
        sleep_for_ever();
    } else if (strcmp(how, "ready-close") == 0) {
        say("ready\n");
        close(1);
        close(2);
        sleep_for_ever();
    } else if (strcmp(how, "daemon") == 0)
        leave_a_daemon();
    else if (strcmp(how, "silent") == 0)
        return 0;
    else if (strcmp(how, "exit") == 0) {
        say("ready\n");
        return 3;
    } else if (strcmp(how, "crash") == 0) {
        say("ready\n");
        abort();
    } else
        return 2;
    return 0;
}
