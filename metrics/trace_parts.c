/* Of each rank: corrections are applied to the spans that they speak of. Then all are put on one
 * clock. Cost: O(events), but for one sort. */
#include "metrics/trace_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

const char *const trace_names[] = {
    [TRACE_OTHER] = "other",           [TRACE_COMPUTE] = "compute",
    [TRACE_DELAY] = "delay",           [TRACE_UPDATE] = "update",
    [TRACE_TRANSFER] = "transfer",     [TRACE_WAIT] = "wait",
    [TRACE_EVALUATION] = "evaluation", [TRACE_MINIBATCH] = "mini-batch",
    [TRACE_ABORTED] = "mini-batch",    [TRACE_SIGNAL] = "signal sent",
    [TRACE_HEARD] = "signal heard",    [TRACE_VERSION] = "version",
    [TRACE_DROPPED] = "dropped",       [TRACE_MESSAGE] = "message",
};

static const double least_s = 1e-12; /* sums of times differ by less */

void trace_note(struct trace *t, const struct trace_event *e)
{
    t->ring[t->noted++ % t->room] = *e;
}

/* --- corrections --- */

struct events {
    struct trace_event *list;
    int64_t count, room;
};

static void insert(struct events *e, int64_t at, struct trace_event event)
{
    if (e->count == e->room) {
        e->room = e->room ? 2 * e->room : 1024;
        e->list = realloc(e->list, (size_t)e->room * sizeof *e->list);
        CHECK(e->list, "no memory for %lld events of a trace", (long long)e->room);
    }
    memmove(e->list + at + 1, e->list + at, (size_t)(e->count - at) * sizeof *e->list);
    e->list[at] = event;
    e->count++;
}

/* Of span i the part between these times goes to another account. */
static void split(struct events *e, int64_t i, double from_s, double to_s, int32_t account)
{
    struct trace_event whole = e->list[i], part = whole, after = whole;
    part.begin_s = fmax(from_s, whole.begin_s);
    part.end_s = fmin(to_s, whole.end_s);
    part.kind = account;
    if (part.end_s - part.begin_s <= 0)
        return;
    bool before = part.begin_s > whole.begin_s, behind = part.end_s < whole.end_s;
    part.extra = before || behind ? 0 : whole.extra;
    after.begin_s = part.end_s;
    after.extra = before ? 0 : whole.extra;
    if (before)
        e->list[i].end_s = part.begin_s;
    else
        e->list[i] = part;
    if (before)
        insert(e, ++i, part);
    if (behind)
        insert(e, i + 1, after);
}

static void move_between(struct events *spans, const struct trace_event *m)
{
    const int32_t from = (int32_t)(m->number / TRACE_ACCOUNTS),
                  to = (int32_t)(m->number % TRACE_ACCOUNTS);
    for (int64_t i = spans->count - 1; i >= 0 && spans->list[i].end_s > m->begin_s; i--)
        if (spans->list[i].kind == from)
            split(spans, i, m->begin_s, m->end_s, to);
}

static void move_newest(struct events *spans, const struct trace_event *m)
{
    const int32_t from = (int32_t)(m->number / TRACE_ACCOUNTS),
                  to = (int32_t)(m->number % TRACE_ACCOUNTS);
    double left_s = m->extra;
    for (int64_t i = spans->count - 1; i >= 0 && left_s > least_s; i--) {
        const struct trace_event span = spans->list[i];
        if (span.kind != from)
            continue;
        split(spans, i, span.end_s - left_s, span.end_s, to);
        left_s -= span.end_s - span.begin_s;
    }
}

/* The clock stood still: it may be set back to when all waited. */
static void cut(struct events *spans, double from_s)
{
    for (; spans->count && spans->list[spans->count - 1].end_s > from_s; spans->count--) {
        struct trace_event *last = &spans->list[spans->count - 1];
        last->end_s = from_s;
        if (last->begin_s < from_s)
            return;
    }
}

/* What a rank has kept, corrected: the spans of accounts, then all else. */
static struct events corrected(const struct trace_part *part)
{
    struct events spans = {0}, rest = {0};
    for (int64_t i = 0; i < part->kept; i++) {
        const struct trace_event *e = &part->events[(part->first + i) % part->kept];
        if (e->kind < TRACE_ACCOUNTS)
            insert(&spans, spans.count, *e);
        else if (e->kind == TRACE_MOVED)
            move_between(&spans, e);
        else if (e->kind == TRACE_MOVED_NEWEST)
            move_newest(&spans, e);
        else
            insert(&rest, rest.count, *e);
        if (e->kind == TRACE_EVALUATION)
            cut(&spans, e->begin_s);
    }
    for (int64_t i = 0; i < rest.count; i++)
        insert(&spans, spans.count, rest.list[i]);
    free(rest.list);
    return spans;
}

/* --- one clock --- */

struct reach { /* times between which a rank has spans, on rank 0's clock */
    double begin_s, end_s;
};

static struct reach reach_of(const struct events *e, double offset_s)
{
    struct reach r = {INFINITY, -INFINITY};
    for (int64_t i = 0; i < e->count && e->list[i].kind < TRACE_ACCOUNTS; i++) {
        r.begin_s = fmin(r.begin_s, e->list[i].begin_s - offset_s);
        r.end_s = fmax(r.end_s, e->list[i].end_s - offset_s);
    }
    return r;
}

static bool is_within(const struct reach *r, double at_s)
{
    return at_s >= r->begin_s && at_s <= r->end_s;
}

static void add(struct trace_items *t, struct trace_item item)
{
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        t->list = realloc(t->list, (size_t)t->room * sizeof *t->list);
        CHECK(t->list, "no memory for %lld events of a trace", (long long)t->room);
    }
    t->list[t->count++] = item;
}

static int64_t ns(double seconds)
{
    return (int64_t)llround(1e9 * seconds);
}

struct placing {
    struct trace_items *items;
    const struct trace_run *run;
    const struct reach *reach;
    double zero_s; /* where the trace begins */
};

static void place_message(struct placing *p, int rank, const struct trace_event *e)
{
    struct trace_items *t = p->items;
    const int from = e->peer;
    double sent_s =
               from >= 0 && from < p->run->ranks ? e->begin_s - p->run->parts[from].offset_s : NAN,
           taken_s = e->end_s - p->run->parts[rank].offset_s;
    if (isnan(sent_s) || !is_within(&p->reach[from], sent_s) ||
        !is_within(&p->reach[rank], taken_s)) {
        t->left_out++;
        return;
    }
    int64_t at_ns = ns(sent_s - p->zero_s), taken_ns = ns(taken_s - p->zero_s);
    t->early += taken_ns < at_ns;
    t->messages++;
    add(t, (struct trace_item){
               .at_ns = at_ns, .rank = from, .other = rank, .id = t->messages, .event = e});
    add(t, (struct trace_item){.at_ns = taken_ns < at_ns ? at_ns : taken_ns,
                               .rank = rank,
                               .other = from,
                               .id = t->messages,
                               .arrives = true,
                               .event = e});
}

static void place(struct placing *p, int rank, const struct trace_event *e)
{
    if (e->kind == TRACE_MESSAGE) {
        place_message(p, rank, e);
        return;
    }
    double since_s = p->run->parts[rank].offset_s + p->zero_s;
    int64_t at_ns = ns(e->begin_s - since_s), end_ns = ns(e->end_s - since_s);
    if (at_ns >= 0 && (e->kind >= TRACE_ACCOUNTS || end_ns > at_ns))
        add(p->items,
            (struct trace_item){
                .at_ns = at_ns, .for_ns = end_ns - at_ns, .rank = rank, .other = -1, .event = e});
}

/* What encloses another comes first, spans before what happens in an instant. */
static int depth(const struct trace_item *i)
{
    return i->event->kind == TRACE_MINIBATCH || i->event->kind == TRACE_ABORTED ? 0
           : i->event->kind == TRACE_EVALUATION                                 ? 1
           : i->event->kind < TRACE_ACCOUNTS                                    ? 2
           : i->arrives                                                         ? 4
                                                                                : 3;
}

static int in_order(const void *a, const void *b)
{
    const struct trace_item *x = a, *y = b;
    const int64_t keys[][2] = {{x->at_ns, y->at_ns},
                               {x->rank, y->rank},
                               {-x->for_ns, -y->for_ns},
                               {depth(x), depth(y)},
                               {x->id, y->id}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

void trace_items_open(struct trace_items *t, const struct trace_run *run)
{
    const size_t ranks = (size_t)run->ranks;
    struct reach *reach = xcalloc(ranks, sizeof *reach);
    struct placing p = {.items = t, .run = run, .reach = reach, .zero_s = INFINITY};
    *t = (struct trace_items){.ranks = run->ranks};
    t->kept = xcalloc(ranks, sizeof *t->kept);
    t->kept_count = xcalloc(ranks, sizeof *t->kept_count);
    for (int r = 0; r < run->ranks; r++) {
        struct events e = corrected(&run->parts[r]);
        t->kept[r] = e.list;
        t->kept_count[r] = e.count;
        reach[r] = reach_of(&e, run->parts[r].offset_s);
        p.zero_s = fmin(p.zero_s, reach[r].begin_s);
    }
    for (int r = 0; r < run->ranks; r++)
        for (int64_t i = 0; i < t->kept_count[r]; i++)
            place(&p, r, &t->kept[r][i]);
    if (t->count)
        qsort(t->list, (size_t)t->count, sizeof *t->list, in_order);
    xfree(reach);
}

void trace_items_close(struct trace_items *t)
{
    for (int r = 0; r < t->ranks; r++)
        free(t->kept[r]);
    xfree(t->kept);
    xfree(t->kept_count);
    free(t->list);
}
