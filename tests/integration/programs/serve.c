/* Workloads of a user, good and bad: a static program, for it runs in a root file system of its own. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

/* Accept for ever; one client after another, each is sent away without a word. */
static void serve(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == -1 || listen(fd, 8) == -1) {
        perror("serve: bind");
        exit(4);
    }
    for (;;)
        close(accept(fd, NULL, NULL));
}

/* Add a byte to a file of the root file system; says how many there are. */
static void count(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0644);
    if (fd == -1 || write(fd, "x", 1) != 1 || lseek(fd, 0, SEEK_SET) == -1) {
        perror(path);
        exit(5);
    }
    printf("count %zd\n", read(fd, bytes, sizeof bytes));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "", *value = argc > 2 ? argv[2] : "";
    if (strcmp(how, "port") == 0) {
        usleep(20000);
        serve(atoi(value));
    } else if (strcmp(how, "fork") == 0) {
        if (fork())
            return 0;
        setsid();
        usleep(20000);
        serve(atoi(value));
    } else if (strcmp(how, "line") == 0) {
        dprintf(1, "begin\nnot yet up");
        dprintf(2, "it is up\n");
        sleep_for_ever();
    } else if (strcmp(how, "twice") == 0) {
        dprintf(1, "it is up\nit is up\n");
    } else if (strcmp(how, "chatty") == 0) {
        for (int number = 0; number < 2000; number++)
            dprintf(1 + number % 2, "line %d of many: %s\n", number, "words, words and more words");
        serve(atoi(value));
    } else if (strcmp(how, "count") == 0) {
        count("/count");
        sleep_for_ever();
    } else if (strcmp(how, "env") == 0) {
        for (char **variable = environ; *variable; variable++)
            printf("%s\n", *variable);
        printf("null %d\n", open("/dev/null", O_RDWR) != -1);
        printf("proc %d\n", access("/proc/self/stat", R_OK) == 0);
    } else if (strcmp(how, "words") == 0) {
        for (int word = 2; word < argc; word++)
            printf("%zu %s\n", strlen(argv[word]), argv[word]);
    } else if (strcmp(how, "close") == 0) {
        close(1);
        close(2);
        sleep_for_ever();
    } else if (strcmp(how, "mute") == 0) {
        sleep_for_ever();
    } else if (strcmp(how, "exit") == 0) {
        fprintf(stderr, "serve: last words\n");
        return atoi(value);
    } else
        return 2;
    return 0;
}
