/* One rank: opened with what its context says, closed with the counters of all ranks at rank 0. */
#include "node/node.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

struct range node_slice(const struct node *n, int server)
{
    return range_split(n->count, server, n->context->servers, CACHE_LINE_FLOATS);
}

struct optimizer *node_optimizer_by(const struct node *n, const struct optimizer_options *rule,
                                    struct range slice)
{
    const struct problem *p = n->context->problem;
    struct optimizer_options options = *rule;
    options.threads = n->context->threads;
    options.layers = p->layers;
    options.layer_count = p->layer_count;
    return optimizer_open(&options, slice, p->no_decay, p->no_decay_count);
}

struct optimizer *node_optimizer(const struct node *n, struct range slice)
{
    const struct options *o = n->context->options;
    const struct optimizer_options rule = optimizer_options_of(o, o->optimizer);
    return node_optimizer_by(n, &rule, slice);
}

struct optimizer *node_local_optimizer(const struct node *n, const char *rule, bool momentum)
{
    struct optimizer_options options = optimizer_options_of(n->context->options, rule);
    if (!momentum)
        options.momentum = 0;
    return node_optimizer_by(n, &options, (struct range){0, n->count});
}

void node_weights_changed(struct node *n)
{
    n->weights_version = problem_weights_version(n->context->problem);
}

struct node *node_open(struct net *net, const struct run_context *s)
{
    struct node *n = xcalloc(1, sizeof *n);
    bool alone = net->ranks == 1, serves = net->rank < s->servers, works = alone || !serves;
    n->own = xcalloc(1, sizeof *n->own);
    n->net = net;
    n->context = s;
    n->rank = net->rank;
    n->worker = alone ? 0 : works ? net->rank - s->servers : -1;
    n->count = s->problem->count;
    n->w = net_alloc(net, (size_t)n->count * sizeof *n->w);
    if (works) {
        n->sum = net_alloc(net, (size_t)n->count * sizeof *n->sum);
        computing_open(n);
    }
    if (serves)
        problem_initialise(s->problem, n->w);
    evaluator_open(n);
    if (n->rank == 0)
        starvation_open(n);
    control_open(n);
    if (s->nodes)
        s->nodes[n->rank] = n;
    node_set_deadline(n, INFINITY);
    node_weights_changed(n);
    link_open(n);
    net_barrier(net);
    n->own->clock.started_s = net_now(net);
    accounts_open(n);
    if (n->rank == 0)
        node_first_evaluation(n);
    return n;
}

static void count_traffic(struct node *n)
{
    const struct problem *p = n->context->problem;
    const struct computing *c = &n->own->computing;
    n->counters.traffic = (struct traffic){
        .sent_bytes = n->net->sent_bytes,
        .received_bytes = n->net->received_bytes,
        .sent_messages = n->net->sent_messages,
        .received_messages = n->net->received_messages,
    };
    for (int i = 0; i < c->stream_count; i++)
        n->counters.loader_s += p->kind->stream_wait_s(c->streams[i]);
}

static void send_counters(struct node *n)
{
    struct counters *mine = net_alloc(n->net, sizeof *mine);
    *mine = n->counters;
    struct request *sent =
        net_send(n->net, 0, &(struct header){.tag = TAG_COUNTERS}, mine, sizeof *mine);
    node_await(n, sent, "rank 0 to take its counters", 0);
    net_release(n->net, sent);
    net_free(n->net, mine);
}

static const char *status_text(const struct node *n)
{
    return n->status == EXIT_NAN       ? "nan"
           : n->status == EXIT_STOPPED ? "stopped by a signal"
                                       : "finished";
}

/* counters and host: [ranks] */
static void finish_results(struct node *n, const struct counters *counters, const char *const *host)
{
    const struct options *o = n->context->options;
    const struct problem *p = n->context->problem;
    results_finish(n->context->results, &(struct run_summary){
                                            .scheme = o->scheme,
                                            .world = o->world,
                                            .network = o->network,
                                            .data = p->source,
                                            .evaluated = o->evaluate,
                                            .computes = p->computes,
                                            .status = status_text(n),
                                            .divergence = divergence_found(n),
                                            .least_use = starvation_least_use(n),
                                            .starved = starvation_said(n),
                                            .workers = n->context->workers,
                                            .servers = n->context->servers,
                                            .seed = (uint64_t)o->seed,
                                            .seconds = n->own->clock.trained_s,
                                            .samples = n->samples,
                                            .updates = n->version,
                                            .ranks = n->net->ranks,
                                            .slowness = &n->context->slowness,
                                            .counters = counters,
                                            .host = host,
                                        });
}

/* Rank 0 takes the counters of all ranks, in rank order. */
static void gather_counters(struct node *n)
{
    size_t ranks = (size_t)n->net->ranks;
    struct counters *all = xcalloc(ranks, sizeof *all);
    const char **hosts = xcalloc(ranks, sizeof *hosts);
    all[0] = n->counters;
    hosts[0] = net_host(n->net, 0);
    for (int r = 1; r < n->net->ranks; r++) {
        hosts[r] = net_host(n->net, r);
        struct request *come = net_recv(n->net, r, TAG_COUNTERS, &all[r], sizeof *all);
        node_await(n, come, "its counters", r);
        net_release(n->net, come);
        node_mark_departed(n, r);
    }
    finish_results(n, all, hosts);
    xfree(all);
    xfree(hosts);
}

void node_close(struct node *n)
{
    node_end_accounts(n, 0);
    control_expect_all(n);
    link_close(n);
    count_traffic(n);
    if (n->rank == 0)
        gather_counters(n);
    else
        send_counters(n);
    computing_close(n);
    evaluator_close(n);
    starvation_close(n);
    control_close(n);
    net_free(n->net, n->w);
    net_free(n->net, n->sum);
    xfree(n->own);
    xfree(n);
}
