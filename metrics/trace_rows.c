/* trace.csv: a window of the trace, as rows of a figure (plots/gantt.gp).
 *
 * A whole run would be a grey bar. The window is as long as some mini-batches, in the middle of
 * what is kept, after an evaluation that would fill it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "metrics/results.h"
#include "metrics/trace_parts.h"

enum { MINIBATCHES = 10, MOST_RANKS = 40, MOST_ROWS = 20000 };

static int by_length(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* of the mini-batches that were finished; 0: there are none */
static int64_t median_ns(const struct trace_items *t)
{
    int64_t *list = xcalloc((size_t)t->count + 1, sizeof *list), count = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (t->list[i].event->kind == TRACE_MINIBATCH)
            list[count++] = t->list[i].for_ns;
    qsort(list, (size_t)count, sizeof *list, by_length);
    int64_t median = count ? list[count / 2] : 0;
    xfree(list);
    return median;
}

struct window {
    int64_t from_ns, to_ns;
};

static struct window window_of(const struct trace_items *t)
{
    int64_t end_ns = 0, length_ns = MINIBATCHES * median_ns(t);
    for (int64_t i = 0; i < t->count; i++)
        if (t->list[i].at_ns + t->list[i].for_ns > end_ns)
            end_ns = t->list[i].at_ns + t->list[i].for_ns;
    if (!length_ns || length_ns >= end_ns)
        return (struct window){0, end_ns};
    int64_t from_ns = (end_ns - length_ns) / 2;
    for (int64_t i = 0; i < t->count; i++) {
        const struct trace_item *e = &t->list[i];
        int64_t over_ns = e->at_ns + e->for_ns;
        if (e->event->kind == TRACE_EVALUATION && e->at_ns < from_ns + length_ns &&
            over_ns > from_ns && over_ns + length_ns <= end_ns)
            from_ns = over_ns;
    }
    return (struct window){from_ns, from_ns + length_ns};
}

static const char *name_of(const struct trace_item *i)
{
    const struct trace_event *e = i->event;
    return e->kind == TRACE_MESSAGE   ? e->what
           : e->kind == TRACE_ABORTED ? "aborted"
                                      : trace_names[e->kind];
}

/* A message's other end is at end_ns. */
static void write_row(FILE *f, const struct trace_item *i, int64_t end_ns)
{
    fprintf(f, "%s,%d,%.9f,%.9f,", name_of(i), i->rank, 1e-9 * (double)i->at_ns,
            1e-9 * (double)end_ns);
    if (i->event->kind == TRACE_MESSAGE)
        fprintf(f, "%d", i->other);
    fprintf(f, ",%lld\n", (long long)i->event->number);
}

/* Rows of arrows need both ends: when each arrives, by its number. To be freed. */
static int64_t *arrivals(const struct trace_items *t)
{
    int64_t *taken_ns = xcalloc((size_t)t->messages + 1, sizeof *taken_ns);
    for (int64_t i = 0; i < t->count; i++)
        if (t->list[i].arrives)
            taken_ns[t->list[i].id] = t->list[i].at_ns;
    return taken_ns;
}

struct row {
    const struct trace_item *item; /* NULL: there are no more */
    int64_t end_ns;
};

/* The next one in the window from *at on. */
static struct row next_row(const struct trace_items *t, const int64_t *taken_ns, struct window w,
                           int64_t *at)
{
    while (*at < t->count) {
        const struct trace_item *i = &t->list[(*at)++];
        int64_t end_ns = i->event->kind == TRACE_MESSAGE ? taken_ns[i->id] : i->at_ns + i->for_ns;
        if (!i->arrives && i->rank < MOST_RANKS && i->other < MOST_RANKS && i->at_ns < w.to_ns &&
            end_ns > w.from_ns)
            return (struct row){i, end_ns};
    }
    return (struct row){0};
}

/* "# kinds: compute wait ..": of the rows, for the figure's key */
static void write_kinds(FILE *f, const struct trace_items *t, const int64_t *taken_ns,
                        struct window w)
{
    char names[512] = " ", word[64];
    int64_t at = 0;
    for (struct row r; (r = next_row(t, taken_ns, w, &at)).item;) {
        snprintf(word, sizeof word, " %s ", name_of(r.item));
        for (char *space = word + 1; (space = strchr(space, ' ')) && space[1]; space++)
            *space = '-';
        size_t length = strlen(names);
        if (!strstr(names, word) && length + strlen(word) < sizeof names)
            snprintf(names + length - 1, sizeof names - length + 1, "%s", word);
    }
    fprintf(f, "# kinds: %s\n", names + 1);
}

static void write_window(FILE *f, const struct trace_items *t, const int64_t *taken_ns,
                         struct window w)
{
    int64_t rows = 0, at = 0;
    for (struct row r; (r = next_row(t, taken_ns, w, &at)).item;)
        if (rows++ < MOST_ROWS)
            write_row(f, r.item, r.end_ns);
    if (rows > MOST_ROWS)
        fprintf(f, "# rows left out: %lld\n", (long long)rows - MOST_ROWS);
}

static void write(FILE *f, const void *what)
{
    const struct trace_items *t = what;
    const struct window w = window_of(t);
    int64_t *taken_ns = arrivals(t);
    fprintf(f, "# from: %.9f\n# to: %.9f\n# shown ranks: %d\n", 1e-9 * (double)w.from_ns,
            1e-9 * (double)w.to_ns, t->ranks < MOST_RANKS ? t->ranks : MOST_RANKS);
    write_kinds(f, t, taken_ns, w);
    fputs("kind,rank,begin_s,end_s,other,number\n", f);
    write_window(f, t, taken_ns, w);
    xfree(taken_ns);
}

void trace_rows(struct results *r, const struct trace_items *t)
{
    rows_write(r, "trace.csv", true, write, t);
}
