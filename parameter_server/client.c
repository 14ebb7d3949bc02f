/* A worker: what is finished goes out, weights come in.
 *
 * The receives of a reply are posted before the worker waits, so that on one host weights are
 * copied once, from where they lie. */
#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/messages.h"
#include "parameter_server/parameter_server.h"
#include "serialization/serialization.h"

struct link { /* to one server */
    struct range slice;
    int64_t version;             /* of the slice here: servers that race count for themselves */
    struct request *push, *pull; /* under way */
    struct request *early;       /* the next push, sent while its vector becomes final */
    struct coder *pack, *unpack; /* NULL: floats are sent as they lie */
    char *packed;                /* the push, by the codec */
};

struct ps_client {
    struct node *n;
    int servers;
    struct link *link;            /* [servers] */
    bool streams;                 /* pushes may leave early */
    const float *early_vector;    /* that one */
    struct request *pending_pull; /* what ps_pull_ready() waits for */
    float *into;                  /* where the pull goes */
    double waited_s;              /* in all, until the last push */
    int64_t cut;                  /* number of the newest checkpoint, as server 0 said */
    bool new_weights, dropped, departed;
};

/* --- opening and closing --- */

static void open_link(struct ps_client *ps, int server)
{
    struct node *n = ps->n;
    struct link *link = &ps->link[server];
    const struct options *o = n->context->options;
    const struct codec *codec = codec_find(o->compress);
    link->slice = node_slice(n, server);
    int64_t count = link->slice.to - link->slice.from;
    if (!codec->in_place) {
        link->pack = node_coder(n, codec, count, server, false);
        node_keep_coder(n, link->pack, "worker/coder %d", server);
        link->packed = net_alloc(n->net, coder_bytes(link->pack));
    }
    if (!codec->in_place && codec->weights)
        link->unpack = node_coder(n, codec, count, server, true);
    ps->streams = o->early_push && codec->in_place;
}

struct ps_client *ps_client_open(struct node *n)
{
    struct ps_client *ps = xcalloc(1, sizeof *ps);
    ps->n = n;
    ps->servers = n->context->servers;
    ps->link = xcalloc((size_t)ps->servers, sizeof *ps->link);
    for (int s = 0; s < ps->servers; s++)
        open_link(ps, s);
    node_keep(n, "worker/waited_s", STATE_F64, &ps->waited_s, 1);
    int64_t place = node_kept_place(n, "server/taken", n->worker);
    if (place >= 0)
        node_set_place(n, place);
    return ps;
}

void ps_client_close(struct ps_client *ps)
{
    ps_flush(ps);
    if (!ps->departed)
        ps_depart(ps, 0);
    for (int s = 0; s < ps->servers; s++) {
        coder_close(ps->link[s].pack);
        coder_close(ps->link[s].unpack);
        net_free(ps->n->net, ps->link[s].packed);
    }
    node_show(ps->n, NULL);
    xfree(ps->link);
    xfree(ps);
}

int64_t ps_depart(struct ps_client *ps, int64_t signals)
{
    struct net *net = ps->n->net;
    const struct depart_note sent = {.signals = signals, .cut = node_last_cut(ps->n)};
    struct farewell_note received;
    ps_flush(ps);
    for (int s = 0; s < ps->servers; s++)
        send_note(net, s, TAG_DEPART, sent);
    struct request *list[2] = {NULL, net_recv(net, 0, TAG_FAREWELL, NULL, 0)};
    node_end_accounts(ps->n, 0); /* it waits for others that still train */
    node_wait(ps->n, list, 2, INFINITY, "all workers to depart", 0);
    header_unpack(net_header(list[1]), received);
    farewell_note_check(net_header(list[1]), &received);
    node_end_accounts(ps->n, received.dropped_s);
    net_release(net, list[1]);
    if (received.absent > 0 && received.absent < net->ranks)
        net_set_absent(net, (int)received.absent, true);
    node_settle_end(ps->n);
    ps->departed = true;
    return received.signals;
}

/* --- pushing --- */

/* Floats of the vector that will be pushed next are final from here on. */
static void stream_early(void *self, const float *vector, int64_t from)
{
    struct ps_client *ps = self;
    struct net *net = ps->n->net;
    for (int s = 0; s < ps->servers; s++) {
        struct link *link = &ps->link[s];
        struct range at = link->slice;
        if (from >= at.to)
            continue;
        if (!link->early)
            link->early = net_send_begin(net, s, TAG_PUSH, vector + at.from,
                                         (size_t)(at.to - at.from) * sizeof *vector);
        net_send_ready(net, link->early,
                       from > at.from ? (size_t)(from - at.from) * sizeof *vector : 0);
    }
    ps->early_vector = vector;
}

void ps_stream_next(struct ps_client *ps)
{
    int64_t least = (int64_t)(ps->n->net->piece / sizeof(float));
    if (ps->streams)
        node_on_gradient_ready(ps->n, least, stream_early, ps);
}

void ps_batch(struct ps_client *ps)
{
    struct node *n = ps->n;
    node_clear(n);
    while (n->finished < n->context->minibatches) {
        if (n->finished == n->context->minibatches - 1)
            ps_stream_next(ps);
        node_minibatch(n);
    }
}

static struct push_note describe(struct ps_client *ps)
{
    struct node *n = ps->n;
    struct push_note note = {.minibatches = n->finished,
                             .computed_s = node_hand_over(n, n->finished),
                             .clock = n->clock,
                             .loss = n->loss,
                             .aborted_s = n->aborted_s,
                             .signal_s = n->signal_s,
                             .waited_s = n->counters.wait_s - ps->waited_s,
                             .aborted = (int32_t)n->aborted,
                             .staleness = (int32_t)n->staleness};
    ps->waited_s = n->counters.wait_s;
    return note;
}

/* One slice of the push; `vector` NULL: the header alone. A push that left early is complete with
 * it. */
static void push_slice(struct ps_client *ps, int server, struct header *header, const float *vector)
{
    struct node *n = ps->n;
    struct link *link = &ps->link[server];
    const void *from = vector ? vector + link->slice.from : NULL;
    size_t bytes = vector ? (size_t)(link->slice.to - link->slice.from) * sizeof *vector : 0;
    n->counters.uncompressed_bytes += (int64_t)bytes;
    if (vector && link->pack) {
        coder_pack(link->pack, link->packed, from);
        from = link->packed;
        bytes = coder_bytes(link->pack);
    }
    n->counters.compressed_bytes += (int64_t)bytes;
    header->version = link->version;
    if (!link->early) {
        link->push = net_send(n->net, server, header, from, bytes);
        return;
    }
    assert(vector == ps->early_vector && "another vector is pushed than began to leave");
    net_send_commit(n->net, link->early, header);
    link->push = link->early;
    link->early = NULL;
}

static void push(struct ps_client *ps, const float *vector, const struct push_note *note, int flags)
{
    struct node *n = ps->n;
    struct header header = {.tag = TAG_PUSH, .flags = flags, .count = node_last_cut(n)};
    header_pack(&header, *note);
    ps_flush(ps);
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    for (int s = 0; s < ps->servers; s++)
        push_slice(ps, s, &header, note->minibatches ? vector : NULL);
    node_account(n, before);
}

void ps_push(struct ps_client *ps, const float *vector)
{
    const struct push_note note = describe(ps);
    push(ps, vector, &note, 0);
}

void ps_push_async(struct ps_client *ps, const float *vector)
{
    const struct push_note note = describe(ps);
    push(ps, vector, &note, PUSH_NO_REPLY);
}

void ps_request(struct ps_client *ps)
{
    push(ps, NULL, &(struct push_note){.clock = ps->n->clock}, 0);
}

void ps_report(struct ps_client *ps, const float *weights)
{
    const struct push_note note = describe(ps);
    node_show(ps->n, weights);
    if (weights)
        node_average(ps->n, weights);
    push(ps, NULL, &note, PUSH_REPORT);
}

void ps_flush(struct ps_client *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        struct request *list[2] = {NULL, ps->link[s].push};
        if (list[1])
            node_wait(ps->n, list, 2, INFINITY, "a server to take a push", s);
        net_release(ps->n->net, list[1]);
        ps->link[s].push = NULL;
    }
}

bool ps_flush_or_pull(struct ps_client *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        struct request *list[] = {NULL, ps->link[s].push, ps->link[s].pull};
        if (list[1] &&
            node_wait(ps->n, list, 3, INFINITY, "a server to take a push, or new weights", s) == 2)
            return false;
    }
    return true;
}

/* --- pulling --- */

static void post_pull(struct ps_client *ps, int server)
{
    ps->link[server].pull = net_recv(ps->n->net, server, TAG_PARAMS, NULL, 0);
}

void ps_pull(struct ps_client *ps, float *into)
{
    ps->into = into;
    for (int s = 0; s < ps->servers; s++)
        post_pull(ps, s);
    ps->pending_pull = ps->link[0].pull;
}

bool ps_pull_ready(struct ps_client *ps)
{
    for (int s = 0; s < ps->servers; s++) {
        ps->pending_pull = ps->link[s].pull;
        if (net_wait(ps->n->net, &ps->pending_pull, 1, 0) < 0)
            return false;
    }
    return true;
}

bool ps_dropped(const struct ps_client *ps)
{
    return ps->dropped;
}

struct request *const *ps_pending_pull(const struct ps_client *ps)
{
    return &ps->pending_pull;
}

/* Server 0 speaks for the run. */
static void take_note(struct ps_client *ps, int server, const struct header *m)
{
    struct node *n = ps->n;
    struct reply_note note;
    header_unpack(m, note);
    reply_note_check(m, &note);
    if (server == 0) {
        n->version = m->version;
        n->stop = m->flags & REPLY_STOP;
        n->status = (int)note.status;
        n->samples = note.samples;
        n->lr = note.lr;
        ps->dropped = m->flags & REPLY_DROPPED;
        ps->cut = m->count;
    }
    if (server == 0 || note.min_clock < n->min_clock)
        n->min_clock = note.min_clock;
}

static void take_weights(struct ps_client *ps, int server, const struct request *reply)
{
    struct node *n = ps->n;
    struct link *link = &ps->link[server];
    const struct header *m = net_header(reply);
    int64_t count = link->slice.to - link->slice.from;
    float *into = ps->into + link->slice.from;
    size_t bytes = link->unpack ? coder_bytes(link->unpack) : (size_t)count * sizeof *into;
    CHECK(m->bytes == bytes, "weights of version %lld from rank %d: %zu bytes expected, %llu came",
          (long long)m->version, server, bytes, (unsigned long long)m->bytes);
    const char *wrong = NULL;
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    if (link->unpack)
        wrong = coder_unpack(link->unpack, into, net_data(reply));
    else if (!node_forwards(n))
        vector_copy(into, net_data(reply), count, n->context->threads);
    node_advance_copy(n, server, count); /* within a host all that a pull costs: there a simulated
                                            link charges a borrower its latency alone */
    CHECK(!wrong, "weights of version %lld from rank %d: %s", (long long)m->version, server, wrong);
    node_account(n, before);
    ps->new_weights = true;
}

/* It was blocked: until the last of its pushes was there, one was on its way. */
static void count_pushes(const struct ps_client *ps)
{
    for (int s = 0; s < ps->servers; s++)
        if (ps->link[s].push)
            node_count_moving(ps->n, -INFINITY, net_passage(ps->n->net, ps->link[s].push).ended_s);
}

/* One server's reply. */
static void take_reply(struct ps_client *ps, int server)
{
    struct node *n = ps->n;
    struct link *link = &ps->link[server];
    struct request *list[2] = {NULL, link->pull};
    node_wait(n, list, 2, INFINITY, "the next weights", server);
    count_pushes(ps);
    const struct header *m = net_header(list[1]);
    take_note(ps, server, m);
    if (!(m->flags & REPLY_UNCHANGED))
        take_weights(ps, server, list[1]);
    link->version = m->version;
    net_release(n->net, list[1]);
    link->pull = NULL;
}

bool ps_wait(struct ps_client *ps)
{
    struct node *n = ps->n;
    ps->new_weights = false;
    for (int s = 0; s < ps->servers; s++)
        take_reply(ps, s);
    ps->pending_pull = NULL;
    ps_flush(ps);
    if (ps->new_weights && ps->into == n->w)
        node_weights_changed(n);
    node_cut(n, ps->cut);
    return !n->stop && !node_departs(n);
}
