/* The simulated world: every rank is a coroutine of one thread, time is a number, and a run is a
 * pure function of its options.
 *
 * Rule: the next event is the one with the least (time, order of scheduling); a rank runs, in no
 * time, until it waits or advances. How long a message is under way: messaging/links.h and
 * sim/links.c. Alone between two hosts it arrives after latency + bytes/bandwidth, all of W at
 * one server after latency + W bytes/bandwidth.
 *
 * What a scheme must not depend on ends the run (EXIT_WORLD), with rank, peer, tag and version: a
 * deadlock, a request open when its rank returns, a message never read, a payload too long, not
 * from net_alloc() or changed before it was read, a look repeated without limit while time does
 * not advance. Memory of net_alloc() that is left at the end is freed.
 *
 * Cost: a message is three events and one or two resumptions, O(log(ranks + messages under way))
 * each. messages.c has the rest. */
#include "messaging/sim/sim.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"

enum { STACK = 256 << 10, PIECE = 1 << 20 };

void sim_pause(struct rank *rank)
{
    coroutine_yield(rank->sim->coroutines);
    rank->looks = 0;
}

/* The lowest request that is done, or -1. */
static int look(const struct rank *rank, struct request *const *list, int count)
{
    for (int i = 0; i < count; i++) {
        if (!list[i])
            continue;
        assert(list[i]->owner == rank);
        if (list[i]->done)
            return i;
    }
    return -1;
}

static void sim_advance(struct net *net, double seconds)
{
    struct rank *rank = net->self;
    if (seconds <= 0)
        return;
    event_queue_put(&rank->sim->events, &rank->event, rank->sim->events.now_s + seconds);
    sim_pause(rank);
}

/* Puts the rank's event down for the end of a part: the first one that is still ahead where the
 * rank has something to hear, else the last one. Ends come in the order in which they would if each
 * part began with an event of its own. False: no time passes. */
static bool put_end(struct sim *sim, struct rank *rank)
{
    struct parts *a = &rank->advance;
    struct event_time end = {a->began_s, a->began_s, a->order};
    bool found = false;
    a->passed = 0;
    for (int i = 0; i < a->parts && !(a->news && found); i++) {
        if (a->part[i] > 0)
            end = (struct event_time){end.when_s + a->part[i], end.when_s, a->order};
        a->passed = i + 1;
        found = a->part[i] > 0 && event_queue_is_ahead(&sim->events, end);
    }
    if (end.when_s > a->began_s)
        event_queue_put_as(&sim->events, &rank->event, end);
    return end.when_s > a->began_s;
}

void sim_hear(struct sim *sim, struct rank *rank)
{
    bool before = rank->advance.news;
    rank->advance.news = true;
    if (rank->advance.parts && !before)
        put_end(sim, rank);
}

void sim_postpone(struct rank *rank, double by_s)
{
    struct sim *sim = rank->sim;
    struct parts *a = &rank->advance;
    double end_s = rank->event.event_time.when_s;
    if (!rank->event.at || rank->wait.listed)
        return;
    if (a->parts) { /* the part under way ends later; then the rank looks up */
        end_s = a->began_s;
        a->passed = 0;
        do
            end_s += a->part[a->passed++];
        while (end_s <= sim->events.now_s && a->passed < a->parts);
        a->parts = 0;
    }
    if (isfinite(by_s))
        event_queue_put(&sim->events, &rank->event, end_s + by_s);
}

static int sim_advance_parts(struct net *net, const double *seconds, int count)
{
    struct rank *rank = net->self;
    struct parts *a = &rank->advance;
    struct event_queue *events = &rank->sim->events;
    *a = (struct parts){seconds,        count, 0, events->now_s, event_queue_order(events),
                        .news = a->news};
    if (a->news && !(*seconds > 0))
        a->passed = 1;
    else if (put_end(rank->sim, rank))
        sim_pause(rank);
    a->parts = 0;
    a->news = false;
    return a->passed;
}

/* A receive's copy takes its owner's time; only then the sender has its payload back. */
static int settle(struct rank *rank, struct request *const *list, int index)
{
    struct request *receive = index >= 0 ? list[index] : NULL;
    if (!receive || receive->owed_s <= 0)
        return index;
    double owed_s = receive->owed_s;
    receive->owed_s = 0;
    sim_advance(&rank->net, owed_s);
    sim_release_payload(rank->sim, receive);
    return index;
}

static int sim_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    int index = look(rank, list, count);
    if (index >= 0)
        return settle(rank, list, index);
    if (until_s <= sim->events.now_s) {
        sim_count_look(rank);
        return -1;
    }
    if (until_s < INFINITY)
        event_queue_put(&sim->events, &rank->event, until_s);
    rank->wait.list = list;
    rank->wait.listed = rank->wait.found = count;
    sim_pause(rank);
    rank->wait.listed = 0;
    if (rank->wait.found < count)
        return settle(rank, list, rank->wait.found);
    sim_count_expired(rank);
    return -1;
}

static double sim_now(struct net *net)
{
    return ((struct rank *)net->self)->sim->events.now_s;
}

static void sim_poll(struct net *net)
{
    sim_count_look(net->self);
}

static const char *sim_host(struct net *net, int rank)
{
    const struct sim *sim = ((struct rank *)net->self)->sim;
    return sim->hosts[sim_host_of(sim, rank)].name;
}

static const struct net_model_calls model_calls = {
    .meet = sim_meet,
    .exchange = sim_model_exchange,
    .shift = sim_model_shift,
    .visit_memory = sim_visit_memory,
    .memory_replaced = sim_memory_replaced,
    .course = sim_course,
};

static const struct net_fault_calls fault_calls = {
    .stop = sim_stop,
    .cut = sim_cut,
};

static const struct net_calls sim_calls = {
    .send = sim_send,
    .send_begin = sim_send_begin,
    .send_ready = sim_send_ready,
    .send_commit = sim_send_commit,
    .recv = sim_recv,
    .wait = sim_wait,
    .header = sim_header,
    .data = sim_data,
    .passage = sim_passage,
    .release = sim_release,
    .now = sim_now,
    .advance = sim_advance,
    .advance_parts = sim_advance_parts,
    .poll = sim_poll,
    .alloc = sim_alloc,
    .free = sim_free,
    .watch = {.since_heard = sim_since_heard, .set_absent = sim_set_absent, .step = sim_step},
    .host = sim_host,
    .window = {.open = sim_window_open,
               .data = sim_window_data,
               .get = sim_window_get,
               .add = sim_window_add,
               .close = sim_window_close},
    .model = &model_calls,
    .faults = &fault_calls,
};

static void rank_body(void *argument, int index)
{
    struct sim *sim = argument;
    struct rank *rank = &sim->ranks[index];
    sim->body(&rank->net, sim->argument);
    sim_check_returned(rank);
    rank->returned = true;
    if (index == 0)
        sim_end_lost(sim);
}

/* A rank that is stopped goes on when that is over. */
static void resume(struct sim *sim, struct rank *rank)
{
    if (!sim_is_stopped(sim, rank))
        coroutine_resume(sim->coroutines, rank->net.rank);
    else if (!sim_is_dead(rank))
        event_queue_put(&sim->events, &rank->event, rank->stopped.until_s);
}

static struct sim *sim_open(const struct world_options *options, void (*body)(struct net *, void *),
                            void *argument)
{
    struct sim *sim = xcalloc(1, sizeof *sim);
    sim->options = *options;
    sim->body = body;
    sim->argument = argument;
    sim->ranks = xcalloc((size_t)options->ranks, sizeof *sim->ranks);
    sim->absent = xcalloc((size_t)options->ranks, sizeof *sim->absent);
    sim->coroutines = coroutines_open(
        options->ranks, options->stack_bytes ? options->stack_bytes : STACK, rank_body, sim);
    sim_links_open(sim);
    sim_lanes_open(sim);
    sim_requests_open(sim);
    const struct net net = {.world = "sim",
                            .calls = &sim_calls,
                            .ranks = options->ranks,
                            .cores = 1,
                            .piece = options->piece ? options->piece : PIECE,
                            .virtual_time = true,
                            .deadline_s = INFINITY,
                            .absent = sim->absent};
    for (int i = 0; i < options->ranks; i++) {
        struct rank *rank = &sim->ranks[i];
        rank->net = net;
        rank->net.rank = i;
        rank->net.self = rank;
        rank->sim = sim;
        list_clear(&rank->open);
        list_clear(&rank->blocks);
        event_queue_put(&sim->events, &rank->event, 0);
    }
    return sim;
}

static void sim_close(struct sim *sim)
{
    for (int i = 0; i < sim->options.ranks; i++)
        for (struct link *block; (block = list_first(&sim->ranks[i].blocks));) {
            list_remove(block);
            xfree(container_of(struct block, link, block));
        }
    sim_meetings_close(sim);
    sim_lanes_close(sim);
    slabs_close(&sim->slabs);
    coroutines_close(sim->coroutines);
    sim_links_close(sim);
    event_queue_close(&sim->events);
    sim_model_close(sim);
    xfree(sim->absent);
    xfree(sim->ranks);
    xfree(sim);
}

void sim_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument)
{
    if (options->ranks < 1)
        fatal("a simulated world of %d ranks: give 1 rank or more", options->ranks);
    struct sim *sim = sim_open(options, body, argument);
    sim_watch_begin(sim);
    for (struct event *event; (event = event_queue_next(&sim->events));) {
        sim_beat(&sim->watch);
        if (event->kind == RESUME)
            resume(sim, container_of(struct rank, event, event));
        else if (event->kind == MET)
            sim_complete(sim, container_of(struct request, event, event));
        else if (event->kind == STOP || event->kind == CUT)
            sim_outage_event(sim, event);
        else
            sim_links_event(sim, event);
    }
    sim_watch_end(sim);
    sim_check_end(sim);
    sim_close(sim);
}
