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
    options.allocator = node_allocator(n);
    options.journal = course_journal(n);
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
    vectors_open(n);
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
    confusion_open(n);
    if (n->rank == 0) {
        starvation_open(n);
        worker_losses_open(n);
    }
    control_open(n);
    if (s->nodes)
        s->nodes[n->rank] = n;
    keeping_open(n);
    node_set_deadline(n, INFINITY);
    node_weights_changed(n);
    link_open(n);
    net_act(net, (struct net_activity){.pace = NET_STEPS, .what = "the start of training"});
    trace_open(n);
    net_barrier(net);
    keeping_start_clock(n);
    accounts_open(n);
    node_faults_open(n);
    if (n->rank == 0)
        node_first_evaluation(n);
    return n;
}

void node_count_traffic(struct node *n)
{
    const struct traffic *before = &n->own->keeping.before;
    n->counters.traffic = (struct traffic){
        .sent_bytes = before->sent_bytes + n->net->sent_bytes,
        .received_bytes = before->received_bytes + n->net->received_bytes,
        .sent_messages = before->sent_messages + n->net->sent_messages,
        .received_messages = before->received_messages + n->net->received_messages,
    };
}

static void count_loaders(struct node *n)
{
    const struct problem *p = n->context->problem;
    const struct computing *c = &n->own->computing;
    for (int i = 0; i < c->stream_count; i++)
        n->counters.loader_s += p->kind->stream_wait_s(c->streams[i]);
}

struct counters_note { /* beside the counters */
    int64_t unwritten;
};

struct code_note {
    int64_t code;
};

static void send_counters(struct node *n)
{
    struct counters *mine = net_alloc(n->net, sizeof *mine);
    struct header header = {.tag = TAG_COUNTERS};
    const struct counters_note note = {.unwritten = n->own->unwritten};
    *mine = n->counters;
    header_pack(&header, note);
    struct request *sent = net_send(n->net, 0, &header, mine, sizeof *mine);
    node_await(n, sent, "rank 0 to take its counters", 0);
    net_release(n->net, sent);
    net_free(n->net, mine);
    trace_send(n);
}

void node_unwritten(struct node *n, const char *name)
{
    if (n->context->results)
        results_unwritten(n->context->results, name);
    else
        n->own->unwritten++;
}

static const char *status_text(const struct node *n)
{
    return n->status == EXIT_NAN       ? "nan"
           : n->status == EXIT_STOPPED ? "stopped by a signal"
                                       : "finished";
}

/* counters and host: [ranks]. False: a file could not be written. */
static bool finish_results(struct node *n, const struct counters *counters, const char *const *host)
{
    const struct options *o = n->context->options;
    const struct problem *p = n->context->problem;
    const struct run_summary summary = {
        .scheme = o->scheme,
        .world = o->world,
        .network = o->network,
        .data = p->source,
        .evaluated = o->evaluate,
        .test = n->own->last_images.result,
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
    };
    bool written = results_finish(n->context->results, &summary);
    /* the largest file is the last; who leaves has no time for it */
    if (!n->own->stopping.leaves)
        trace_write(n);
    return written && !results_unwritten_names(n->context->results);
}

bool node_finish_results(struct node *n)
{
    size_t ranks = (size_t)n->net->ranks;
    struct counters *all = xcalloc(ranks, sizeof *all);
    const char **hosts = xcalloc(ranks, sizeof *hosts);
    all[0] = n->counters;
    for (int r = 0; r < n->net->ranks; r++) {
        hosts[r] = net_host(n->net, r);
        if (n->context->nodes)
            all[r] = n->context->nodes[r]->counters;
    }
    saving_end(n);
    bool written = finish_results(n, all, hosts);
    xfree(all);
    xfree(hosts);
    return written;
}

static void take_counters_note(struct node *n, int rank, const struct header *m)
{
    struct counters_note note;
    char name[60];
    header_unpack(m, note);
    snprintf(name, sizeof name, "%lld of rank %d", (long long)note.unwritten, rank);
    if (note.unwritten)
        node_unwritten(n, name);
}

/* Training is over: a rank that is lost now has only its counters left to give. */
static bool gives_no_counters(void *self, int rank)
{
    (void)self, (void)rank;
    return true;
}

/* Those of an absent rank stay zero. */
static void take_counters(struct node *n, int rank, struct counters *to)
{
    if (node_is_absent(n, rank))
        return;
    struct request *come = net_recv(n->net, rank, TAG_COUNTERS, to, sizeof *to);
    if (node_await(n, come, "its counters", rank))
        take_counters_note(n, rank, net_header(come));
    net_release(n->net, come);
}

/* Rank 0 takes the counters of all ranks, in rank order. False: a file could not be written. */
static bool gather_counters(struct node *n)
{
    size_t ranks = (size_t)n->net->ranks;
    struct counters *all = xcalloc(ranks, sizeof *all);
    const char **hosts = xcalloc(ranks, sizeof *hosts);
    all[0] = n->counters;
    hosts[0] = net_host(n->net, 0);
    node_on_absence(n, gives_no_counters, NULL);
    for (int r = 1; r < n->net->ranks; r++) {
        hosts[r] = net_host(n->net, r);
        take_counters(n, r, &all[r]);
        trace_take(n, r);
        node_mark_departed(n, r);
    }
    net_act(n->net, (struct net_activity){.pace = NET_BUSY, .what = "the results"});
    bool written = finish_results(n, all, hosts) && !n->own->unwritten;
    xfree(all);
    xfree(hosts);
    return written;
}

/* Rank 0's code, at all ranks: a launcher that sees one of them end badly ends the rest. */
static int agree_on_code(struct node *n, bool written)
{
    struct header header = {.tag = TAG_CODE};
    bool replaced = n->status == 0 || n->status == EXIT_STOPPED;
    struct code_note note = {.code = written || !replaced ? n->status : EXIT_UNWRITTEN};
    header_pack(&header, note);
    for (int r = 1; r < n->net->ranks && n->rank == 0; r++)
        net_send(n->net, r, &header, NULL, 0);
    if (n->rank > 0) {
        struct request *come = net_recv(n->net, 0, TAG_CODE, NULL, 0);
        node_await(n, come, "the end of its files", 0);
        header_unpack(net_header(come), note);
        net_release(n->net, come);
    }
    return (int)note.code;
}

int node_close(struct node *n)
{
    bool written = true;
    course_close(n);
    node_end_accounts(n, 0);
    keeping_close(n);
    control_expect_all(n);
    node_faults_close(n);
    link_close(n);
    node_count_traffic(n);
    count_loaders(n);
    if (n->rank == 0) {
        saving_end(n);
        last_images_judge(n);
    }
    if (n->rank == 0)
        written = gather_counters(n);
    else
        send_counters(n);
    keeping_tidy(n);
    int code = agree_on_code(n, written);
    computing_close(n);
    confusion_close(n);
    evaluator_close(n);
    starvation_close(n);
    worker_losses_close(n);
    control_close(n);
    trace_close(n);
    net_free(n->net, n->w);
    net_free(n->net, n->sum);
    if (n->context->nodes)
        n->context->nodes[n->rank] = NULL;
    xfree(n->own);
    xfree(n);
    return code;
}
