/* What is visible from in here: compared with the host's own view, it tells which isolation is real. */
#define _GNU_SOURCE
#include "agent.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static void namespaces(void)
{
    static const char *const NAMES[] = {"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"};
    json_open("namespaces"); /* namespaces(7): the inode number is the identity */
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char path[64], target[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", NAMES[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0)
            json_bytes(NAMES[i], target, (size_t)length);
    }
    json_close();
}

/* Number of processes in /proc, -1 where no /proc is mounted. */
static int64_t visible_processes(void)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return -1;
    int64_t count = 0;
    for (struct dirent *entry; (entry = readdir(proc));)
        count += isdigit((unsigned char)entry->d_name[0]) != 0;
    closedir(proc);
    return count ? count : -1;
}

static void file_text(const char *key, const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, text, sizeof text);
    if (fd != -1)
        close(fd);
    if (length < 0)
        json_null(key);
    else
        json_bytes(key, text, (size_t)length);
}

int verb_probe(int argc, char **argv)
{
    if (argc > 1)
        usage_error("unknown option", argv[1]);
    struct utsname system;
    struct stat root;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);

    hello_begin("probe");
    json_integer("ppid", getppid());
    json_integer("uid", getuid());
    json_integer("gid", getgid());
    if (uname(&system) == 0) {
        json_string("hostname", system.nodename);
        json_string("kernel", system.release);
    }
    if (stat("/", &root) == 0) {
        json_integer("root_device", (int64_t)root.st_dev);
        json_integer("root_inode", (int64_t)root.st_ino);
    }
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        json_integer("cpus_allowed", CPU_COUNT(&cpus));
    json_integer("visible_processes", visible_processes());
    namespaces();
    file_text("cgroup", "/proc/self/cgroup");
    file_text("network_devices", "/proc/net/dev");
    file_text("uid_map", "/proc/self/uid_map");
    json_end();
    return EXIT_OK;
}
