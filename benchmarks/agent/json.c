#include "agent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int first_key;

static void key_of(const char *key)
{
    if (!first_key)
        putchar(',');
    first_key = 0;
    printf("\"%s\":", key);
}

void json_begin(void)
{
    putchar('{');
    first_key = 1;
}

void json_open(const char *key)
{
    key_of(key);
    json_begin();
}

void json_close(void)
{
    putchar('}');
    first_key = 0;
}

void json_end(void)
{
    putchar('}');
    putchar('\n');
    fflush(stdout);
}

/* Every byte above 0x7e is written as the code point of that number (Latin-1), so that any output of
 * a workload makes a valid JSON text and can be turned back into the very bytes. */
void json_bytes(const char *key, const char *bytes, size_t length)
{
    key_of(key);
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c == '\n')
            fputs("\\n", stdout);
        else if (c < 0x20 || c > 0x7e)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void json_string(const char *key, const char *text)
{
    json_bytes(key, text, strlen(text));
}

void json_integer(const char *key, int64_t value)
{
    key_of(key);
    printf("%lld", (long long)value);
}

void json_boolean(const char *key, int value)
{
    key_of(key);
    fputs(value ? "true" : "false", stdout);
}

void json_null(const char *key)
{
    key_of(key);
    fputs("null", stdout);
}

void json_integers(const char *key, const int64_t *values, size_t count)
{
    key_of(key);
    putchar('[');
    for (size_t i = 0; i < count; i++)
        printf("%s%lld", i ? "," : "", (long long)values[i]);
    putchar(']');
}

void hello_begin(const char *verb)
{
    json_begin();
    json_string("verb", verb);
    json_integer("t", first_instruction_ns);
    json_integer("pid", getpid());
}
