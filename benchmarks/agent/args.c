#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void usage_error(const char *what, const char *which)
{
    fprintf(stderr, "isoagent: %s: %s\n", which, what);
    exit(EXIT_USAGE);
}

_Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "isoagent: %s %s: %s\n", what, which, strerror(errno));
    exit(EXIT_FAILED);
}

/* strtoll(3) alone takes leading white space, a plus sign, and what follows the number. */
int read_integer(const char *text, int64_t min, int64_t max, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    int plain = *text == '-' || (*text >= '0' && *text <= '9');
    return plain && !errno && end != text && !*end && *value >= min && *value <= max;
}

int64_t parse_integer(const char *option, const char *text, int64_t min, int64_t max)
{
    int64_t value;
    if (!read_integer(text, min, max, &value)) {
        fprintf(stderr, "isoagent: %s: '%s' is not an integer from %lld to %lld\n", option, text,
                (long long)min, (long long)max);
        exit(EXIT_USAGE);
    }
    return value;
}

const char *take_value(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc)
        usage_error("a value is missing", argv[*at]);
    return argv[++*at];
}
