/* The event loop of a rank: how it waits, who is there, and how an evaluation begins.
 *
 * Every wait is made of next_event(). It hands out what has come: a request of the caller, a call
 * to an evaluation, or the end of the time. An evaluation begins in node_handle_events() and
 * nowhere else. That is called by every wait, after every unit of a mini-batch, and on rank 0 right
 * after the update that makes one due. So the deepest nesting is: a gradient, its interrupt, a
 * wait, an evaluation. While a rank evaluates, calls are not looked at.
 *
 * Nothing waits without a deadline: each wait looks for ranks that are lost once a second
 * (node/lost.c). */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

static const double look_every_s = 1.0;
static const double ask_every_s = 50e-6;

void control_open(struct node *n)
{
    struct control *c = &n->own->control;
    c->watched = n->worker < 0 || n->rank == 0 ? n->net->ranks : n->context->servers;
    c->departed = xcalloc((size_t)c->watched, sizeof *c->departed);
    c->absent = xcalloc((size_t)n->net->ranks, sizeof *c->absent);
    if (n->rank > 0 && !n->context->nodes)
        c->call = net_recv(n->net, 0, TAG_PAUSE, NULL, 0);
    stop_open(n);
}

void control_expect_all(struct node *n)
{
    struct control *c = &n->own->control;
    net_release(n->net, c->call);
    c->call = NULL;
    stop_close(n);
    memset(c->departed, 0, (size_t)c->watched * sizeof *c->departed);
}

void control_close(struct node *n)
{
    xfree(n->own->control.departed);
    xfree(n->own->control.absent);
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

bool node_is_ordered(const struct node *n)
{
    const struct options *o = n->context->options;
    return *o->record || *o->replay;
}

void node_hear_end(struct node *n)
{
    if (!node_is_ordered(n))
        n->own->control.end = net_recv(n->net, 0, TAG_STOP, NULL, 0);
}

void node_settle_end(struct node *n)
{
    struct control *c = &n->own->control;
    struct request *list[2] = {NULL, c->end};
    if (c->end)
        node_wait(n, list, 2, INFINITY, "the end", 0);
    net_release(n->net, c->end);
    c->end = NULL;
}

enum node_flow node_check_interrupt(struct node *n)
{
    struct control *c = &n->own->control;
    if (c->interrupt && c->interrupt(c->interrupt_self) == NODE_INTERRUPTED)
        return NODE_INTERRUPTED;
    if (c->end && net_wait(n->net, &c->end, 1, 0) == 0) {
        node_cut(n, net_header(c->end)->count);
        n->stop = true;
        return NODE_INTERRUPTED;
    }
    return node_past_deadline(n) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* --- events --- */

enum event {
    EVENT_TIME,       /* the time is up */
    EVENT_REQUEST,    /* a request of the caller is done */
    EVENT_CALL,       /* rank 0 has called to an evaluation; it may be due later on a server. Or at
                         rank 0: another rank was asked to stop */
    EVENT_EVALUATION, /* one is due now */
};

void control_evaluate(struct node *n)
{
    assert(!n->own->control.evaluating); /* no evaluation inside an evaluation */
    n->own->control.called = true;
    n->own->control.called_version = n->version;
    node_handle_events(n);
}

void control_save(struct node *n)
{
    struct control *c = &n->own->control;
    assert(!c->evaluating);
    c->evaluating = true;
    evaluation_save(n);
    c->evaluating = false;
    n->own->stopping.saved = true;
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
        n->own->participation.number = net_header(c->call)->count;
        weights_set_take(n, net_header(c->call));
        n->own->stopping.only_saves = net_header(c->call)->flags & PAUSE_SAVES;
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
    list[0] = c->evaluating ? NULL : n->rank == 0 ? stop_request(n) : c->call;
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
    stop_attend(n);
    if (!evaluation_is_due(n))
        return;
    bool called = c->called;
    c->called = false;
    c->evaluating = true;
    evaluation_run(n, called);
    c->evaluating = false;
}

/* --- waiting --- */

/* May a rank be lost? In virtual time none is but by --faults. */
static bool may_be_lost(const struct node *n)
{
    return !n->net->virtual_time || isfinite(n->net->deadline_s);
}

/* When a wait must look up, so that a lost rank is noticed. */
static double look_at_s(const struct node *n, double until_s)
{
    return may_be_lost(n) ? fmin(until_s, net_now(n->net) + look_every_s) : until_s;
}

/* Once a second, however often what is waited for comes: who needs a rank that is lost may be kept
 * busy by the others for ever. True: one is absent from now on. */
static bool look(struct node *n, const char *what, int peer, double began_s)
{
    struct control *c = &n->own->control;
    double now_s = net_now(n->net);
    if (!may_be_lost(n) || now_s - c->looked_s < look_every_s)
        return false;
    c->looked_s = now_s;
    return lost_look(n, what, peer, now_s - began_s);
}

static struct net_activity act_waiting(struct node *n, const char *what)
{
    struct net_activity activity = {.pace = NET_WAITS};
    strncpy(activity.what, what, sizeof activity.what - 1);
    return net_act(n->net, activity);
}

static int wait_and_look(struct node *n, struct request **list, int count, double until_s,
                         const char *what, int peer)
{
    double began_s = net_now(n->net);
    int index;
    for (;;)
        switch (next_event(n, list, count, look_at_s(n, until_s), &index)) {
        case EVENT_REQUEST:
            if (n->context->nodes) /* there may be thousands before anybody waits for a time */
                stop_attend(n);
            look(n, what, peer, began_s);
            return index;
        case EVENT_EVALUATION:
            node_handle_events(n);
            break;
        case EVENT_CALL:
            stop_attend(n);
            break;
        case EVENT_TIME:
            stop_attend(n);
            if (net_now(n->net) >= until_s)
                return NODE_TIME;
            if (look(n, what, peer, began_s))
                return NODE_ABSENT;
        }
}

static int wait_for(struct node *n, struct request **list, int count, double until_s,
                    const char *what, int peer)
{
    struct net_activity before = act_waiting(n, what);
    int index = wait_and_look(n, list, count, until_s, what, peer);
    net_act(n->net, before);
    return index;
}

int node_wait(struct node *n, struct request **list, int count, double until_s, const char *what,
              int peer)
{
    struct control *c = &n->own->control;
    enum account before = node_account(n, ACCOUNT_WAIT);
    trace_waits(n, what, peer);
    c->waited_from_s = net_now(n->net);
    int index = wait_for(n, list, count, until_s, what, peer);
    c->waited_to_s = net_now(n->net);
    message_work_waited(n);
    node_account(n, before);
    if (index > 0) {
        struct net_passage moved = net_passage(n->net, list[index]);
        node_count_moving(n, moved.begun_s, moved.ended_s);
    }
    return index;
}

bool node_await(struct node *n, struct request *request, const char *what, int peer)
{
    struct request *list[2] = {NULL, request};
    while (request && !n->own->control.absent[peer])
        if (wait_for(n, list, 2, INFINITY, what, peer) > 0)
            return true;
    return !request || net_wait(n->net, &request, 1, 0) == 0;
}

void node_wait_until(struct node *n, bool (*done)(void *self), void *self, const char *what)
{
    enum account account = node_account(n, ACCOUNT_WAIT);
    trace_waits(n, what, NET_ANY);
    struct net_activity before = act_waiting(n, what);
    double began_s = net_now(n->net);
    while (!done(self)) {
        struct request *list[1];
        int index;
        if (next_event(n, list, 1, net_now(n->net) + ask_every_s, &index) == EVENT_EVALUATION)
            node_handle_events(n);
        stop_attend(n);
        look(n, what, NET_ANY, began_s);
    }
    net_act(n->net, before);
    node_account(n, account);
}

static enum node_flow sleep_for(struct node *n, double seconds)
{
    const struct training_clock *clock = &n->own->clock;
    const struct control *c = &n->own->control;
    double end = net_now(n->net) + seconds, now;
    while ((now = net_now(n->net)) < end) {
        struct request *list[2 + NODE_WAKES] = {NULL};
        for (int i = 0; i < c->wakes; i++)
            list[1 + i] = *c->wake[i];
        list[1 + c->wakes] = c->end;
        double deadline = now + fmax(clock->deadline_s - node_clock(n), 0);
        double stopped_s = clock->stopped_s;
        double until_s = fmin(end, deadline);
        int index;
        next_event(n, list, 2 + c->wakes, n->net->virtual_time ? until_s : look_at_s(n, until_s),
                   &index);
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
    struct net_activity awake =
        net_act(n->net, (struct net_activity){.pace = NET_SLEEPS, .what = "a delay"});
    enum node_flow flow = sleep_for(n, seconds);
    net_act(n->net, awake);
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
    struct request *end = c->end;
    double deadline_s = n->own->clock.deadline_s;
    int wakes = c->wakes;
    c->interrupt = NULL;
    c->end = NULL;
    c->wakes = 0;
    n->own->clock.deadline_s = INFINITY;
    node_sleep(n, seconds);
    n->own->clock.deadline_s = deadline_s;
    c->wakes = wakes;
    c->end = end;
    c->interrupt = interrupt;
}
