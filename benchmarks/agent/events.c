/* What `start` says about its instances: one JSON line an event. */
#include "instance.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const PHASE_NAMES[PHASES] = {"created", "spawned", "kernel", "ready", "exit", "cleaned"};
static const char *const STATUS_NAMES[] = {"ok", "failed", "timeout"};

void fail(struct instance *i, enum status status, const char *format, ...)
{
    if (i->status != OK)
        return; /* the first cause is the reason */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(i->reason, sizeof i->reason, format, arguments);
    va_end(arguments);
    i->status = status;
}

void stamp(struct instance *i, enum phase phase, int64_t at)
{
    if (!i->stamp_ns[phase])
        i->stamp_ns[phase] = at;
}

enum phase phase_named(const char *name)
{
    for (int p = 0; p < PHASES; p++)
        if (strcmp(name, PHASE_NAMES[p]) == 0)
            return (enum phase)p;
    usage_error("unknown phase", name);
}

void report(struct instance *i, const char *event)
{
    /* What concurrent starts say is kept in memory until all are over. */
    size_t told = template.workers ? KEPT_ERRORS : KEPT_OUTPUT;
    json_begin();
    json_string("kind", event);
    json_integer("slot", i->slot);
    json_string("status", STATUS_NAMES[i->status]);
    if (i->status != OK)
        json_string("reason", i->reason);
    json_integer("invoke_ns", i->invoke_ns);
    if (i->intended_ns)
        json_integer("intended_ns", i->intended_ns);
    if (i->late)
        json_boolean("late", i->late);
    if (i->stop_ns)
        json_integer("stop_ns", i->stop_ns);
    json_integer("ready_count", i->ready_count);
    json_open("phases_ns");
    for (int p = 0; p < PHASES; p++)
        if (i->stamp_ns[p])
            json_integer(PHASE_NAMES[p], i->stamp_ns[p] - i->invoke_ns);
    json_close();
    if (i->pid > 0)
        json_integer("pid", i->pid);
    if (i->exit_code >= 0)
        json_integer("exit_code", i->exit_code);
    if (i->term_signal >= 0)
        json_integer("term_signal", i->term_signal);
    json_bytes("output", i->output, i->output_kept < told ? i->output_kept : told);
    json_integer("output_bytes", i->output_bytes);
    json_bytes("stderr", i->errors, i->errors_kept);
    json_end();
    if (ferror(stdout))
        interrupted = 1; /* nobody reads what we measure */
}

/* Interactive: report the lines completed since the last time. The first is part of `ready`. */
void report_lines(struct instance *i, int64_t at)
{
    for (char *end; (end = memchr(i->output + i->line_start, '\n', i->output_kept - i->line_start));) {
        size_t length = (size_t)(end - i->output) - i->line_start;
        if (i->line_start) {
            json_begin();
            json_string("kind", "line");
            json_integer("slot", i->slot);
            json_integer("t_ns", at);
            json_bytes("output", i->output + i->line_start, length);
            json_end();
        }
        i->line_start += length + 1;
    }
}

void report_ping(struct instance *i, const int64_t *round_trips_ns, size_t count)
{
    json_begin();
    json_string("kind", "pinged");
    json_integer("slot", i->slot);
    json_string("status", STATUS_NAMES[i->status]);
    if (i->status != OK)
        json_string("reason", i->reason);
    json_integers("round_trips_ns", round_trips_ns, count);
    json_end();
}

/* The last event of all; begun_ns: of a window, else 0. */
void report_end(int64_t begun_ns)
{
    json_begin();
    json_string("kind", "end");
    if (begun_ns)
        json_integer("t_ns", begun_ns);
    json_end();
}
