/* One rank: its clock, its mini-batches, its waiting, and what rank 0 decides after each update.
 *
 * In the real world computing takes the time it takes, and a speed factor f adds f - 1 times that of each unit as sleep. On the
 * virtual clock a mini-batch takes --sim-minibatch seconds times f, unit by unit in proportion to their FLOPs, and the
 * arithmetic itself is done when it ends: an aborted mini-batch costs nothing but virtual time. */
#include "node.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "machine.h"
#include "node/private.h"

static const double shortest_sleep_s = 0.002;

double node_clock(const struct node *n)
{
    return node_clock_at(n, net_now(n->net));
}

struct range node_slice(const struct node *n, int server)
{
    enum { LINE = 16 }; /* floats: slices begin on cache lines */
    int64_t lines = (n->count + LINE - 1) / LINE, servers = n->setting->servers;
    struct range r = {lines * server / servers * LINE, lines * (server + 1) / servers * LINE};
    r.to = r.to < n->count ? r.to : n->count;
    return r;
}

static struct optimizer *open_optimizer(const struct node *n, struct range slice, const char *rule, double momentum)
{
    const struct options *o = n->setting->options;
    const struct problem *p = n->setting->problem;
    return optimizer_open(&(struct optimizer_options){.rule = rule,
                                                      .momentum = momentum,
                                                      .decay = o->decay,
                                                      .beta1 = o->beta1,
                                                      .beta2 = o->beta2,
                                                      .epsilon = o->epsilon,
                                                      .threads = n->setting->threads},
                          slice, p->spared, p->spared_count);
}

struct optimizer *node_optimizer(const struct node *n, struct range slice)
{
    return open_optimizer(n, slice, n->setting->options->optimizer, n->setting->options->momentum);
}

struct optimizer *node_local_optimizer(const struct node *n, const char *rule, double momentum)
{
    return open_optimizer(n, (struct range){0, n->count}, rule, momentum);
}

static void open_streams(struct node *n)
{
    struct node_private *own = n->own;
    bool serial = n->net->ranks == 1;
    own->stream_count = serial ? n->setting->workers : 1;
    own->streams = obtain((size_t)own->stream_count, sizeof *own->streams);
    own->nexts = obtain((size_t)own->stream_count, sizeof *own->nexts);
    for (int i = 0; i < own->stream_count; i++)
        own->streams[i] = n->setting->problem->kind->stream_open(n->setting->problem, serial ? i : n->worker, n->setting->workers);
    n->stream = own->streams[0];
}

static bool reached(const struct node *n)
{
    double target = n->setting->options->target;
    return target > 0 && n->own->score.top1 >= target;
}

struct node *node_open(struct net *net, const struct setting *s)
{
    struct node *n = obtain(1, sizeof *n);
    struct node_private *own = n->own = obtain(1, sizeof *own);
    bool serves = net->rank < s->servers, works = net->ranks == 1 || !serves;
    n->net = net;
    n->setting = s;
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
    own->slow = slowness_of(&s->slowness, n->rank) / (s->machine ? machine_speed(s->machine, n->rank) : 1);
    own->units_s = net->virtual_time ? obtain((size_t)s->problem->steps, sizeof *own->units_s) : NULL;
    own->gone = obtain((size_t)net->ranks, sizeof *own->gone);
    own->sums = net_alloc(net, (size_t)(s->problem->statistics + 1) * sizeof(double));
    own->statistics = net_alloc(net, (size_t)(s->problem->statistics + 1) * sizeof(float));
    own->slices = obtain((size_t)net->ranks, sizeof *own->slices);
    own->copies = obtain((size_t)net->ranks, sizeof *own->copies);
    if (s->servers > 1 && net->ranks > 1)
        own->gathered = obtain((size_t)n->count, sizeof(float));
    if (n->rank > 0)
        own->pause = net_recv(net, 0, TAG_PAUSE, NULL, 0);
    node_changed(n);
    net_barrier(net);
    own->started_s = net_now(net);
    if (n->rank == 0) {
        node_evaluate(n);
        n->stop = reached(n) && !*s->options->replay;
    }
    return n;
}

void node_changed(struct node *n)
{
    n->stamp = problem_stamp(n->setting->problem);
}

void node_clear(struct node *n)
{
    n->finished = n->aborted = n->stale = 0;
    n->loss = n->aborted_s = n->signal_s = 0;
}

void node_discard(struct node *n)
{
    n->account.dropped_minibatches += n->finished;
    n->account.dropped_samples += n->finished * n->setting->minibatch;
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

void node_tell(struct node *n, int64_t least, void (*tell)(void *self, const float *vector, int64_t from), void *self)
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

/* The gradient under way is final from here on. It is summed where it lies: until the mini-batch is done, the sum stays without it. */
static void tell_final(struct node *n, int64_t from)
{
    struct node_private *own = n->own;
    if (!to_be_told(n, from))
        return;
    if (n->finished && !n->net->virtual_time)
        vector_add(own->where + from, n->sum + from, own->final - from, n->setting->threads);
    own->final = from;
    own->tell(own->listener, own->where, from);
}

/* Called after each unit: takes the time, lets messages move, sleeps off slowness, takes part in pauses, listens. */
static bool between_units(void *self, int step, int64_t from)
{
    struct node *n = self;
    struct node_private *own = n->own;
    double spent = node_clock(n) - own->unit_s;
    n->account.compute_s += spent;
    tell_final(n, from);
    net_poll(n->net);
    node_pause_point(n);
    if (node_heard(n))
        return false;
    if (own->slow > 1 && !n->net->virtual_time) {
        own->held_s += (own->slow - 1) * spent;
        const struct problem *p = n->setting->problem;
        bool last = step == p->steps - 1; /* only then, where a device would go on while this rank sleeps */
        if (last || (own->held_s > shortest_sleep_s && !p->apart)) {
            double seconds = own->held_s;
            own->held_s = 0;
            if (!node_hold(n, seconds))
                return false;
        }
    }
    own->unit_s = node_clock(n);
    return true;
}

/* How many units from this step on, at most, until the limit has passed behind one, or somebody is to be told what is final. */
static int units_ahead(const struct node *n, int step)
{
    const struct problem *p = n->setting->problem;
    double now_s = net_now(n->net);
    int begin = step;
    do
        now_s += n->own->units_s[step++];
    while (step < p->steps && !node_limited(n, now_s) && !to_be_told(n, p->kind->final_from(p, step - 1)));
    return step - begin;
}

/* Behind its first unit a rank hears what has come before; from then on it is asked again when something comes. */
static bool pass_virtually(struct node *n)
{
    const struct problem *p = n->setting->problem;
    double scatter = scatter_at(n->setting->scatter, (uint64_t)n->setting->options->seed, n->rank, n->own->attempts);
    double seconds = n->setting->minibatch_s * n->own->slow * scatter, *unit_s = n->own->units_s;
    for (int step = 0; step < p->steps; step++)
        unit_s[step] = seconds * p->kind->step_share(p, step);
    for (int step = 0; step < p->steps;) {
        step += net_spend_parts(n->net, unit_s + step, step ? units_ahead(n, step) : 1);
        if (!between_units(n, step - 1, p->kind->final_from(p, step - 1)))
            return false;
    }
    return true;
}

/* The gradient that is done becomes the sum, with what was in there; nothing, if that was pushed meanwhile. */
static void keep(struct node *n, const struct loss *loss)
{
    float *where = n->own->where;
    if (where != n->sum) {
        if (n->finished)
            vector_add(where, n->sum, n->net->virtual_time ? n->count : n->own->final, n->setting->threads);
        n->g = n->sum;
        n->sum = where;
    }
    n->finished++;
    n->loss += loss->sum;
    n->next++;
    n->account.minibatches++;
    n->account.samples += n->setting->minibatch;
}

bool node_minibatch(struct node *n)
{
    struct problem *p = n->setting->problem;
    struct node_private *own = n->own;
    struct loss loss = {0};
    struct weights w = {n->w, n->stamp};
    float *where = own->where = n->finished ? n->g : n->sum;
    double began = own->unit_s = node_clock(n), computed_s = n->account.compute_s;
    own->final = n->count;
    double delay = delay_at(&n->setting->delay, (uint64_t)n->setting->options->seed, n->rank, own->attempts++);
    bool done = n->net->virtual_time ? pass_virtually(n) : p->kind->gradient(p, n->stream, n->next, w, where, &loss, between_units, n);
    done = done && node_hold(n, delay);
    assert(done || !own->tell);
    own->tell = NULL;
    if (!done) {
        n->aborted++;
        n->aborted_s += node_clock(n) - began;
        n->account.aborted_minibatches++;
        n->account.aborted_samples += n->setting->minibatch;
        n->account.aborted_s += node_clock(n) - began;
        return false;
    }
    if (n->net->virtual_time)
        p->kind->gradient(p, n->stream, n->next, w, where, &loss, NULL, NULL);
    account_time(&n->account, n->account.compute_s - computed_s);
    keep(n, &loss);
    return true;
}

bool node_leaves(const struct node *n)
{
    return (double)n->account.minibatches >= leaving_of(&n->setting->leaving, n->rank);
}

void node_batch(struct node *n)
{
    node_clear(n);
    while (n->finished < n->setting->minibatches)
        node_minibatch(n);
}

bool node_local_step(struct node *n, struct optimizer *o, double rate)
{
    int64_t before = n->finished;
    n->finished = 0; /* sum begins anew */
    bool done = node_minibatch(n);
    n->finished = before + done;
    if (done) {
        optimizer_step(o, n->w, n->sum, rate);
        node_spend_vector(n, n->count, 3);
        node_changed(n);
    }
    return done;
}

void node_spend_copy(struct node *n, int from, int64_t count)
{
    const struct machine *m = n->setting->machine;
    double bandwidth = m ? machine_copy_bandwidth(m, from, n->rank) : 0;
    if (bandwidth > 0)
        net_spend(n->net, (double)count * sizeof(float) / bandwidth);
    else
        node_spend_vector(n, count, 2);
}

void node_spend_together(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->setting->machine;
    double bandwidth = m ? 2 * machine_copy_bandwidth(m, n->rank, n->rank) : 0;
    if (bandwidth > 0)
        net_spend(n->net, (double)count * sizeof(float) * vectors / bandwidth);
    else
        node_spend_vector(n, count, vectors);
}

void node_spend_vector(struct node *n, int64_t count, int vectors)
{
    const struct machine *m = n->setting->machine;
    double bandwidth = m ? machine_vector_bandwidth(m) : 0; /* 0: vector work takes no time */
    if (n->net->virtual_time && bandwidth > 0)
        net_spend(n->net, (double)count * sizeof(float) * vectors / bandwidth);
}

double node_done(const struct node *n)
{
    const struct options *o = n->setting->options;
    double done = (double)n->samples / (double)n->setting->samples_wanted;
    if (o->seconds > 0)
        done = fmax(done, node_clock(n) / o->seconds);
    if (o->updates > 0)
        done = fmax(done, (double)n->version / (double)o->updates);
    return fmin(done, 1);
}

double node_rate(const struct node *n)
{
    return schedule_at(&n->setting->schedule, node_done(n));
}

/* `rate`: the update's own. */
static void report(struct node *n, const struct update *u, double rate)
{
    struct results *r = n->setting->results;
    double mean = u->samples ? u->loss / (double)u->samples : NAN;
    results_event(r, "update", node_clock(n),
                  "\"version\": %lld, \"minibatches\": %lld, \"contributions\": %d, \"aborted\": %lld, \"aborted_s\": %.6f, "
                  "\"signal_s\": %.6f, \"wait_s\": %.6f, \"stale\": %lld, \"rate\": %.6g%s",
                  (long long)n->version, (long long)u->minibatches, u->contributions, (long long)u->aborted, u->aborted_s, u->signal_s,
                  u->wait_s, (long long)u->stale, rate, u->samples ? "" : ", \"empty\": true");
    results_progress(r, &(struct progress){.seconds = node_clock(n),
                                           .version = n->version,
                                           .samples = n->samples,
                                           .samples_wanted = n->setting->samples_wanted,
                                           .done = node_done(n),
                                           .loss = mean,
                                           .stale = histogram_mean(&n->account.stale),
                                           .rate = rate});
}

void node_diverged(struct node *n, int rank)
{
    char whose[40] = "the evaluation's loss";
    if (rank != NET_ANY)
        snprintf(whose, sizeof whose, "the loss of rank %d", rank);
    n->status = EXIT_NAN;
    n->stop = true;
    results_event(n->setting->results, "nan", node_clock(n), "\"rank\": %d, \"version\": %lld", rank, (long long)n->version);
    fprintf(stderr,
            "nbsgd: %s is no longer a number at update %lld (%lld samples); best top-1 so far %.2f %% is kept. "
            "A smaller --rate or a longer --warmup helps\n",
            whose, (long long)n->version, (long long)n->samples, results_best(n->setting->results));
}

/* Servers that race may still take pushes when rank 0's last update is made: the last evaluation then waits for them. */
static bool evaluates_later(const struct node *n)
{
    return n->races && n->setting->servers > 1;
}

static void decide(struct node *n, const struct update *u)
{
    if (!isfinite(u->loss)) {
        node_diverged(n, u->worst);
        return;
    }
    if (*n->setting->asked_to_leave) {
        n->status = EXIT_STOPPED;
        n->stop = true;
        results_event(n->setting->results, "stopped", node_clock(n), "\"by\": \"signal\"");
    }
    n->stop |= n->ending == END_WITH_NEXT || (n->ending == END_BY_LIMITS && node_done(n) >= 1);
    if (n->stop ? !evaluates_later(n) : n->samples >= n->own->next_evaluation)
        node_evaluate(n);
    n->stop |= n->ending == END_BY_LIMITS && reached(n);
}

void node_ended(struct node *n)
{
    if (n->status == EXIT_NAN || (n->own->evaluated && !evaluates_later(n)))
        return;
    n->own->evaluated = false;
    node_evaluate(n);
}

void node_updated(struct node *n, const struct update *u)
{
    double rate = node_rate(n);
    n->version++;
    n->samples += u->samples;
    n->account.updates++;
    n->own->evaluated = false;
    n->own->training_loss += u->loss;
    n->own->training_samples += u->samples;
    histogram_add(&n->account.effective, u->minibatches);
    histogram_add(&n->account.contributions, u->contributions);
    node_changed(n);
    if (n->rank == 0) {
        n->own->trained_s = node_clock(n);
        report(n, u, rate);
        decide(n, u);
    }
    node_pause_point(n);
}

/* Every rank's account and host to rank 0, which writes the closing files. */
static void gather_accounts(struct node *n)
{
    int ranks = n->net->ranks;
    n->account.sent_bytes = n->net->sent_bytes;
    n->account.received_bytes = n->net->received_bytes;
    n->account.sent_messages = n->net->sent_messages;
    n->account.received_messages = n->net->received_messages;
    for (int i = 0; i < n->own->stream_count; i++)
        n->account.loader_s += n->setting->problem->kind->stream_wait_s(n->own->streams[i]);
    if (n->rank > 0) {
        struct account *mine = net_alloc(n->net, sizeof *mine);
        *mine = n->account;
        struct request *sent = net_send(n->net, 0, &(struct mail){.tag = TAG_ACCOUNT}, mine, sizeof *mine);
        node_await(n, sent, "rank 0 to take this rank's account", 0);
        net_drop(n->net, sent);
        net_free(n->net, mine);
        return;
    }
    struct account *all = obtain((size_t)ranks, sizeof *all);
    const char **hosts = obtain((size_t)ranks, sizeof *hosts);
    all[0] = n->account;
    hosts[0] = net_host(n->net, 0);
    for (int r = 1; r < ranks; r++) {
        hosts[r] = net_host(n->net, r);
        struct request *come = net_recv(n->net, r, TAG_ACCOUNT, &all[r], sizeof *all);
        node_await(n, come, "its account", r);
        net_drop(n->net, come);
        node_gone(n, r);
    }
    const struct options *o = n->setting->options;
    const struct problem *p = n->setting->problem;
    const char *status = n->status == EXIT_NAN ? "nan" : n->status == EXIT_STOPPED ? "stopped by a signal" : "finished";
    results_finish(n->setting->results, &(struct run_summary){.scheme = o->scheme,
                                                              .world = o->world,
                                                              .network = o->network,
                                                              .data = p->source,
                                                              .computes = p->computes,
                                                              .status = status,
                                                              .guard = node_guarded(n),
                                                              .workers = n->setting->workers,
                                                              .servers = n->setting->servers,
                                                              .seed = (uint64_t)o->seed,
                                                              .seconds = n->own->trained_s,
                                                              .samples = n->samples,
                                                              .updates = n->version,
                                                              .ranks = ranks,
                                                              .account = all,
                                                              .host = hosts});
    release(all);
    release(hosts);
}

void node_close(struct node *n)
{
    struct node_private *own = n->own;
    struct problem *p = n->setting->problem;
    net_drop(n->net, own->pause);
    memset(own->gone, 0, (size_t)n->net->ranks);
    gather_accounts(n);
    for (int i = 0; i < own->stream_count; i++)
        p->kind->stream_close(p, own->streams[i]);
    void *sent[] = {n->w, n->g, n->sum, own->sums, own->statistics};
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
        net_free(n->net, sent[i]);
    void *blocks[] = {own->streams, own->nexts, own->gone, own->gathered, own->slices, own->copies, own->units_s, own, n};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        release(blocks[i]);
}
