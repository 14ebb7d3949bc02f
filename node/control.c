/* The event loop of a rank: how it waits, who is there, and how an evaluation begins.
 *
 * Every wait is made of next_event(). It hands out what has come: a request of the caller, a call
 * to an evaluation, or the end of the time. An evaluation begins in node_handle_events() and
 * nowhere else. That is called by every wait, after every unit of a mini-batch, and on rank 0 right
 * after the update that makes one due. So the deepest nesting is: a gradient, its interrupt, a
 * wait, an evaluation. While a rank evaluates, calls are not looked at.
 *
 * Nothing waits without a deadline. Servers speak first when a rank falls silent, so that rank 0
 * can say what is kept before the launcher ends everybody. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

static const double look_every_s = 1.0, grace_s = 5.0;
static const double ask_every_s = 50e-6;

void control_open(struct node *n)
{
    struct control *c = &n->own->control;
    c->watched = n->worker < 0 || n->rank == 0 ? n->net->ranks : n->context->servers;
    c->departed = xcalloc((size_t)c->watched, sizeof *c->departed);
    if (n->rank > 0 && !n->context->nodes)
        c->call = net_recv(n->net, 0, TAG_PAUSE, NULL, 0);
}

void control_expect_all(struct node *n)
{
    struct control *c = &n->own->control;
    net_release(n->net, c->call);
    c->call = NULL;
    memset(c->departed, 0, (size_t)c->watched * sizeof *c->departed);
}

void control_close(struct node *n)
{
    xfree(n->own->control.departed);
}

void node_mark_departed(struct node *n, int rank)
{
    assert(rank < n->own->control.watched);
    n->own->control.departed[rank] = true;
}

/* --- interrupts --- */

void node_set_interrupt(struct node *n, enum node_flow (*interrupt)(void *self), void *self,
                        struct request *const *const *wake, int count)
{
    struct control *c = &n->own->control;
    assert(count <= NODE_WAKES);
    c->interrupt = interrupt;
    c->interrupt_self = self;
    for (int i = 0; i < count; i++)
        c->wake[i] = wake[i];
    c->wakes = count;
}

enum node_flow node_check_interrupt(struct node *n)
{
    const struct control *c = &n->own->control;
    if (c->interrupt && c->interrupt(c->interrupt_self) == NODE_INTERRUPTED)
        return NODE_INTERRUPTED;
    return node_past_deadline(n) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* --- events --- */

enum event {
    EVENT_TIME,       /* the time is up */
    EVENT_REQUEST,    /* a request of the caller is done */
    EVENT_CALL,       /* rank 0 has called to an evaluation; it may be due later on a server */
    EVENT_EVALUATION, /* one is due now */
};

void control_call_evaluation(struct node *n)
{
    assert(!n->own->control.evaluating); /* no evaluation inside an evaluation */
    n->own->control.called = true;
    n->own->control.called_version = n->version;
}

/* Simulated servers that keep in step: has each made the version that is judged? */
static bool peers_have(const struct node *n)
{
    struct node *const *nodes = n->context->nodes;
    for (int s = 1; nodes && !n->races && s < n->context->servers && s < n->net->ranks; s++)
        if (nodes[s]->version < n->own->control.called_version)
            return false;
    return true;
}

/* Workers take part at once. A server first makes the version that is judged. */
static bool evaluation_is_due(struct node *n)
{
    struct control *c = &n->own->control;
    if (c->evaluating)
        return false;
    if (c->call && net_wait(n->net, &c->call, 1, 0) == 0) {
        c->called_version = net_header(c->call)->version;
        header_unpack(net_header(c->call), n->own->evaluator.set);
        c->called = true;
        net_release(n->net, c->call);
        c->call = net_recv(n->net, 0, TAG_PAUSE, NULL, 0);
    }
    if (n->rank == 0 && moment_has_come(n))
        return true;
    return c->called && (n->worker >= 0 || n->version >= c->called_version) && peers_have(n);
}

/* Waits for one event until then. list[0] is the node's; *index is set to the request that is
 * done. */
static enum event next_event(struct node *n, struct request **list, int count, double until_s,
                             int *index)
{
    const struct control *c = &n->own->control;
    *index = -1;
    if (evaluation_is_due(n))
        return EVENT_EVALUATION;
    list[0] = c->evaluating ? NULL : c->call;
    if (n->rank == 0 && !c->evaluating)
        until_s = fmin(until_s, moment_at_s(n));
    *index = net_wait(n->net, list, count, until_s);
    if (n->rank == 0 && !c->evaluating && moment_has_come(n)) {
        *index = -1; /* what has come meanwhile is later */
        return EVENT_EVALUATION;
    }
    return *index < 0 ? EVENT_TIME : *index == 0 ? EVENT_CALL : EVENT_REQUEST;
}

void node_handle_events(struct node *n)
{
    struct control *c = &n->own->control;
    if (!evaluation_is_due(n))
        return;
    bool called = c->called;
    c->called = false;
    c->evaluating = true;
    evaluation_run(n, called);
    c->evaluating = false;
}

/* --- silence --- */

/* Seconds beyond the deadline that a rank has been silent, else 0. All need `peer`, whom they wait
 * for: in an evaluation it may have departed. A worker needs its servers, too, a server everybody
 * who has not departed. */
static double too_silent(const struct node *n, int rank, int peer)
{
    const struct control *c = &n->own->control;
    bool is_needed = rank < c->watched && !c->departed[rank];
    if (rank == n->rank || (!is_needed && rank != peer))
        return 0;
    double silent_s = net_since_heard(n->net, rank);
    double limit_s = n->context->options->deadline + (n->rank == 0 ? 0 : grace_s);
    return silent_s > limit_s ? silent_s : 0;
}

/* Ends the run when a rank is silent. All of them are named: one that dies may take others along,
 * and which of them is met first says nothing. */
static void look_for_silence(struct node *n, const char *what, int peer, double waited_s)
{
    struct results *results = n->context->results;
    char who[1000] = "", kept[160] = "";
    size_t used = 0;
    for (int r = 0; r < n->net->ranks && used < sizeof who; r++) {
        double silent_s = too_silent(n, r, peer);
        char how[64];
        if (silent_s <= 0)
            continue;
        snprintf(how, sizeof how, isinf(silent_s) ? "has died" : "sent no heartbeat for %.0f s",
                 silent_s);
        used += (size_t)snprintf(who + used, sizeof who - used, "%srank %d on %s %s",
                                 used ? ", " : "", r, net_host(n->net, r), how);
        results_event(results, "silent", node_clock(n), JSON_FIELDS(JSON_INT("rank", r)));
    }
    if (!used)
        return;
    if (results) {
        const struct evaluation *e = &n->own->evaluator.last;
        snprintf(kept, sizeof kept,
                 ". Kept: all rows, and the evaluation at %.1f s with top-1 %.2f %%", e->seconds,
                 e->top1);
    }
    die(EXIT_SILENT, "%s; this rank has waited %.0f s for %s%s", who, waited_s, what, kept);
}

/* When a wait must look up, so that a silent rank is noticed. */
static double look_at_s(const struct node *n, double until_s)
{
    return n->net->virtual_time ? until_s : fmin(until_s, net_now(n->net) + look_every_s);
}

/* --- waiting --- */

static int wait_for(struct node *n, struct request **list, int count, double until_s,
                    const char *what, int peer)
{
    double began_s = net_now(n->net);
    int index;
    for (;;)
        switch (next_event(n, list, count, look_at_s(n, until_s), &index)) {
        case EVENT_REQUEST:
            return index;
        case EVENT_EVALUATION:
            node_handle_events(n);
            break;
        case EVENT_CALL:
            break;
        case EVENT_TIME:
            if (net_now(n->net) >= until_s)
                return -1;
            look_for_silence(n, what, peer, net_now(n->net) - began_s);
        }
}

int node_wait(struct node *n, struct request **list, int count, double until_s, const char *what,
              int peer)
{
    struct control *c = &n->own->control;
    enum account before = node_account(n, ACCOUNT_WAIT);
    c->waited_from_s = net_now(n->net);
    int index = wait_for(n, list, count, until_s, what, peer);
    c->waited_to_s = net_now(n->net);
    node_account(n, before);
    if (index > 0) {
        struct net_passage moved = net_passage(n->net, list[index]);
        node_count_moving(n, moved.begun_s, moved.ended_s);
    }
    return index;
}

void node_await(struct node *n, struct request *request, const char *what, int peer)
{
    struct request *list[2] = {NULL, request};
    if (request)
        wait_for(n, list, 2, INFINITY, what, peer);
}

void node_wait_until(struct node *n, bool (*done)(void *self), void *self, const char *what)
{
    enum account before = node_account(n, ACCOUNT_WAIT);
    double began = net_now(n->net), looked = began;
    while (!done(self)) {
        struct request *list[1];
        int index;
        if (next_event(n, list, 1, net_now(n->net) + ask_every_s, &index) == EVENT_EVALUATION)
            node_handle_events(n);
        if (n->net->virtual_time || net_now(n->net) - looked < look_every_s)
            continue;
        looked = net_now(n->net);
        look_for_silence(n, what, NET_ANY, looked - began);
    }
    node_account(n, before);
}

static enum node_flow sleep_for(struct node *n, double seconds)
{
    const struct training_clock *clock = &n->own->clock;
    const struct control *c = &n->own->control;
    double end = net_now(n->net) + seconds, now;
    while ((now = net_now(n->net)) < end) {
        struct request *list[1 + NODE_WAKES] = {NULL};
        for (int i = 0; i < c->wakes; i++)
            list[1 + i] = *c->wake[i];
        double deadline = now + fmax(clock->deadline_s - node_clock(n), 0);
        double stopped_s = clock->stopped_s;
        int index;
        next_event(n, list, 1 + c->wakes, fmin(end, deadline), &index);
        node_handle_events(n);
        end += clock->stopped_s - stopped_s;
        if (node_check_interrupt(n) == NODE_INTERRUPTED)
            return NODE_INTERRUPTED;
    }
    return NODE_CONTINUE;
}

enum node_flow control_sleep(struct node *n, double seconds, enum account account)
{
    enum account before = node_account(n, account);
    enum node_flow flow = sleep_for(n, seconds);
    node_account(n, before);
    return flow;
}

enum node_flow node_sleep(struct node *n, double seconds)
{
    return control_sleep(n, seconds, ACCOUNT_DELAY);
}

void node_stand_still(struct node *n, double seconds)
{
    struct control *c = &n->own->control;
    enum node_flow (*interrupt)(void *self) = c->interrupt;
    double deadline_s = n->own->clock.deadline_s;
    int wakes = c->wakes;
    c->interrupt = NULL;
    c->wakes = 0;
    n->own->clock.deadline_s = INFINITY;
    node_sleep(n, seconds);
    n->own->clock.deadline_s = deadline_s;
    c->wakes = wakes;
    c->interrupt = interrupt;
}
