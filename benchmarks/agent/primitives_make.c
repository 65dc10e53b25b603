/* Each primitive once: namespaces(7), user_namespaces(7), cgroups(7), pivot_root(2), mount(2). */
#define _GNU_SOURCE
#include "primitives.h"

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct place place = {.outer_net = -1};
struct board *board;

int tried(int result, const char *format, ...)
{
    if (result != -1)
        return result;
    board->refusal.error = errno;
    va_list values;
    va_start(values, format);
    vsnprintf(board->refusal.call, sizeof board->refusal.call, format, values);
    va_end(values);
    return -1;
}

int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written = fd == -1 ? -1 : write(fd, text, strlen(text));
    int error = errno;
    if (fd != -1)
        close(fd);
    errno = error;
    return tried(written == -1 ? -1 : 0, "write '%s' to %s", text, path);
}

static int unshare_mount(void) { return tried(unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)"); }
static int unshare_uts(void) { return tried(unshare(CLONE_NEWUTS), "unshare(CLONE_NEWUTS)"); }
static int unshare_ipc(void) { return tried(unshare(CLONE_NEWIPC), "unshare(CLONE_NEWIPC)"); }
static int unshare_network(void) { return tried(unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)"); }
static int unshare_cgroup(void) { return tried(unshare(CLONE_NEWCGROUP), "unshare(CLONE_NEWCGROUP)"); }

static int unshare_user(void)
{
    if (tried(unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)") == -1)
        return -1;
    place.in_user_namespace = 1;
    /* The change of credentials has cleared it (prctl(2)). */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return 0;
}

/* Only children enter the new namespace, so we go on in one. A sibling (CLONE_PARENT), as runc makes it: the
 * process that started us is its parent too, and reaps both. */
static int go_on_in_a_child(void)
{
    long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (child > 0)
        _exit(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return tried((int)child, "clone(CLONE_PARENT)");
}

static int enter_pid(void)
{
    return tried(unshare(CLONE_NEWPID), "unshare(CLONE_NEWPID)") == -1 ? -1 : go_on_in_a_child();
}

static int enter_time(void)
{
    return tried(unshare(CLONE_NEWTIME), "unshare(CLONE_NEWTIME)") == -1 ? -1 : go_on_in_a_child();
}

/* setgroups must be denied before gid_map where the caller has no CAP_SETGID outside. */
static int map_ids(void)
{
    if (write_file("/proc/self/setgroups", "deny") == -1 || write_file("/proc/self/uid_map", place.uid_map) == -1)
        return -1;
    return write_file("/proc/self/gid_map", place.gid_map);
}

static int private_mounts(void)
{
    return tried(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount / as private");
}

static int own_mounts(void) { return unshare_mount() == -1 ? -1 : private_mounts(); }

/* A proc for a PID namespace that has one already shares its superblock: cheaper than any container's. */
static int own_pids_and_mounts(void) { return own_mounts() == -1 ? -1 : enter_pid(); }

static int mount_proc(void)
{
    return tried(mount("proc", place.proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount proc on %s",
                 place.proc);
}
static int umount_proc(void) { return tried(umount2(place.proc, 0), "umount %s", place.proc); }

static int mount_tmpfs(void)
{
    return tried(mount("tmpfs", place.tmpfs, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k"),
                 "mount tmpfs on %s", place.tmpfs);
}
static int umount_tmpfs(void) { return tried(umount2(place.tmpfs, 0), "umount %s", place.tmpfs); }

static int mount_bind(void)
{
    return tried(mount(place.bind_from, place.bind_to, NULL, MS_BIND, NULL), "bind-mount %s on %s",
                 place.bind_from, place.bind_to);
}
static int umount_bind(void) { return tried(umount2(place.bind_to, 0), "umount %s", place.bind_to); }

/* A runtime's work directory is new: what overlayfs left in it at the last mount is not to be found there. */
static int fresh_overlay(void)
{
    char path[PATH_SIZE + 16];
    static const char *const LEFT[] = {"work/work", "work/index", "work/incompat"};
    for (size_t i = 0; i < sizeof LEFT / sizeof *LEFT; i++) {
        snprintf(path, sizeof path, "%s/%s", place.work, LEFT[i]);
        rmdir(path);
    }
    return 0;
}

static int own_mounts_for_overlay(void) { return fresh_overlay() == -1 ? -1 : own_mounts(); }

static int mount_overlay(void)
{
    char options[3 * PATH_SIZE], target[PATH_SIZE];
    snprintf(target, sizeof target, "%s/merged", place.work);
    /* userxattr: only root outside may write trusted.* attributes (overlayfs.rst). */
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work%s", place.root, place.work,
             place.work, place.in_user_namespace ? ",userxattr" : "");
    return tried(mount("overlay", target, "overlay", 0, options), "mount overlay on %s", target);
}

static int umount_overlay(void)
{
    char target[PATH_SIZE];
    snprintf(target, sizeof target, "%s/merged", place.work);
    return tried(umount2(target, 0), "umount %s", target);
}

static int root_is_a_mount(void)
{
    if (own_mounts() == -1)
        return -1;
    return tried(mount(place.new_root, place.new_root, NULL, MS_BIND | MS_REC, NULL), "bind-mount %s on itself",
                 place.new_root);
}

/* pivot_root(2), NOTES: with both arguments "." the old root is stacked on the new, and then detached. */
static int pivot(void)
{
    if (tried(chdir(place.new_root), "chdir to %s", place.new_root) == -1 ||
        tried((int)syscall(SYS_pivot_root, ".", "."), "pivot_root to %s", place.new_root) == -1 ||
        tried(umount2(".", MNT_DETACH), "umount2(MNT_DETACH) of the old root") == -1)
        return -1;
    return tried(chdir("/"), "chdir to /");
}

static int copy_file(const char *from, const char *to)
{
    char text[256];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, text, sizeof text - 1);
    if (fd != -1)
        close(fd);
    if (length < 0)
        return tried(-1, "read %s", from);
    text[length] = '\0';
    return write_file(to, text);
}

/* cpuset(7): a new v1 group has no CPUs and no memory nodes, and takes no process until it has. */
static int fill_cpuset(const struct group *group)
{
    static const char *const FILES[] = {"cpuset.cpus", "cpuset.mems"};
    char from[PATH_SIZE], to[PATH_SIZE];
    if (!strstr(group->hierarchy, "cpuset"))
        return 0;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(from, sizeof from, "%s/../%s", group->directory, FILES[i]);
        snprintf(to, sizeof to, "%s/%s", group->directory, FILES[i]);
        if (copy_file(from, to) == -1)
            return -1;
    }
    return 0;
}

/* Runs `act` on every group and keeps how long each took. */
static int on_every_group(int (*act)(const struct group *), int64_t *parts)
{
    for (int i = 0; i < place.group_count; i++) {
        int64_t begun = now_ns();
        if (act(&place.groups[i]) == -1)
            return -1;
        parts[i] = now_ns() - begun;
    }
    return 0;
}

static int make_group(const struct group *group)
{
    if (tried(mkdir(group->directory, 0755), "mkdir %s", group->directory) == -1)
        return -1;
    return fill_cpuset(group);
}

static int enter_group(const struct group *group)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/cgroup.procs", group->directory);
    return write_file(path, "0");
}

static int remove_group(const struct group *group)
{
    return tried(rmdir(group->directory), "rmdir %s", group->directory);
}

static int make_groups(void) { return on_every_group(make_group, board->parts_made); }
static int remove_groups(void) { return on_every_group(remove_group, board->parts_undone); }
static int enter_groups(void) { return on_every_group(enter_group, board->parts_made); }

int remove_groups_in_the_end(void)
{
    int64_t deadline = now_ns() + 2 * NS_PER_S;
    for (int i = 0; i < place.group_count;) {
        if (rmdir(place.groups[i].directory) == 0 || errno == ENOENT)
            i++;
        else if (errno != EBUSY || now_ns() > deadline)
            return tried(-1, "rmdir %s", place.groups[i].directory);
        else
            sleep_ns(NS_PER_MS / 10);
    }
    return 0;
}

void use_new_root(void)
{
    snprintf(place.new_root, sizeof place.new_root, "%s/merged", place.work);
    snprintf(place.proc, sizeof place.proc, "%s/merged/proc", place.work);
    snprintf(place.tmpfs, sizeof place.tmpfs, "%s/merged/tmp", place.work);
    snprintf(place.bind_from, sizeof place.bind_from, "%s/source", place.work);
    snprintf(place.bind_to, sizeof place.bind_to, "%s/merged/etc", place.work);
    fresh_overlay();
}

/* cgroup_enter: whoever enters takes cgroup_threadgroup_rwsem, and for the first in a while that is an RCU grace
 * period, as it is for a container that is started alone. Soon after another it would come for free. */
static const struct primitive PRIMITIVES[] = {
    {.name = "process"},
    {.name = "mount_namespace", .make = unshare_mount, .limit = "max_mnt_namespaces"},
    {.name = "uts_namespace", .make = unshare_uts, .limit = "max_uts_namespaces"},
    {.name = "ipc_namespace", .make = unshare_ipc, .limit = "max_ipc_namespaces"},
    {.name = "pid_namespace", .make = enter_pid, .moves = 1, .limit = "max_pid_namespaces"},
    {.name = "network_namespace", .make = unshare_network, .limit = "max_net_namespaces", .settle_network = 1},
    {.name = "user_namespace", .make = unshare_user, .limit = "max_user_namespaces"},
    {.name = "cgroup_namespace", .make = unshare_cgroup, .limit = "max_cgroup_namespaces"},
    {.name = "time_namespace", .make = enter_time, .moves = 1, .limit = "max_time_namespaces"},
    {.name = "user_map", .prepare = unshare_user, .make = map_ids},
    {.name = "cgroup_create", .make = make_groups, .undo = remove_groups},
    {.name = "cgroup_enter", .prepare = make_groups, .make = enter_groups, .rest_ns = 50 * NS_PER_MS},
    {.name = "private_mounts", .prepare = unshare_mount, .make = private_mounts},
    {.name = "overlay_mount", .prepare = own_mounts_for_overlay, .make = mount_overlay, .undo = umount_overlay},
    {.name = "proc_mount", .prepare = own_pids_and_mounts, .make = mount_proc, .undo = umount_proc, .moves = 1},
    {.name = "tmpfs_mount", .prepare = own_mounts, .make = mount_tmpfs, .undo = umount_tmpfs},
    {.name = "bind_mount", .prepare = own_mounts, .make = mount_bind, .undo = umount_bind},
    {.name = "pivot_root", .prepare = root_is_a_mount, .make = pivot},
    {.name = "veth_pair", .prepare = veth_prepare, .make = veth_make, .undo = veth_undo, .settle_network = 1},
    {.name = "seccomp_profile", .prepare = seccomp_prepare, .make = seccomp_profile, .size = seccomp_profile_size},
    {.name = "seccomp_minimal", .prepare = seccomp_prepare, .make = seccomp_minimal, .size = seccomp_minimal_size},
};

const char *primitive_name(size_t index)
{
    return index < sizeof PRIMITIVES / sizeof *PRIMITIVES ? PRIMITIVES[index].name : NULL;
}

const struct primitive *primitive_named(const char *name)
{
    for (size_t i = 0; i < sizeof PRIMITIVES / sizeof *PRIMITIVES; i++)
        if (strcmp(PRIMITIVES[i].name, name) == 0)
            return &PRIMITIVES[i];
    return NULL;
}
