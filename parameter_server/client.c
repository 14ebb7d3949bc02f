/* A worker's side: what is finished goes out, weights come in.
 *
 * The receives of an answer are posted before the worker waits, so that on one host weights are
 * copied once, from where they lie. */
#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/private.h"

enum { LINE = 64 };

static size_t push_room(const struct ps *ps, int server)
{
    return (coder_bytes(ps->out[server]) + LINE - 1) / LINE * LINE;
}

void ps_open_worker(struct ps *ps)
{
    struct node *n = ps->n;
    const struct options *o = n->context->options;
    size_t room = 0;
    for (int s = 0; s < ps->servers; s++) {
        struct range at = node_slice(n, s);
        struct coder_options options = {.count = at.to - at.from,
                                        .own = codec_own(ps->codec, o),
                                        .seed = (uint64_t)o->seed,
                                        .worker = n->worker,
                                        .stream = s};
        if (!ps->codec->in_place) {
            ps->out[s] = coder_open(ps->codec, &options);
            room += push_room(ps, s);
        }
        options.only_unpacks = true;
        if (!ps->weights_codec->in_place)
            ps->in[s] = coder_open(ps->weights_codec, &options);
    }
    if (room)
        ps->packed = net_alloc(n->net, room);
}

void ps_close_worker(struct ps *ps)
{
    ps_flush(ps);
    if (!ps->gone)
        ps_depart(ps, 0);
    for (int s = 0; s < ps->servers; s++) {
        coder_close(ps->out[s]);
        coder_close(ps->in[s]);
    }
    net_free(ps->n->net, ps->packed);
}

/* Of the vector that will be pushed next, floats from here on are final. */
static void let_leave(void *self, const float *vector, int64_t from)
{
    struct ps *ps = self;
    struct net *net = ps->n->net;
    for (int s = 0; s < ps->servers; s++) {
        struct range at = node_slice(ps->n, s);
        if (from >= at.to)
            continue;
        if (!ps->early[s])
            ps->early[s] = net_send_begin(net, s, TAG_PUSH, vector + at.from,
                                          (size_t)(at.to - at.from) * sizeof *vector);
        net_send_ready(net, ps->early[s],
                       from > at.from ? (size_t)(from - at.from) * sizeof *vector : 0);
    }
    ps->early_vector = vector;
}

void ps_stream_next(struct ps *ps)
{
    if (ps->n->context->options->early_push && ps->codec->in_place)
        node_on_gradient_ready(ps->n, (int64_t)(ps->n->net->piece / sizeof(float)), let_leave, ps);
}

void ps_batch(struct ps *ps)
{
    struct node *n = ps->n;
    node_clear(n);
    while (n->finished < n->context->minibatches) {
        if (n->finished == n->context->minibatches - 1)
            ps_stream_next(ps);
        node_minibatch(n);
    }
}

/* What was begun is a message now; else it is sent whole. */
static struct request *send_push(struct ps *ps, int server, const struct header *head,
                                 const void *from, size_t bytes)
{
    struct request *early = ps->early[server];
    if (!early)
        return net_send(ps->n->net, server, head, from, bytes);
    assert(from == ps->early_vector + node_slice(ps->n, server).from &&
           "another vector is pushed than the one that began to leave");
    ps->early[server] = NULL;
    net_send_commit(ps->n->net, early, head);
    return early;
}

static void push(struct ps *ps, const float *vector, bool finished, int flags)
{
    struct node *n = ps->n;
    struct header head = {.tag = TAG_PUSH, .flags = flags};
    bool payload = finished && n->finished && !(flags & PUSH_TELLS);
    struct push_note note = {.clock = n->clock};
    if (finished) {
        head.count = n->finished;
        note = (struct push_note){.samples = n->finished * n->context->minibatch,
                                  .loss = n->loss,
                                  .aborted = n->aborted,
                                  .aborted_s = n->aborted_s,
                                  .signal_s = n->signal_s,
                                  .staleness = n->staleness,
                                  .waited_s = n->counters.wait_s - ps->waited_s,
                                  .clock = n->clock};
        ps->waited_s = n->counters.wait_s;
    }
    header_pack(&head, note);
    char *packed = ps->packed;
    ps_flush(ps);
    double began = node_clock(n);
    for (int s = 0; s < ps->servers; s++) {
        struct range at = node_slice(n, s);
        const void *from = payload ? (const void *)(vector + at.from) : NULL;
        size_t bytes = payload ? (size_t)(at.to - at.from) * sizeof(float) : 0;
        if (payload && ps->out[s]) {
            coder_pack(ps->out[s], packed, from);
            from = packed;
            bytes = coder_bytes(ps->out[s]);
            packed += push_room(ps, s);
        }
        n->counters.uncompressed_bytes += payload ? (at.to - at.from) * (int64_t)sizeof(float) : 0;
        n->counters.compressed_bytes += (int64_t)bytes;
        head.version = ps->version[s];
        ps->push[s] = send_push(ps, s, &head, from, bytes);
    }
    n->counters.transfer_s += node_clock(n) - began;
}

void ps_work(struct node *n)
{
    struct ps *ps = ps_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        ps_batch(ps);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_close(ps);
}

void ps_push(struct ps *ps, const float *vector)
{
    push(ps, vector, true, 0);
}

void ps_push_async(struct ps *ps, const float *vector)
{
    push(ps, vector, true, PUSH_MUTE);
}

void ps_request(struct ps *ps)
{
    push(ps, NULL, false, 0);
}

void ps_report(struct ps *ps, const float *weights)
{
    ps->shown = weights;
    push(ps, NULL, true, PUSH_TELLS);
}

void ps_pull(struct ps *ps, float *into)
{
    ps->into = into;
    for (int s = 0; s < ps->servers; s++)
        ps->pull[1 + s] = net_recv(ps->n->net, s, TAG_PARAMS, NULL, 0);
    ps->coming = ps->pull[1];
}

bool ps_pull_ready(struct ps *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        ps->coming = ps->pull[1 + s];
        if (net_wait(ps->n->net, &ps->coming, 1, 0) < 0)
            return false;
    }
    return true;
}

struct request *const *ps_pending_pull(const struct ps *ps)
{
    return &ps->coming;
}

/* Server 0 speaks for the run. */
static void take_word(struct ps *ps, const struct header *m)
{
    struct node *n = ps->n;
    struct reply_note note;
    header_unpack(m, note);
    n->version = m->version;
    n->stop = m->flags & ANSWER_STOP;
    n->status = (int)note.status;
    n->samples = note.samples;
    n->lr = note.lr;
    n->min_clock = note.clock;
}

static void take_weights(struct ps *ps, int server, const struct request *come)
{
    struct node *n = ps->n;
    const struct header *m = net_header(come);
    struct range at = node_slice(n, server);
    size_t bytes =
        ps->in[server] ? coder_bytes(ps->in[server]) : (size_t)(at.to - at.from) * sizeof(float);
    CHECK(m->bytes == bytes, "weights of version %lld from rank %d: %zu bytes expected, %llu came",
          (long long)m->version, server, bytes, (unsigned long long)m->bytes);
    double began = node_clock(n);
    const char *wrong = NULL;
    if (ps->in[server])
        wrong = coder_unpack(ps->in[server], ps->into + at.from, net_data(come));
    else
        vector_copy(ps->into + at.from, net_data(come), at.to - at.from, n->context->threads);
    node_advance_copy(n, server, at.to - at.from); /* all that a pull costs within a host: its links
                                                      charge a borrower the latency alone */
    CHECK(!wrong, "weights of version %lld from rank %d: %s", (long long)m->version, server, wrong);
    n->counters.transfer_s += node_clock(n) - began;
    ps->came = true;
}

/* One server's answer; those before the last only ask to show the weights. */
static void take_answer(struct ps *ps, int server)
{
    struct net *net = ps->n->net;
    for (bool asked = true; asked;) {
        struct request *list[2] = {NULL, ps->pull[1 + server]};
        node_wait(ps->n, list, 2, INFINITY, "the next weights", server);
        const struct header *m = net_header(list[1]);
        asked = m->flags & ANSWER_SHOW;
        if (!asked && server == 0)
            take_word(ps, m);
        struct reply_note note;
        header_unpack(m, note);
        if (!asked && note.clock < ps->n->min_clock)
            ps->n->min_clock = note.clock;
        if (!asked && !(m->flags & ANSWER_SAME))
            take_weights(ps, server, list[1]);
        ps->version[server] = m->version;
        net_release(net, list[1]);
        ps->pull[1 + server] = asked ? net_recv(net, server, TAG_PARAMS, NULL, 0) : NULL;
        if (asked)
            ps_show(ps);
    }
}

bool ps_wait(struct ps *ps)
{
    struct node *n = ps->n;
    ps->came = false;
    for (int s = 0; s < ps->servers; s++)
        take_answer(ps, s);
    ps->coming = NULL;
    ps_flush(ps);
    if (ps->came && ps->into == n->w)
        node_weights_changed(n);
    return !n->stop && !node_departs(n);
}

bool ps_flush_or_pull(struct ps *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        struct request *list[] = {NULL, ps->push[s], ps->pull[1 + s]};
        if (ps->push[s] && node_wait(ps->n, list, 3, INFINITY,
                                     "its taking of a push, or the next weights", s) == 2)
            return false;
    }
    return true;
}

void ps_flush(struct ps *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        struct request *list[2] = {NULL, ps->push[s]};
        if (ps->push[s])
            node_wait(ps->n, list, 2, INFINITY, "its taking of a push", s);
        net_release(ps->n->net, ps->push[s]);
        ps->push[s] = NULL;
    }
}

int64_t ps_depart(struct ps *ps, int64_t signals)
{
    struct net *net = ps->n->net;
    ps_flush(ps);
    for (int s = 0; s < ps->servers; s++)
        net_send(net, s, &(struct header){.tag = TAG_DEPART, .count = signals}, NULL, 0);
    struct request *list[2] = {NULL, net_recv(net, 0, TAG_FAREWELL, NULL, 0)};
    double waited_s = ps->n->counters.wait_s;
    node_wait(ps->n, list, 2, INFINITY, "all workers to have left", 0);
    ps->n->counters.wait_s = waited_s; /* for the slowest to end its last batch, or for what others
                                          still train: no waiting in training */
    int64_t sent_to_me = net_header(list[1])->count;
    net_release(net, list[1]);
    ps->gone = true;
    return sent_to_me;
}
