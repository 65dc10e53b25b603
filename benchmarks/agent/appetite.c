/* Workloads whose appetite is known: so much CPU time, memory, so many processes, so many bytes written. They eat
 * until they have enough, are refused, or are stopped, and tell what they got by their own account.
 *
 * Whatever the kernel may kill for want of memory is a child that asks to be the first; the one that tells of it
 * is its parent. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CPUS 4096
#define MAX_PROCESSES 65536

static struct {
    int64_t threads, lead_ns, window_ns, bytes, chunk, count;
    const char *file;
} job = {1, 0, 0, 0, 1 << 16, 1, NULL};

static int64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void ate_begin(const char *kind)
{
    json_begin();
    json_string("verb", "ate");
    json_string("kind", kind);
}

/* --- CPU time -------------------------------------------------------------------------------------------------- */

static unsigned char seen_on[MAX_CPUS];
static volatile int full;

static void note_cpu(void)
{
    int cpu = sched_getcpu();
    if (cpu >= 0 && cpu < MAX_CPUS)
        seen_on[cpu] = 1;
}

static void *burn(void *argument)
{
    while (!full)
        note_cpu();
    return argument;
}

static void burn_until(int64_t t_ns)
{
    while (now_ns() < t_ns)
        note_cpu();
}

/* The window begins when the thread that looks at the clock runs, and ends a whole number of periods later if the
 * caller chose it so: both ends lie at the same place between two refills of a quota. */
static void eat_cpu(void)
{
    pthread_t threads[256];
    int64_t cpus[MAX_CPUS];
    size_t count = 0;
    full = 0;
    memset(seen_on, 0, sizeof seen_on);
    int64_t go = now_ns(), cpu_at_go = process_cpu_ns();
    for (int64_t i = 1; i < job.threads; i++)
        if (pthread_create(&threads[i], NULL, burn, NULL))
            die("create", "thread");
    burn_until(go + job.lead_ns);
    int64_t begin = now_ns(), cpu_at_begin = process_cpu_ns();
    burn_until(begin + job.window_ns);
    int64_t end = now_ns(), cpu_at_end = process_cpu_ns();
    full = 1;
    for (int64_t i = 1; i < job.threads; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MAX_CPUS; i++)
        if (seen_on[i])
            cpus[count++] = i;
    ate_begin("cpu");
    json_integer("wall_ns", end - begin);
    json_integer("cpu_ns", cpu_at_end - cpu_at_begin);
    json_integer("cpu_total_ns", process_cpu_ns() - cpu_at_go);
    json_integers("cpus", cpus, count);
    json_end();
}

/* --- Memory ---------------------------------------------------------------------------------------------------- */

struct meal {
    volatile int64_t touched;
    volatile int error; /* errno of what was refused */
    volatile int done;
};

static void be_killed_first(struct meal *meal)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd == -1 || write(fd, "1000", 4) != 4) {
        meal->error = errno;
        _exit(EXIT_FAILED);
    }
    close(fd);
}

static void touch_until_full(struct meal *meal)
{
    long page = sysconf(_SC_PAGESIZE);
    be_killed_first(meal);
    char *memory = mmap(NULL, (size_t)job.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        meal->error = errno;
        _exit(EXIT_FAILED);
    }
    madvise(memory, (size_t)job.bytes, MADV_NOHUGEPAGE); /* touched is then what is resident */
    for (int64_t at = 0; at + page <= job.bytes; at += page) {
        memory[at] = 1;
        meal->touched = at + page;
    }
    meal->done = 1;
    for (;;)
        pause();
}

/* The child that eats, still there if it got all it wanted (its id), else -1 and its end in status. */
static pid_t dine(struct meal *meal, int *status)
{
    meal->touched = meal->error = meal->done = 0;
    pid_t child = fork();
    if (child == 0)
        touch_until_full(meal);
    if (child == -1) {
        meal->error = errno;
        *status = 0;
        return -1;
    }
    while (!meal->done) {
        if (waitpid(child, status, WNOHANG) == child)
            return -1;
        sleep_ns(NS_PER_MS / 5);
    }
    return child;
}

static void put_away(pid_t child)
{
    int status;
    if (child > 0) {
        kill(child, SIGKILL);
        while (waitpid(child, &status, 0) == -1 && errno == EINTR)
            ;
    }
}

static void eat_memory(void)
{
    struct meal *meal = mmap(NULL, sizeof *meal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t until = now_ns() + job.window_ns, most = 0, meals = 0, killed = 0;
    int status = 0;
    pid_t child = -1;
    if (meal == MAP_FAILED)
        die("mmap", "a shared page");
    do {
        put_away(child);
        status = 0;
        child = dine(meal, &status);
        meals++;
        killed += child == -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        most = meal->touched > most ? meal->touched : most;
    } while (now_ns() < until);
    ate_begin("memory");
    json_integer("bytes", most);
    json_integer("meals", meals);
    json_integer("killed", killed);
    json_integer("errno", meal->error);
    json_string("error", meal->error ? strerror(meal->error) : "");
    json_end();
    wait_for_go(); /* the memory is held until whoever accounts for it has looked */
    put_away(child);
}

/* --- Processes ------------------------------------------------------------------------------------------------- */

static int64_t fork_until_refused(pid_t *children, int *error)
{
    int64_t made = 0;
    *error = 0;
    while (made < job.count) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                pause();
        if (child == -1) {
            *error = errno;
            break;
        }
        children[made++] = child;
    }
    return made;
}

static void end_all(const pid_t *children, int64_t made)
{
    int status;
    for (int64_t i = 0; i < made; i++)
        kill(children[i], SIGKILL);
    for (int64_t i = 0; i < made; i++)
        while (waitpid(children[i], &status, 0) == -1 && errno == EINTR)
            ;
}

static void eat_processes(void)
{
    pid_t *children = calloc((size_t)job.count, sizeof *children);
    int64_t until = now_ns() + job.window_ns, made = 0, most = 0, meals = 0;
    int error = 0;
    if (!children)
        die("allocate", "process ids");
    do {
        end_all(children, made);
        made = fork_until_refused(children, &error);
        most = made > most ? made : most;
        meals++;
    } while (now_ns() < until);
    ate_begin("processes");
    json_integer("forked", most);
    json_integer("held", made);
    json_integer("meals", meals);
    json_integer("errno", error);
    json_string("error", error ? strerror(error) : "");
    json_end();
    wait_for_go();
    end_all(children, made);
}

/* --- Bytes written --------------------------------------------------------------------------------------------- */

/* Past the page cache, so that the bytes are the caller's at the device; in a ring of the size of the appetite.
 * The rate is that between two ends of writes, the first after the lead-in. */
static void eat_writes(void)
{
    void *buffer;
    int64_t written = 0, at_begin = 0, begin = 0, end = 0, offset = 0;
    int error = posix_memalign(&buffer, 4096, (size_t)job.chunk);
    if (error)
        die("allocate", "a buffer");
    memset(buffer, 0x5a, (size_t)job.chunk);
    int fd = open(job.file, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd == -1)
        die("open for direct writing", job.file);
    int64_t go = now_ns();
    while (job.window_ns ? !begin || end - begin < job.window_ns : written < job.bytes) {
        ssize_t got = pwrite(fd, buffer, (size_t)job.chunk, offset);
        if (got == -1 && errno == EINTR)
            continue;
        if (got <= 0) {
            error = got ? errno : ENOSPC;
            break;
        }
        written += got;
        offset = (offset + got) % job.bytes;
        end = now_ns();
        if (!begin && end - go >= job.lead_ns) {
            begin = end;
            at_begin = written;
        }
    }
    if (!error && fsync(fd) == -1)
        error = errno;
    ate_begin("write");
    json_integer("bytes", written);
    json_integer("window_bytes", written - at_begin);
    json_integer("wall_ns", end - begin);
    json_integer("errno", error);
    json_string("error", error ? strerror(error) : "");
    json_end();
    close(fd);
    unlink(job.file);
    free(buffer);
}

/* --- The verb -------------------------------------------------------------------------------------------------- */

static void parse(int first, int argc, char **argv)
{
    for (int i = first; i < argc; i++)
        if (strcmp(argv[i], "--threads") == 0)
            job.threads = parse_integer("--threads", take_value(argc, argv, &i), 1, 256);
        else if (strcmp(argv[i], "--lead-us") == 0)
            job.lead_ns = 1000 * parse_integer("--lead-us", take_value(argc, argv, &i), 0, 3600000000LL);
        else if (strcmp(argv[i], "--window-us") == 0)
            job.window_ns = 1000 * parse_integer("--window-us", take_value(argc, argv, &i), 0, 3600000000LL);
        else if (strcmp(argv[i], "--bytes") == 0)
            job.bytes = parse_integer("--bytes", take_value(argc, argv, &i), 1, 1LL << 50);
        else if (strcmp(argv[i], "--chunk") == 0)
            job.chunk = parse_integer("--chunk", take_value(argc, argv, &i), 4096, 1 << 24);
        else if (strcmp(argv[i], "--count") == 0)
            job.count = parse_integer("--count", take_value(argc, argv, &i), 1, MAX_PROCESSES);
        else if (strcmp(argv[i], "--file") == 0)
            job.file = take_value(argc, argv, &i);
        else
            usage_error("unknown option", argv[i]);
}

int verb_appetite(int argc, char **argv)
{
    static const struct {
        const char *kind;
        void (*eat)(void);
    } KINDS[] = {{"cpu", eat_cpu}, {"memory", eat_memory}, {"processes", eat_processes}, {"write", eat_writes}};
    void (*eat)(void) = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(argv[1], KINDS[i].kind) == 0)
            eat = KINDS[i].eat;
    if (!eat)
        usage_error("cpu, memory, processes or write is needed", argc > 1 ? argv[1] : "appetite");
    parse(2, argc, argv);
    if ((eat == eat_memory || eat == eat_writes) && !job.bytes)
        usage_error("is needed", "--bytes");
    if (eat == eat_writes && (!job.file || job.bytes % job.chunk || job.chunk % 4096))
        usage_error("a file, and bytes in whole chunks of whole pages are needed", "write");
    hello_begin("appetite");
    json_end();
    wait_for_go();
    eat();
    wait_for_go();
    return EXIT_OK;
}

/* --- The neighbour --------------------------------------------------------------------------------------------- */

static void small_work(int fd, void *block)
{
    enum { PAGES = 16 };
    size_t size = PAGES * 4096;
    volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap", "memory for a little work");
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
    munmap((void *)memory, size);
    if (fd != -1 && pwrite(fd, block, 4096, 0) != 4096)
        die("write", "the block of a little work");
}

/* A neighbour outside: a little work each interval, timed from when it was due, so that work that is late delays
 * what is counted after it. `watch --window-us W [--file PATH]` */
int verb_watch(int argc, char **argv)
{
    int64_t interval_ns = NS_PER_MS;
    void *block;
    int fd = -1;
    parse(1, argc, argv);
    if (!job.window_ns)
        usage_error("is needed", "--window-us");
    size_t count = (size_t)(job.window_ns / interval_ns);
    int64_t *taken = calloc(count + 1, sizeof *taken);
    if (!taken || posix_memalign(&block, 4096, 4096))
        die("allocate", "times");
    memset(block, 0x5a, 4096);
    if (job.file && (fd = open(job.file, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600)) == -1)
        die("open for direct writing", job.file);
    small_work(fd, block); /* the first one meets cold caches */
    int64_t due = now_ns();
    for (size_t k = 0; k < count; k++) {
        due += interval_ns;
        int64_t now = now_ns();
        if (now < due)
            sleep_ns(due - now);
        small_work(fd, block);
        taken[k] = now_ns() - due;
    }
    json_begin();
    json_string("verb", "watched");
    json_integer("interval_ns", interval_ns);
    json_integers("taken_ns", taken, count);
    json_end();
    if (fd != -1)
        unlink(job.file);
    return EXIT_OK;
}
