/* trace.json: Chrome's trace format (Google: "Trace Event Format"), as Perfetto reads it. A host is
 * a process of it, a rank a thread, a message a flow. Times are microseconds with three digits. */
#include "metrics/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "metrics/results.h"
#include "metrics/trace_parts.h"

struct document {
    const struct results *results;
    const struct trace_run *run;
    const struct trace_items *items;
    const int *host; /* [ranks] */
};

/* Of each rank the number of its host: of its first rank there. */
static int *hosts_of(const struct trace_run *run)
{
    int *host = xcalloc((size_t)run->ranks, sizeof *host);
    for (int rank = 0; rank < run->ranks; rank++)
        while (strcmp(run->parts[host[rank]].host, run->parts[rank].host) != 0)
            host[rank]++;
    return host;
}

static void write_us(FILE *f, const char *name, int64_t ns)
{
    fprintf(f, ",\"%s\":%lld.%03lld", name, (long long)(ns / 1000), (long long)(ns % 1000));
}

/* "name": fields, without a newline after it */
static void write_object(FILE *f, const char *before, const struct json_field *fields)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    json_write(to, fields, NULL, false);
    fclose(to);
    fprintf(f, "%s%.*s", before, (int)(size ? size - 1 : 0), text);
    free(text);
}

/* The lines "# name: value" of the head that every file begins with. */
static void write_head(FILE *f, const char *head)
{
    char name[128], value[1024];
    const char *comma = "";
    fputs("\"run\":{", f);
    for (const char *line = head; *line;) {
        const char *end = strchr(line, '\n'), *colon = strstr(line, ": ");
        end = end ? end : line + strlen(line);
        if (!strncmp(line, "# ", 2) && colon && colon < end) {
            snprintf(name, sizeof name, "%.*s", (int)(colon - line - 2), line + 2);
            snprintf(value, sizeof value, "%.*s", (int)(end - colon - 2), colon + 2);
            fputs(comma, f);
            char *text = NULL;
            size_t size = 0;
            FILE *to = open_memstream(&text, &size);
            json_write(to, JSON_FIELDS(JSON_TEXT(name, value)), NULL, false);
            fclose(to);
            fprintf(f, "%.*s", (int)(strrchr(text, '}') - text - 1), text + 1);
            free(text);
            comma = ",";
        }
        line = *end ? end + 1 : end;
    }
    fputs("}", f);
}

static void write_rank(FILE *f, const struct trace_run *run, int rank)
{
    const struct trace_part *p = &run->parts[rank];
    write_object(f, rank ? ",\n" : "\n",
                 JSON_FIELDS(JSON_INT("rank", rank), JSON_TEXT("role", p->role),
                             JSON_TEXT("host", p->host), JSON_BOOL("missing", !p->events),
                             JSON_INT("events", p->kept), JSON_INT("left_out", p->noted - p->kept),
                             JSON_REAL("clock_offset_us", 1e6 * p->offset_s),
                             JSON_REAL("clock_error_us", 1e6 * p->error_s)));
}

static void write_said(FILE *f, const struct document *d)
{
    const struct trace_run *run = d->run;
    int64_t left_out = 0;
    for (int r = 0; r < run->ranks; r++)
        left_out += run->parts[r].noted - run->parts[r].kept;
    fputs("{\"displayTimeUnit\":\"ms\",\n\"otherData\":{", f);
    write_head(f, d->results->head);
    fprintf(f,
            ",\n\"clocks\":\"%s\",\n\"events_left_out\":%lld,\"messages_left_out\":%lld,"
            "\"messages_early\":%lld,\n\"ranks\":[",
            run->virtual_time ? "one virtual clock"
                              : "of each host; aligned by messages to and fro at the start, known "
                                "to clock_error_us, but for their drift since then",
            (long long)left_out, (long long)d->items->left_out, (long long)d->items->early);
    for (int r = 0; r < run->ranks; r++)
        write_rank(f, run, r);
    fputs("]},\n\"traceEvents\":[", f);
}

static void write_names(FILE *f, const struct trace_run *run, const int *host_of)
{
    char name[64];
    for (int r = 0; r < run->ranks; r++) {
        const int host = host_of[r];
        snprintf(name, sizeof name, "rank %d, %s", r, run->parts[r].role);
        if (host == r) {
            fprintf(f, "%s{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":",
                    r ? ",\n" : "\n", host);
            write_object(f, "", JSON_FIELDS(JSON_TEXT("name", run->parts[r].host)));
            fputs("}", f);
        }
        fprintf(f,
                ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":", host,
                r);
        write_object(f, "", JSON_FIELDS(JSON_TEXT("name", name)));
        fprintf(f,
                "},\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_sort_index\",\"args\":{"
                "\"sort_index\":%d}}",
                host, r, r);
    }
}

static void write_arguments(FILE *f, const struct trace_item *i)
{
    const struct trace_event *e = i->event;
    switch (e->kind) {
    case TRACE_COMPUTE:
        write_object(f, ",\"args\":", JSON_FIELDS(JSON_REAL("transfer_us", 1e6 * e->extra)));
        break;
    case TRACE_WAIT:
        write_object(
            f, ",\"args\":", JSON_FIELDS(JSON_TEXT("for", e->what), JSON_INT("of_rank", e->peer)));
        break;
    case TRACE_MINIBATCH:
    case TRACE_ABORTED:
        write_object(f, ",\"args\":",
                     JSON_FIELDS(JSON_INT("worker", e->peer), JSON_INT("index", e->number),
                                 JSON_BOOL("aborted", e->kind == TRACE_ABORTED)));
        break;
    case TRACE_SIGNAL:
    case TRACE_HEARD:
        write_object(
            f, ",\"args\":", JSON_FIELDS(JSON_INT("round", e->number), JSON_INT("rank", e->peer)));
        break;
    case TRACE_VERSION:
        write_object(f, ",\"args\":", JSON_FIELDS(JSON_INT("version", e->number)));
        break;
    case TRACE_DROPPED:
        write_object(f, ",\"args\":", JSON_FIELDS(JSON_REAL("computed_us", 1e6 * e->extra)));
        break;
    case TRACE_MESSAGE:
        write_object(f, ",\"args\":",
                     JSON_FIELDS(JSON_INT("version", e->number),
                                 JSON_INT("bytes", (int64_t)e->extra), JSON_INT("from", e->peer),
                                 JSON_INT("to", i->arrives ? i->rank : i->other)));
    }
}

/* X: a span; i: an instant; s, f: a flow begins, ends */
static void write_item(FILE *f, const struct document *d, const struct trace_item *i)
{
    const struct trace_event *e = i->event;
    const bool message = e->kind == TRACE_MESSAGE,
               spans = e->kind <= TRACE_ABORTED && (e->kind != TRACE_EVALUATION || i->for_ns > 0);
    fprintf(f, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d",
            message ? i->arrives ? "f" : "s"
            : spans ? "X"
                    : "i",
            d->host[i->rank], i->rank);
    write_us(f, "ts", i->at_ns);
    if (spans)
        write_us(f, "dur", i->for_ns);
    else if (!message)
        fputs(",\"s\":\"t\"", f);
    if (message)
        fprintf(f, ",\"id\":%lld%s", (long long)i->id, i->arrives ? ",\"bp\":\"e\"" : "");
    fprintf(f, ",\"cat\":\"%s\",\"name\":\"%s%s\"",
            message                    ? "message"
            : e->kind < TRACE_ACCOUNTS ? "account"
            : spans                    ? "work"
                                       : "instant",
            message ? e->what : trace_names[e->kind], e->kind == TRACE_ABORTED ? ", aborted" : "");
    write_arguments(f, i);
    fputs("}", f);
}

static void write(FILE *f, const void *what)
{
    const struct document *d = what;
    write_said(f, d);
    write_names(f, d->run, d->host);
    for (int64_t i = 0; i < d->items->count && !ferror(f); i++)
        write_item(f, d, &d->items->list[i]);
    fputs("\n]}\n", f);
}

void results_trace(struct results *r, const struct trace_run *t)
{
    struct trace_items items;
    if (!r || r->forwards)
        return;
    const bool whole = !r->unwritten;
    trace_items_open(&items, t);
    int *host = hosts_of(t);
    rows_write(r, "trace.json", false, write,
               &(struct document){.results = r, .run = t, .items = &items, .host = host});
    xfree(host);
    trace_rows(r, &items);
    if (whole) /* else it has been said, but for this */
        results_say_unwritten(r);
    trace_items_close(&items);
}
