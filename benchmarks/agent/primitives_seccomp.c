/* seccomp(2) filters: one as large as the default profile of a container engine, and the least there can be.
 *
 * The large one is what libseccomp makes of an allow-list: load and check the architecture, load the number
 * of the call, compare it with one after the other, refuse what is left with EPERM. */
#define _GNU_SOURCE
#include "primitives.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/filter.h, linux/seccomp.h, linux/audit.h; musl ships no kernel headers. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t k;
};
struct program {
    unsigned short length;
    struct instruction *instructions;
};
enum { LOAD = 0x20, JUMP_EQUAL = 0x15, RETURN = 0x06 };
enum { OFFSET_NUMBER = 0, OFFSET_ARCHITECTURE = 4 };
#define RET_KILL_PROCESS 0x80000000u
#define RET_ERRNO 0x00050000u
#define RET_ALLOW 0x7fff0000u
#define SET_MODE_FILTER 1

#if defined(__x86_64__)
#define ARCHITECTURE 0xc000003eu
#elif defined(__aarch64__)
#define ARCHITECTURE 0xc00000b7u
#else
#define ARCHITECTURE 0 /* no such: the profile is refused with ENOTSUP */
#endif

/* Calls 0 to 333 are old on every architecture, 424 to 450 the same on all of them. */
enum { OLD_CALLS = 334, NEW_CALLS_FROM = 424, NEW_CALLS_TO = 450, MAX_CALLS = 400, MAX_INSTRUCTIONS = 420 };
/* A jump reaches 255 instructions: each so many questions have their own answer. */
enum { QUESTIONS_AN_ANSWER = 200 };

/* Some of what engines refuse, so that the list is not without gaps. */
static int is_refused(int number)
{
    static const int REFUSED[] = {SYS_reboot,  SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_swapon,
                                  SYS_swapoff, SYS_acct,        SYS_add_key,      SYS_request_key,   SYS_keyctl};
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (REFUSED[i] == number)
            return 1;
    return 0;
}

static struct instruction filter[MAX_INSTRUCTIONS];
static unsigned short length;

static void add(uint16_t code, int if_true, int if_false, uint32_t k)
{
    filter[length++] = (struct instruction){code, (uint8_t)if_true, (uint8_t)if_false, k};
}

static int list_allowed(uint32_t *allowed)
{
    int count = 0;
    for (int number = 0; number <= NEW_CALLS_TO; number++)
        if ((number < OLD_CALLS || number >= NEW_CALLS_FROM) && !is_refused(number))
            allowed[count++] = (uint32_t)number;
    return count;
}

/* The last question of an answer is the one that skips it. */
static void allow(const uint32_t *numbers, int count)
{
    for (int i = 0; i < count; i++)
        add(JUMP_EQUAL, count - 1 - i, i == count - 1, numbers[i]);
    add(RETURN, 0, 0, RET_ALLOW);
}

static void build_profile(void)
{
    uint32_t allowed[MAX_CALLS];
    int count = list_allowed(allowed);
    length = 0;
    add(LOAD, 0, 0, OFFSET_ARCHITECTURE);
    add(JUMP_EQUAL, 1, 0, ARCHITECTURE);
    add(RETURN, 0, 0, RET_KILL_PROCESS);
    add(LOAD, 0, 0, OFFSET_NUMBER);
    for (int at = 0; at < count; at += QUESTIONS_AN_ANSWER)
        allow(allowed + at, count - at < QUESTIONS_AN_ANSWER ? count - at : QUESTIONS_AN_ANSWER);
    add(RETURN, 0, 0, RET_ERRNO | EPERM);
}

/* Without CAP_SYS_ADMIN the kernel wants it; runtimes set it too. */
int seccomp_prepare(void)
{
    build_profile();
    return tried(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)");
}

static int install(struct instruction *instructions, unsigned short count)
{
    struct program program = {count, instructions};
    return tried((int)syscall(SYS_seccomp, SET_MODE_FILTER, 0, &program),
                 "seccomp(SECCOMP_SET_MODE_FILTER) with %u instructions", count);
}

int seccomp_profile(void)
{
    if (ARCHITECTURE == 0) {
        errno = ENOTSUP;
        return tried(-1, "seccomp: no profile for this architecture");
    }
    return install(filter, length);
}

int seccomp_minimal(void)
{
    static struct instruction allow_all = {RETURN, 0, 0, RET_ALLOW};
    return install(&allow_all, 1);
}

int64_t seccomp_profile_size(void)
{
    build_profile();
    return length;
}

int64_t seccomp_minimal_size(void) { return 1; }
