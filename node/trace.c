/* Events go to a ring that is made at the start: nothing is allocated while the run goes on.
 *
 * The account that is open is noted when it changes. Between two units of a mini-batch a rank lets
 * messages move: transfers so short lie within the span of computing, and are counted there. A
 * message is noted where it is taken, with the sender's time of sending, which its header has. So
 * no end of one is without the other. */
#include "node/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

_Static_assert((int)TRACE_OTHER == (int)ACCOUNT_OTHER &&
                   (int)TRACE_COMPUTE == (int)ACCOUNT_COMPUTE &&
                   (int)TRACE_DELAY == (int)ACCOUNT_DELAY &&
                   (int)TRACE_UPDATE == (int)ACCOUNT_UPDATE &&
                   (int)TRACE_TRANSFER == (int)ACCOUNT_TRANSFER &&
                   (int)TRACE_WAIT == (int)ACCOUNT_WAIT && (int)TRACE_ACCOUNTS == (int)ACCOUNTS,
               "accounts are the first kinds of events, in their order");

enum { SEEN = 1024, ROUNDS = 16 };
static const double brief_s = 100e-6;

struct seen { /* a request that a wait has returned, and is not released yet */
    const struct request *request;
    double at_s;
};

struct clock_known { /* of a rank: less rank 0's; known to this */
    double offset_s, error_s;
};

struct recorder {
    struct trace trace;
    struct net_observer observer;
    struct seen seen[SEEN]; /* by the request's address; one that is put out counts as taken when
                               it is released */
    double since_s;         /* of net_now(): the open account's span begins */
    struct trace_event last, brief; /* spans that may go on; kind -1: none */
    const char *what;               /* the wait under way is for that, of that rank */
    int peer;

    /* rank 0, [ranks] */
    struct clock_known *clock;
    struct trace_part *part;
    struct trace_event **came; /* memory of parts that came by messages */
};

static const char *const names[] = {
    [TAG_PUSH] = "push",     [TAG_PARAMS] = "reply",      [TAG_SIGNAL] = "signal",
    [TAG_DEPART] = "depart", [TAG_FAREWELL] = "farewell", [TAG_PAUSE] = "pause",
    [TAG_SLICE] = "slice",   [TAG_PARTIAL] = "partial",   [TAG_STATISTICS] = "statistics",
    [TAG_RESUME] = "resume", [TAG_EVALUATION] = "judged", [TAG_REDUCE] = "sum",
    [TAG_GATHER] = "sum",    [TAG_MIX] = "neighbour",     [TAG_PAIR] = "pair",
    [TAG_PAIRED] = "pair",   [TAG_NORM] = "norm",         [TAG_STOP] = "stop",
};

static const char *name_of(int tag)
{
    bool known = tag >= 0 && tag < (int)(sizeof names / sizeof *names) && names[tag];
    return known ? names[tag] : "control";
}

/* --- messages --- */

static struct seen *slot_of(struct recorder *t, const struct request *request)
{
    return &t->seen[(uintptr_t)request / 64 % SEEN];
}

static void on_returned(void *owner, const struct request *request)
{
    struct node *n = owner;
    struct seen *s = slot_of(n->own->trace, request);
    if (s->request != request)
        *s = (struct seen){request, net_now(n->net)};
}

static void on_released(void *owner, const struct request *request)
{
    struct node *n = owner;
    struct recorder *t = n->own->trace;
    struct seen *s = slot_of(t, request);
    double taken_s = s->request == request ? s->at_s : net_now(n->net);
    if (s->request == request)
        s->request = NULL;
    double sent_s = net_passage(n->net, request).begun_s;
    if (!isfinite(sent_s)) /* no receive, or nothing came */
        return;
    const struct header *m = net_header(request);
    struct trace_event e = {.begin_s = sent_s,
                            .end_s = taken_s,
                            .extra = (double)m->bytes,
                            .number = m->version,
                            .kind = TRACE_MESSAGE,
                            .peer = m->from};
    strncpy(e.what, name_of(m->tag), sizeof e.what - 1);
    trace_note(&t->trace, &e);
}

/* --- clocks --- */

/* Rank 0's message to and fro that took least says what the other clock showed in its middle, to
 * half of what it took. */
static struct clock_known compare(struct node *n, int rank)
{
    const struct header header = {.tag = TAG_TRACE};
    struct clock_known best = {0, INFINITY};
    for (int i = 0; i < ROUNDS; i++) {
        double began_s = net_now(n->net);
        net_release(n->net, net_send(n->net, rank, &header, NULL, 0));
        struct request *come = net_recv(n->net, rank, TAG_TRACE, NULL, 0);
        net_await(n->net, come, rank, "a rank to compare clocks");
        double half_s = (net_now(n->net) - began_s) / 2;
        if (half_s < best.error_s)
            best = (struct clock_known){net_header(come)->sent_s - began_s - half_s, half_s};
        net_release(n->net, come);
    }
    return best;
}

static void answer(struct node *n)
{
    const struct header header = {.tag = TAG_TRACE};
    for (int i = 0; i < ROUNDS; i++) {
        struct request *come = net_recv(n->net, 0, TAG_TRACE, NULL, 0);
        net_await(n->net, come, 0, "rank 0 to compare clocks");
        net_release(n->net, come);
        net_release(n->net, net_send(n->net, 0, &header, NULL, 0));
    }
}

/* Ranks of one host have one clock. */
static bool has_clock_of_its_own(const struct node *n, int rank)
{
    return !n->net->virtual_time && strcmp(net_host(n->net, rank), net_host(n->net, 0)) != 0;
}

static void compare_clocks(struct node *n)
{
    for (int r = 1; r < n->net->ranks && n->rank == 0; r++)
        if (has_clock_of_its_own(n, r))
            n->own->trace->clock[r] = compare(n, r);
    if (n->rank > 0 && has_clock_of_its_own(n, n->rank))
        answer(n);
}

/* --- opening and closing --- */

void trace_open(struct node *n)
{
    const struct options *o = n->context->options;
    if (!o->trace)
        return;
    struct recorder *t = xcalloc(1, sizeof *t);
    n->own->trace = t;
    t->trace.room = o->trace_events;
    t->trace.ring = calloc((size_t)t->trace.room, sizeof *t->trace.ring); /* pages come as used */
    CHECK(t->trace.ring, "no memory for --trace-events %lld", (long long)t->trace.room);
    t->last.kind = t->brief.kind = -1;
    t->since_s = INFINITY;
    if (n->rank == 0) {
        t->clock = xcalloc((size_t)n->net->ranks, sizeof *t->clock);
        t->part = xcalloc((size_t)n->net->ranks, sizeof *t->part);
        t->came = xcalloc((size_t)n->net->ranks, sizeof *t->came);
    }
    compare_clocks(n);
    t->observer = (struct net_observer){n, on_returned, on_released};
    n->net->observer = &t->observer;
}

void trace_begin(struct node *n)
{
    if (n->own->trace)
        n->own->trace->since_s = net_now(n->net);
}

void trace_close(struct node *n)
{
    struct recorder *t = n->own->trace;
    if (!t)
        return;
    n->net->observer = NULL;
    for (int r = 0; r < n->net->ranks && t->came; r++)
        xfree(t->came[r]);
    xfree(t->clock);
    xfree(t->part);
    xfree(t->came);
    free(t->trace.ring);
    xfree(t);
    n->own->trace = NULL;
}

/* --- spans --- */

static void flush(struct recorder *t)
{
    if (t->last.kind >= 0)
        trace_note(&t->trace, &t->last);
    if (t->brief.kind >= 0)
        trace_note(&t->trace, &t->brief);
    t->last.kind = t->brief.kind = -1;
}

static bool goes_on(const struct trace_event *last, const struct trace_event *e)
{
    return last->kind == e->kind && last->end_s == e->begin_s && last->peer == e->peer &&
           !strcmp(last->what, e->what);
}

/* A span that ended: it goes on with the last one, or is brief, or begins anew. */
static void add_span(struct recorder *t, const struct trace_event *e)
{
    if (t->brief.kind >= 0 && e->kind == TRACE_COMPUTE) {
        t->last.end_s = e->end_s;
        t->last.extra += t->brief.end_s - t->brief.begin_s;
        t->brief.kind = -1;
        return;
    }
    if (t->brief.kind < 0 && goes_on(&t->last, e)) {
        t->last.end_s = e->end_s;
        return;
    }
    if (t->brief.kind < 0 && t->last.kind == TRACE_COMPUTE && e->kind == TRACE_TRANSFER &&
        t->last.end_s == e->begin_s && e->end_s - e->begin_s < brief_s) {
        t->brief = *e;
        return;
    }
    flush(t);
    t->last = *e;
}

void trace_account(struct node *n, enum account account, double now_s)
{
    struct recorder *t = n->own->trace;
    if (!t || now_s <= t->since_s)
        return;
    struct trace_event e = {
        .begin_s = t->since_s, .end_s = now_s, .kind = (int32_t)account, .peer = -1};
    if (account == ACCOUNT_WAIT && t->what) {
        strncpy(e.what, t->what, sizeof e.what - 1);
        e.peer = t->peer;
    }
    t->since_s = now_s;
    add_span(t, &e);
}

void trace_waits(struct node *n, const char *what, int peer)
{
    if (!n->own->trace)
        return;
    n->own->trace->what = what;
    n->own->trace->peer = peer;
}

/* What is noted next speaks of all until now. */
static void settle(struct node *n, double now_s)
{
    if (!n->own->accounts.ended && !n->own->control.evaluating)
        trace_account(n, n->own->accounts.current, now_s);
    flush(n->own->trace);
}

static void correct(struct node *n, enum account from, enum account to, struct trace_event e)
{
    flush(n->own->trace);
    e.number = (int64_t)from * ACCOUNTS + (int64_t)to;
    trace_note(&n->own->trace->trace, &e);
}

void trace_moved(struct node *n, enum account from, enum account to, double since_s, double until_s)
{
    if (n->own->trace)
        correct(n, from, to,
                (struct trace_event){.kind = TRACE_MOVED, .begin_s = since_s, .end_s = until_s});
}

void trace_moved_newest(struct node *n, enum account from, enum account to, double seconds)
{
    if (n->own->trace && seconds > 0)
        correct(n, from, to, (struct trace_event){.kind = TRACE_MOVED_NEWEST, .extra = seconds});
}

/* A simulated rank that is dead, or stopped, does nothing that rank 0 could note for it. */
static bool is_lost(const struct node *n)
{
    struct node *const *nodes = n->context->nodes;
    return nodes && nodes[0] && node_is_absent(nodes[0], n->rank);
}

void trace_stopped(struct node *n, double began_s, double seconds)
{
    struct recorder *t = n->own->trace;
    if (!t || n->own->accounts.ended || is_lost(n))
        return;
    trace_account(n, n->own->accounts.current, began_s);
    flush(t);
    trace_note(&t->trace, &(struct trace_event){.begin_s = began_s,
                                                .end_s = began_s + seconds,
                                                .kind = TRACE_EVALUATION,
                                                .peer = -1});
    t->since_s = fmax(t->since_s, began_s + seconds);
}

double trace_minibatch_begins(struct node *n)
{
    if (!n->own->trace)
        return 0;
    double now_s = net_now(n->net);
    settle(n, now_s);
    return now_s;
}

void trace_minibatch(struct node *n, double began_s, enum node_flow flow, int worker, int64_t index)
{
    if (!n->own->trace)
        return;
    double now_s = net_now(n->net);
    settle(n, now_s);
    trace_note(
        &n->own->trace->trace,
        &(struct trace_event){.begin_s = began_s,
                              .end_s = now_s,
                              .number = index,
                              .kind = flow == NODE_CONTINUE ? TRACE_MINIBATCH : TRACE_ABORTED,
                              .peer = worker});
}

static void note_instant(struct node *n, struct trace_event e)
{
    e.begin_s = e.end_s = net_now(n->net);
    trace_note(&n->own->trace->trace, &e);
}

void node_note(struct node *n, enum trace_kind kind, int64_t number, int peer)
{
    if (n->own->trace)
        note_instant(n, (struct trace_event){.kind = kind, .number = number, .peer = peer});
}

void trace_dropped(struct node *n, double seconds)
{
    if (n->own->trace && seconds > 0)
        note_instant(n, (struct trace_event){.kind = TRACE_DROPPED, .extra = seconds, .peer = -1});
}

/* --- the end --- */

struct trace_note_sent { /* TAG_TRACE, behind which the kept events lie */
    int64_t noted, kept, first;
};

static struct trace_note_sent describe(const struct trace *t)
{
    bool full = t->noted > t->room;
    return (struct trace_note_sent){.noted = t->noted,
                                    .kept = full ? t->room : t->noted,
                                    .first = full ? t->noted % t->room : 0};
}

void trace_send(struct node *n)
{
    struct recorder *t = n->own->trace;
    if (!t || n->context->nodes)
        return;
    n->net->observer = NULL;
    flush(t);
    const struct trace_note_sent note = describe(&t->trace);
    const size_t bytes = (size_t)note.kept * sizeof *t->trace.ring;
    void *copy = net_alloc(n->net, bytes + 1);
    struct header header = {.tag = TAG_TRACE};
    header_pack(&header, note);
    memcpy(copy, t->trace.ring, bytes);
    struct request *sent = net_send(n->net, 0, &header, bytes ? copy : NULL, bytes);
    node_await(n, sent, "rank 0 to take its trace", 0);
    net_release(n->net, sent);
    net_free(n->net, copy);
}

static void set_part(struct node *n, int rank, const struct trace_event *events,
                     const struct trace_note_sent *note)
{
    n->own->trace->part[rank] = (struct trace_part){
        .events = events, .kept = note->kept, .first = note->first, .noted = note->noted};
}

void trace_take(struct node *n, int rank)
{
    struct recorder *t = n->own->trace;
    struct trace_note_sent note;
    if (!t || n->context->nodes || node_is_absent(n, rank))
        return;
    n->net->observer = NULL;
    struct request *come = net_recv(n->net, rank, TAG_TRACE, NULL, 0);
    if (node_await(n, come, "its trace", rank)) {
        const struct header *m = net_header(come);
        header_unpack(m, note);
        CHECK(note.kept >= 0 && note.kept <= note.noted && note.first >= 0 &&
                  note.first <= note.kept && m->bytes / sizeof **t->came == (uint64_t)note.kept,
              "a trace of rank %d: %lld events in %llu bytes", rank, (long long)note.kept,
              (unsigned long long)m->bytes);
        t->came[rank] = xcalloc((size_t)note.kept + 1, sizeof **t->came);
        if (m->bytes)
            memcpy(t->came[rank], net_data(come), m->bytes);
        set_part(n, rank, t->came[rank], &note);
    }
    net_release(n->net, come);
}

static void take_here(struct node *n, int rank, struct recorder *from)
{
    flush(from);
    const struct trace_note_sent note = describe(&from->trace);
    set_part(n, rank, from->trace.ring, &note);
}

void trace_write(struct node *n)
{
    struct recorder *t = n->own->trace;
    if (!t)
        return;
    take_here(n, 0, t);
    for (int r = 0; r < n->net->ranks; r++) {
        struct trace_part *p = &t->part[r];
        struct node *const other = n->context->nodes ? n->context->nodes[r] : NULL;
        if (other)
            take_here(n, r, other->own->trace);
        p->host = net_host(n->net, r);
        p->role = n->net->ranks == 1        ? "server and workers"
                  : r < n->context->servers ? "server"
                                            : "worker";
        p->offset_s = t->clock[r].offset_s;
        p->error_s = t->clock[r].error_s;
    }
    results_trace(n->context->results, &(struct trace_run){.ranks = n->net->ranks,
                                                           .virtual_time = n->net->virtual_time,
                                                           .parts = t->part});
}
