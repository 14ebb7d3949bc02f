/* One rank: its clock, its mini-batches, its waiting, and what rank 0 decides after each update.
 *
 * In the real world computing takes the time it takes, and a speed factor f adds f - 1 times that
 * of each unit as sleep. On the virtual clock a mini-batch takes --sim-minibatch seconds times f,
 * unit by unit in proportion to their FLOPs, and the arithmetic itself is done when it ends: an
 * aborted mini-batch costs nothing but virtual time. */
#include "node/node.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "slowness/slowness.h"
#include "node/private.h"

static const double shortest_sleep_s = 0.002;

double node_clock(const struct node *n)
{
    return node_clock_at(n, net_now(n->net));
}

struct range node_slice(const struct node *n, int server)
{
    return range_split(n->count, server, n->context->servers, CACHE_LINE_FLOATS);
}

static struct optimizer *open_optimizer(const struct node *n, struct range slice, const char *rule,
                                        double momentum)
{
    const struct options *o = n->context->options;
    const struct problem *p = n->context->problem;
    return optimizer_open(&(struct optimizer_options){.rule = rule,
                                                      .momentum = momentum,
                                                      .decay = o->weight_decay,
                                                      .beta1 = o->beta1,
                                                      .beta2 = o->beta2,
                                                      .epsilon = o->epsilon,
                                                      .threads = n->context->threads},
                          slice, p->no_decay, p->no_decay_count);
}

struct optimizer *node_optimizer(const struct node *n, struct range slice)
{
    return open_optimizer(n, slice, n->context->options->optimizer, n->context->options->momentum);
}

struct optimizer *node_local_optimizer(const struct node *n, const char *rule, double momentum)
{
    return open_optimizer(n, (struct range){0, n->count}, rule, momentum);
}

static void open_streams(struct node *n)
{
    struct node_private *own = n->own;
    bool serial = n->net->ranks == 1;
    own->stream_count = serial ? n->context->workers : 1;
    own->streams = xcalloc((size_t)own->stream_count, sizeof *own->streams);
    own->nexts = xcalloc((size_t)own->stream_count, sizeof *own->nexts);
    for (int i = 0; i < own->stream_count; i++)
        own->streams[i] = n->context->problem->kind->stream_open(
            n->context->problem, serial ? i : n->worker, n->context->workers);
    n->stream = own->streams[0];
}

static bool reached(const struct node *n)
{
    double target = n->context->options->target;
    return target > 0 && n->own->evaluation.top1 >= target;
}

struct node *node_open(struct net *net, const struct run_context *s)
{
    struct node *n = xcalloc(1, sizeof *n);
    struct node_private *own = n->own = xcalloc(1, sizeof *own);
    bool serves = net->rank < s->servers, works = net->ranks == 1 || !serves;
    n->net = net;
    n->context = s;
    n->rank = net->rank;
    n->worker = works && net->ranks > 1 ? net->rank - s->servers : works ? 0 : -1;
    n->count = s->problem->count;
    size_t bytes = (size_t)n->count * sizeof(float);
    n->w = net_alloc(net, bytes);
    if (works) {
        n->g = net_alloc(net, bytes);
        n->sum = net_alloc(net, bytes);
        open_streams(n);
    }
    if (serves)
        problem_initialise(s->problem, n->w);
    own->limit_s = INFINITY;
    own->slow =
        slowness_of(&s->slowness, n->rank) / (s->machine ? machine_speed(s->machine, n->rank) : 1);
    own->units_s =
        net->virtual_time ? xcalloc((size_t)s->problem->steps, sizeof *own->units_s) : NULL;
    own->gone = xcalloc((size_t)net->ranks, sizeof *own->gone);
    own->sums = net_alloc(net, (size_t)(s->problem->statistics + 1) * sizeof(double));
    own->statistics = net_alloc(net, (size_t)(s->problem->statistics + 1) * sizeof(float));
    own->slices = xcalloc((size_t)net->ranks, sizeof *own->slices);
    own->copies = xcalloc((size_t)net->ranks, sizeof *own->copies);
    if (s->servers > 1 && net->ranks > 1)
        own->gathered = xcalloc((size_t)n->count, sizeof(float));
    if (n->rank > 0)
        own->pause = net_recv(net, 0, TAG_PAUSE, NULL, 0);
    node_weights_changed(n);
    net_barrier(net);
    own->started_s = net_now(net);
    if (n->rank == 0) {
        node_evaluate(n);
        n->stop = reached(n) && !*s->options->replay;
    }
    return n;
}

void node_weights_changed(struct node *n)
{
    n->weights_version = problem_weights_version(n->context->problem);
}

void node_clear(struct node *n)
{
    n->finished = n->aborted = n->staleness = 0;
    n->loss = n->aborted_s = n->signal_s = 0;
}

void node_discard(struct node *n)
{
    n->counters.dropped_minibatches += n->finished;
    n->counters.dropped_samples += n->finished * n->context->minibatch;
    n->finished = 0;
    n->loss = 0;
}

void node_select(struct node *n, int worker)
{
    n->own->nexts[n->own->selected] = n->next;
    n->own->selected = worker;
    n->stream = n->own->streams[worker];
    n->next = n->own->nexts[worker];
}

void node_on_gradient_ready(struct node *n, int64_t least,
                            void (*tell)(void *self, const float *vector, int64_t from), void *self)
{
    n->own->least = least;
    n->own->tell = tell;
    n->own->listener = self;
}

static bool to_be_told(const struct node *n, int64_t from)
{
    const struct node_private *own = n->own;
    return own->tell && from < own->final && (from == 0 || own->final - from >= own->least);
}

/* The gradient under way is final from here on. It is summed where it lies: until the mini-batch is
 * done, the sum stays without it. */
static void tell_final(struct node *n, int64_t from)
{
    struct node_private *own = n->own;
    if (!to_be_told(n, from))
        return;
    if (n->finished && !n->net->virtual_time)
        vector_add(own->where + from, n->sum + from, own->final - from, n->context->threads);
    own->final = from;
    own->tell(own->listener, own->where, from);
}

/* Called after each unit: takes the time, lets messages move, sleeps off slowness, takes part in
 * pauses, listens. */
static bool between_units(void *self, int step, int64_t from)
{
    struct node *n = self;
    struct node_private *own = n->own;
    double spent = node_clock(n) - own->unit_s;
    n->counters.compute_s += spent;
    tell_final(n, from);
    net_poll(n->net);
    node_pause_point(n);
    if (node_interrupted(n))
        return false;
    if (own->slow > 1 && !n->net->virtual_time) {
        own->held_s += (own->slow - 1) * spent;
        const struct problem *p = n->context->problem;
        /* only then, where a device would go on while this rank sleeps */
        bool last = step == p->steps - 1;
        if (last || (own->held_s > shortest_sleep_s && !p->apart)) {
            double seconds = own->held_s;
            own->held_s = 0;
            if (!node_sleep(n, seconds))
                return false;
        }
    }
    own->unit_s = node_clock(n);
    return true;
}

/* How many units from this step on, at most, until the limit has passed behind one, or somebody is
 * to be told what is final. */
static int units_ahead(const struct node *n, int step)
{
    const struct problem *p = n->context->problem;
    double now_s = net_now(n->net);
    int begin = step;
    do
        now_s += n->own->units_s[step++];
    while (step < p->steps && !node_limited(n, now_s) &&
           !to_be_told(n, p->kind->final_from(p, step - 1)));
    return step - begin;
}

/* Behind its first unit a rank hears what has come before; from then on it is asked again when
 * something comes. */
static bool pass_virtually(struct node *n)
{
    const struct problem *p = n->context->problem;
    double scatter = jitter_at(n->context->scatter, (uint64_t)n->context->options->seed, n->rank,
                               n->own->attempts);
    double seconds = n->context->minibatch_s * n->own->slow * scatter, *unit_s = n->own->units_s;
    for (int step = 0; step < p->steps; step++)
        unit_s[step] = seconds * p->kind->step_share(p, step);
    for (int step = 0; step < p->steps;) {
        step += net_advance_parts(n->net, unit_s + step, step ? units_ahead(n, step) : 1);
        if (!between_units(n, step - 1, p->kind->final_from(p, step - 1)))
            return false;
    }
    return true;
}

/* The gradient that is done becomes the sum, with what was in there; nothing, if that was pushed
 * meanwhile. */
static void keep(struct node *n, const struct loss *loss)
{
    float *where = n->own->where;
    if (where != n->sum) {
        if (n->finished)
            vector_add(where, n->sum, n->net->virtual_time ? n->count : n->own->final,
                       n->context->threads);
        n->g = n->sum;
        n->sum = where;
    }
    n->finished++;
    n->loss += loss->sum;
    n->next++;
    n->counters.minibatches++;
    n->counters.samples += n->context->minibatch;
}

bool node_minibatch(struct node *n)
{
    struct problem *p = n->context->problem;
    struct node_private *own = n->own;
    struct loss loss = {0};
    struct weights w = {n->w, n->weights_version};
    float *where = own->where = n->finished ? n->g : n->sum;
    double began = own->unit_s = node_clock(n), computed_s = n->counters.compute_s;
    own->final = n->count;
    double delay =
        delay_at(&n->context->delay, (uint64_t)n->context->options->seed, n->rank, own->attempts++);
    bool done = n->net->virtual_time
                    ? pass_virtually(n)
                    : p->kind->gradient(p, n->stream, n->next, w, where, &loss, between_units, n);
    done = done && node_sleep(n, delay);
    assert(done || !own->tell);
    own->tell = NULL;
    if (!done) {
        n->aborted++;
        n->aborted_s += node_clock(n) - began;
        n->counters.aborted_minibatches++;
        n->counters.aborted_samples += n->context->minibatch;
        n->counters.aborted_s += node_clock(n) - began;
        return false;
    }
    if (n->net->virtual_time)
        p->kind->gradient(p, n->stream, n->next, w, where, &loss, NULL, NULL);
    counters_time(&n->counters, n->counters.compute_s - computed_s);
    keep(n, &loss);
    return true;
}

bool node_departs(const struct node *n)
{
    return (double)n->counters.minibatches >= departure_of(&n->context->departures, n->rank);
}

void node_batch(struct node *n)
{
    node_clear(n);
    while (n->finished < n->context->minibatches)
        node_minibatch(n);
}

bool node_local_step(struct node *n, struct optimizer *o, double lr)
{
    int64_t before = n->finished;
    n->finished = 0; /* sum begins anew */
    bool done = node_minibatch(n);
    n->finished = before + done;
    if (done) {
        optimizer_step(o, n->w, n->sum, lr);
        node_advance_vector(n, n->count, 3);
        node_weights_changed(n);
    }
    return done;
}

void node_advance_copy(struct node *n, int from, int64_t count)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? machine_copy_bandwidth(m, from, n->rank) : 0;
    if (bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) / bandwidth);
    else
        node_advance_vector(n, count, 2);
}

void node_advance_together(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? 2 * machine_copy_bandwidth(m, n->rank, n->rank) : 0;
    if (bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) * vectors / bandwidth);
    else
        node_advance_vector(n, count, vectors);
}

void node_advance_vector(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->context->machine;
    double bandwidth = m ? machine_vector_bandwidth(m) : 0; /* 0: vector work takes no time */
    if (n->net->virtual_time && bandwidth > 0)
        net_advance(n->net, (double)count * sizeof(float) * vectors / bandwidth);
}

double node_done(const struct node *n)
{
    const struct options *o = n->context->options;
    double done = (double)n->samples / (double)n->context->samples_wanted;
    if (o->seconds > 0)
        done = fmax(done, node_clock(n) / o->seconds);
    if (o->updates > 0)
        done = fmax(done, (double)n->version / (double)o->updates);
    return fmin(done, 1);
}

double node_lr(const struct node *n)
{
    return schedule_at(&n->context->schedule, node_done(n));
}

/* `rate`: the update's own. */
static void report(struct node *n, const struct update *u, double lr)
{
    struct results *r = n->context->results;
    double mean = u->samples ? u->loss / (double)u->samples : NAN;
    results_event(r, "update", node_clock(n),
                  "\"version\": %lld, \"minibatches\": %lld, \"contributions\": %d, \"aborted\": "
                  "%lld, \"aborted_s\": %.6f, "
                  "\"signal_s\": %.6f, \"wait_s\": %.6f, \"stale\": %lld, \"rate\": %.6g%s",
                  (long long)n->version, (long long)u->minibatches, u->contributions,
                  (long long)u->aborted, u->aborted_s, u->signal_s, u->wait_s,
                  (long long)u->staleness, lr, u->samples ? "" : ", \"empty\": true");
    results_progress(r, &(struct progress){.seconds = node_clock(n),
                                           .version = n->version,
                                           .samples = n->samples,
                                           .samples_wanted = n->context->samples_wanted,
                                           .done = node_done(n),
                                           .loss = mean,
                                           .staleness = histogram_mean(&n->counters.staleness),
                                           .lr = lr});
}

void node_diverged(struct node *n, int rank)
{
    char whose[40] = "the evaluation's loss";
    if (rank != NET_ANY)
        snprintf(whose, sizeof whose, "the loss of rank %d", rank);
    n->status = EXIT_NAN;
    n->stop = true;
    results_event(n->context->results, "nan", node_clock(n), "\"rank\": %d, \"version\": %lld",
                  rank, (long long)n->version);
    fprintf(stderr,
            "nbsgd: %s is no longer a number at update %lld (%lld samples); best top-1 so far %.2f "
            "%% is kept. "
            "A smaller --lr or a longer --warmup helps\n",
            whose, (long long)n->version, (long long)n->samples, results_best(n->context->results));
}

/* Servers that race may still take pushes when rank 0's last update is made: the last evaluation
 * then waits for them. */
static bool evaluates_later(const struct node *n)
{
    return n->races && n->context->servers > 1;
}

static void decide(struct node *n, const struct update *u)
{
    if (!isfinite(u->loss)) {
        node_diverged(n, u->worst);
        return;
    }
    if (*n->context->stop_requested) {
        n->status = EXIT_STOPPED;
        n->stop = true;
        results_event(n->context->results, "stopped", node_clock(n), "\"by\": \"signal\"");
    }
    n->stop |= n->ending == END_WITH_NEXT || (n->ending == END_BY_LIMITS && node_done(n) >= 1);
    if (n->stop ? !evaluates_later(n) : n->samples >= n->own->next_evaluation)
        node_evaluate(n);
    n->stop |= n->ending == END_BY_LIMITS && reached(n);
}

void node_final_evaluation(struct node *n)
{
    if (n->status == EXIT_NAN || (n->own->evaluated && !evaluates_later(n)))
        return;
    n->own->evaluated = false;
    node_evaluate(n);
}

void node_updated(struct node *n, const struct update *u)
{
    double lr = node_lr(n);
    n->version++;
    n->samples += u->samples;
    n->counters.updates++;
    n->own->evaluated = false;
    n->own->training_loss += u->loss;
    n->own->training_samples += u->samples;
    histogram_add(&n->counters.effective, u->minibatches);
    histogram_add(&n->counters.contributions, u->contributions);
    node_weights_changed(n);
    if (n->rank == 0) {
        n->own->trained_s = node_clock(n);
        report(n, u, lr);
        decide(n, u);
    }
    node_pause_point(n);
}

/* Every rank's account and host to rank 0, which writes the closing files. */
static void gather_accounts(struct node *n)
{
    int ranks = n->net->ranks;
    n->counters.sent_bytes = n->net->sent_bytes;
    n->counters.received_bytes = n->net->received_bytes;
    n->counters.sent_messages = n->net->sent_messages;
    n->counters.received_messages = n->net->received_messages;
    for (int i = 0; i < n->own->stream_count; i++)
        n->counters.loader_s += n->context->problem->kind->stream_wait_s(n->own->streams[i]);
    if (n->rank > 0) {
        struct counters *mine = net_alloc(n->net, sizeof *mine);
        *mine = n->counters;
        struct request *sent =
            net_send(n->net, 0, &(struct header){.tag = TAG_COUNTERS}, mine, sizeof *mine);
        node_await(n, sent, "rank 0 to take this rank's account", 0);
        net_release(n->net, sent);
        net_free(n->net, mine);
        return;
    }
    struct counters *all = xcalloc((size_t)ranks, sizeof *all);
    const char **hosts = xcalloc((size_t)ranks, sizeof *hosts);
    all[0] = n->counters;
    hosts[0] = net_host(n->net, 0);
    for (int r = 1; r < ranks; r++) {
        hosts[r] = net_host(n->net, r);
        struct request *come = net_recv(n->net, r, TAG_COUNTERS, &all[r], sizeof *all);
        node_await(n, come, "its account", r);
        net_release(n->net, come);
        node_mark_departed(n, r);
    }
    const struct options *o = n->context->options;
    const struct problem *p = n->context->problem;
    const char *status = n->status == EXIT_NAN       ? "nan"
                         : n->status == EXIT_STOPPED ? "stopped by a signal"
                                                     : "finished";
    results_finish(n->context->results, &(struct run_summary){.scheme = o->scheme,
                                                              .world = o->world,
                                                              .network = o->network,
                                                              .data = p->source,
                                                              .computes = p->computes,
                                                              .status = status,
                                                              .guard = node_guarded(n),
                                                              .workers = n->context->workers,
                                                              .servers = n->context->servers,
                                                              .seed = (uint64_t)o->seed,
                                                              .seconds = n->own->trained_s,
                                                              .samples = n->samples,
                                                              .updates = n->version,
                                                              .ranks = ranks,
                                                              .counters = all,
                                                              .host = hosts});
    xfree(all);
    xfree(hosts);
}

void node_close(struct node *n)
{
    struct node_private *own = n->own;
    struct problem *p = n->context->problem;
    net_release(n->net, own->pause);
    memset(own->gone, 0, (size_t)n->net->ranks);
    gather_accounts(n);
    for (int i = 0; i < own->stream_count; i++)
        p->kind->stream_close(p, own->streams[i]);
    void *sent[] = {n->w, n->g, n->sum, own->sums, own->statistics};
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
        net_free(n->net, sent[i]);
    void *blocks[] = {own->streams, own->nexts, own->gone, own->gathered, own->slices, own->copies,
                      own->units_s, own,        n};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}
