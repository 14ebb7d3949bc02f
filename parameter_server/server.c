/* A server: accepts pushes, hands out events, replies.
 *
 * One receive is posted for each worker's next push. Pushes are summed in worker order, in whatever
 * order they came, so that a synchronous scheme gives the same bits under any delays. */
#include "parameter_server/server.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

static const double rounding_s = 1e-9; /* of the training clock */

/* --- opening and closing --- */

int ps_rank_of(const struct ps_server *ps, int worker)
{
    return ps->servers + worker;
}

struct range ps_slice(const struct ps_server *ps)
{
    return ps->slice;
}

int64_t ps_slice_count(const struct ps_server *ps)
{
    return ps->slice.to - ps->slice.from;
}

static size_t slice_bytes(const struct ps_server *ps)
{
    return (size_t)ps_slice_count(ps) * sizeof(float);
}

static void expect_push(struct ps_server *ps, int worker)
{
    ps->worker[worker].state = WORKER_COMPUTING;
    ps->worker[worker].push = (struct push){.worker = worker};
    ps->recv[RECV_PUSH + worker] = net_recv(ps->n->net, ps_rank_of(ps, worker), TAG_PUSH, NULL, 0);
}

static void open_coders(struct ps_server *ps)
{
    struct node *n = ps->n;
    const struct codec *codec = codec_find(n->context->options->compress);
    ps->lent.version = -1;
    if (codec->in_place)
        return;
    if (codec->weights) {
        ps->encode = node_coder(n, codec, ps_slice_count(ps), n->rank, false);
        ps->lent.block = net_alloc(n->net, coder_bytes(ps->encode));
    }
    ps->decode = node_coder(n, codec, ps_slice_count(ps), n->rank, true);
    for (int i = 0; i < ps->workers; i++) {
        ps->worker[i].unpacked = net_alloc(n->net, slice_bytes(ps));
        optimizer_register_memory(ps->optimizer, ps->worker[i].unpacked, slice_bytes(ps));
    }
}

static void open_optimizer(struct ps_server *ps, const struct optimizer_options *rule)
{
    struct node *n = ps->n;
    ps->optimizer = node_optimizer_by(n, rule, ps->slice);
    if (ps->servers > 1)
        optimizer_on_norm(ps->optimizer, ps_whole_norm, ps);
    optimizer_offload(ps->optimizer, n->context->device_optimizer, n->w + ps->slice.from,
                      ps->workers + 1, n->net->local_rank);
    optimizer_register_memory(ps->optimizer, n->w, (size_t)n->count * sizeof *n->w);
    node_keep_optimizer(n, ps->optimizer, "server/optimizer");
}

struct ps_server *ps_server_open(struct node *n)
{
    const struct options *o = n->context->options;
    const struct optimizer_options rule = optimizer_options_of(o, o->optimizer);
    return ps_server_open_rule(n, &rule);
}

struct ps_server *ps_server_open_rule(struct node *n, const struct optimizer_options *rule)
{
    struct ps_server *ps = xcalloc(1, sizeof *ps);
    size_t workers = (size_t)n->context->workers;
    ps->n = n;
    ps->servers = n->context->servers;
    ps->workers = ps->present = n->context->workers;
    ps->slice = node_slice(n, n->rank);
    ps->worker = xcalloc(workers, sizeof *ps->worker);
    ps->recv = xcalloc(RECV_PUSH + workers, sizeof *ps->recv);
    ps->list = xcalloc(RECV_PUSH + workers, sizeof *ps->list);
    ps->source = xcalloc(workers + 1, sizeof *ps->source); /* and the weights themselves */
    ps->scale = xcalloc(workers + 1, sizeof *ps->scale);
    ps->taken = xcalloc(workers, sizeof *ps->taken);
    ps->update.worst = NET_ANY;
    node_keep(n, "server/taken", STATE_I64, ps->taken, ps->workers);
    for (int i = 0; i < ps->workers; i++)
        if (node_kept_place(n, "server/taken", i) >= 0)
            ps->taken[i] = node_kept_place(n, "server/taken", i);
    open_optimizer(ps, rule);
    ps->replay = replay_open(n);
    open_coders(ps);
    ps->recv[RECV_DEPART] = net_recv(n->net, NET_ANY, TAG_DEPART, NULL, 0);
    if (n->rank > 0)
        ps->recv[RECV_STOP] = net_recv(n->net, 0, TAG_STOP, NULL, 0);
    replay_expect_note(ps);
    for (int i = 0; i < ps->workers; i++) {
        expect_push(ps, i);
        ps->worker[i].reply_pending = true;
    }
    return ps;
}

void ps_server_close(struct ps_server *ps)
{
    struct net *net = ps->n->net;
    ps->n->stop = true; /* where all have departed before the end, too */
    ps_send_stop(ps);
    replay_notify(ps, false);
    ps_farewell(ps);
    node_on_absence(ps->n, NULL, NULL);
    ps->n->counters.dropped_minibatches += ps->update.minibatches; /* that no step has used */
    ps->n->counters.dropped_samples += ps->update.samples;
    for (int i = 0; i < ps->workers; i++)
        net_release(net, ps->recv[RECV_PUSH + i]);
    net_release(net, ps->recv[RECV_DEPART]);
    net_release(net, ps->recv[RECV_SIGNAL]);
    net_release(net, ps->recv[RECV_ORDER]);
    optimizer_close(ps->optimizer);
    for (int i = 0; i < ps->workers; i++) {
        optimizer_close(ps->worker[i].own);
        net_free(net, ps->worker[i].unpacked);
    }
    coder_close(ps->decode);
    coder_close(ps->encode);
    replay_close(ps->replay);
    for (int i = 0; ps->lent.copies && i <= ps->workers; i++)
        net_free(net, ps->lent.copies[i]);
    if (!ps->lent.copies)
        net_free(net, ps->lent.block);
    void *blocks[] = {ps->lent.copies, ps->worker, ps->recv,  ps->list,
                      ps->source,      ps->scale,  ps->taken, ps};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

/* --- what comes --- */

/* Weights that lie in a device's memory: pushes that are here go there while others are awaited. */
static void send_ahead(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers && optimizer_is_offloaded(ps->optimizer); i++)
        if (ps->worker[i].push.bytes)
            optimizer_prefetch(ps->optimizer, ps_vector(ps, i));
}

/* The block that a push lies in, where it stays: registered once, it is copied faster. */
static void register_block(struct ps_server *ps, const struct request *push)
{
    size_t bytes = 0;
    const void *block = net_block(ps->n->net, push, &bytes);
    if (block)
        optimizer_register_memory(ps->optimizer, block, bytes);
}

/* A push has come from this worker: checked before any byte of it is used. If it is the first one
 * after a checkpoint, this server's state is copied before it is taken. */
static void accept_push(struct ps_server *ps, int worker)
{
    const struct node *n = ps->n;
    struct ps_worker *from = &ps->worker[worker];
    const struct request *push = ps->recv[RECV_PUSH + worker];
    const struct header *m = net_header(push);
    struct push_note note;
    header_unpack(m, note);
    push_note_check(m, &note);
    size_t whole = ps->decode ? coder_bytes(ps->decode) : slice_bytes(ps);
    size_t bytes = note.minibatches && !(m->flags & PUSH_REPORT) ? whole : 0;
    CHECK(m->bytes == bytes, "push of version %lld from rank %d: %zu bytes expected, %llu came",
          (long long)m->version, m->from, bytes, (unsigned long long)m->bytes);
    CHECK(m->version >= 0 && m->version <= n->version,
          "push of version %lld from rank %d: this server is at version %lld",
          (long long)m->version, m->from, (long long)n->version);
    CHECK(from->state == WORKER_COMPUTING, "push of version %lld from rank %d, which has departed",
          (long long)m->version, m->from);
    ps_take_back(ps, worker);
    node_cut(ps->n, m->count);
    from->state = WORKER_PUSHED;
    from->note = note;
    from->push = (struct push){.worker = worker,
                               .asks = !(m->flags & PUSH_NO_REPLY),
                               .minibatches = note.minibatches,
                               .samples = note.minibatches * n->context->minibatch,
                               .version = m->version,
                               .staleness = n->version - m->version + note.staleness,
                               .clock = note.clock,
                               .sent_s = m->sent_s,
                               .bytes = m->bytes ? net_data(push) : NULL};
    from->reply_pending |= from->push.asks;
    if (m->bytes && optimizer_is_offloaded(ps->optimizer))
        register_block(ps, push);
}

void ps_release_push(struct ps_server *ps, int worker)
{
    struct ps_worker *from = &ps->worker[worker];
    if (from->push.bytes)
        optimizer_discard(ps->optimizer, from->unpacked ? from->unpacked : from->push.bytes);
    ps->taken[worker] += from->push.minibatches;
    net_release(ps->n->net, ps->recv[RECV_PUSH + worker]);
    from->is_unpacked = false;
    from->replacement = NULL;
    expect_push(ps, worker);
}

/* Waits for control messages, and for the pushes of `count` workers from `first` on, round. Returns
 * which RECV_* has come; -1: the world's clock shows until_s. */
static int wait_until(struct ps_server *ps, int first, int count, double until_s, const char *what,
                      int peer)
{
    struct request **list = ps->list;
    memcpy(list, ps->recv, RECV_PUSH * sizeof *list);
    for (int k = 0, worker = first; k < count; k++) {
        bool is_here = ps->worker[worker].state == WORKER_PUSHED;
        list[RECV_PUSH + k] = is_here ? NULL : ps->recv[RECV_PUSH + worker];
        worker = worker + 1 == ps->workers ? 0 : worker + 1;
    }
    send_ahead(ps);
    int index = node_wait(ps->n, list, RECV_PUSH + count, until_s, what, peer);
    return index < RECV_PUSH ? index : RECV_PUSH + (first + index - RECV_PUSH) % ps->workers;
}

static int wait_for(struct ps_server *ps, int first, int count, const char *what, int peer)
{
    return wait_until(ps, first, count, INFINITY, what, peer);
}

/* For any push, until the training clock shows clock_s; that stands still in evaluations. */
static int wait_for_any(struct ps_server *ps, double clock_s)
{
    struct node *n = ps->n;
    int index;
    do
        index = wait_until(ps, ps->first, ps->workers,
                           net_now(n->net) + fmax(clock_s - node_clock(n), 0), "a push", NET_ANY);
    while (index == NODE_TIME && node_clock(n) < clock_s - rounding_s);
    return index;
}

struct event ps_next_event(struct ps_server *ps, struct event expected, double clock_s)
{
    const char *what = "a push";
    if (expected.kind == EVENT_EXPIRY)
        return expected;
    int worker = ps_next_departure(ps, expected);
    if (worker >= 0) {
        ps_mark_departed(ps, worker);
        return (struct event){EVENT_DEPARTURE, worker};
    }
    worker = ps_next_absence(ps);
    if (worker >= 0) {
        ps_leave_alone(ps, worker);
        return (struct event){EVENT_ABSENCE, worker};
    }
    int index = expected.kind == EVENT_ANY ? wait_for_any(ps, clock_s)
                : expected.kind == EVENT_END
                    ? wait_for(ps, 0, 0, what, NET_ANY)
                    : wait_for(ps, expected.worker, 1, what, ps_rank_of(ps, expected.worker));
    if (index == NODE_TIME)
        return (struct event){.kind = EVENT_EXPIRY};
    if (index == NODE_ABSENT)
        return (struct event){.kind = EVENT_CONTROL};
    if (index < RECV_PUSH)
        ps_handle_control(ps, index);
    if (index < RECV_PUSH || expected.kind == EVENT_DEPARTURE)
        return (struct event){.kind = EVENT_CONTROL};
    worker = index - RECV_PUSH;
    accept_push(ps, worker);
    ps->first = (worker + 1) % ps->workers;
    return (struct event){EVENT_PUSH, worker};
}

const struct push *ps_next_until(struct ps_server *ps, double clock_s)
{
    static const struct push expired = {.worker = -1, .expired = true};
    while (ps_present(ps) > 0 || ps_await_absent(ps)) {
        struct event e = replay_next_event(ps, ps->n->stop ? INFINITY : clock_s);
        if (e.kind != EVENT_CONTROL && !ps->n->stop)
            return e.kind == EVENT_EXPIRY ? &expired : &ps->worker[e.worker].push;
    }
    return NULL;
}

const struct push *ps_next(struct ps_server *ps)
{
    return ps_next_until(ps, INFINITY);
}

/* Until this worker has pushed, or departed. Where pushes can go ahead to a device, those of later
 * workers are accepted, too. */
static void collect_one(struct ps_server *ps, int worker)
{
    const struct ps_worker *from = &ps->worker[worker];
    int count = optimizer_is_offloaded(ps->optimizer) ? ps->workers - worker : 1;
    while (from->state != WORKER_PUSHED && from->state != WORKER_DEPARTED) {
        int index = wait_for(ps, worker, count, "the push of its version", ps_rank_of(ps, worker));
        if (index >= RECV_PUSH)
            accept_push(ps, index - RECV_PUSH);
        else
            ps_handle_control(ps, index);
        for (int gone; (gone = ps_next_departure(ps, (struct event){EVENT_ANY, 0})) >= 0;)
            ps_mark_departed(ps, gone);
    }
}

bool ps_collect(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++) {
        const struct ps_worker *from = &ps->worker[i];
        collect_one(ps, i);
        CHECK(from->state == WORKER_DEPARTED || from->push.version == ps->n->version,
              "push of version %lld from rank %d, but version %lld is open",
              (long long)from->push.version, ps_rank_of(ps, i), (long long)ps->n->version);
    }
    return ps_present(ps) > 0;
}

const struct push *ps_received(const struct ps_server *ps, int worker)
{
    return &ps->worker[worker].push;
}

/* --- replies --- */

static void await_reply_taken(struct ps_server *ps, int worker)
{
    struct request *list[2] = {NULL, ps->worker[worker].reply};
    int rank = ps_rank_of(ps, worker);
    while (list[1] && !node_is_absent(ps->n, rank) &&
           node_wait(ps->n, list, 2, INFINITY, "a worker to take the weights", rank) < 0)
        ;
    if (!list[1] || (node_is_absent(ps->n, rank) && net_wait(ps->n->net, list + 1, 1, 0) < 0))
        return;
    net_release(ps->n->net, list[1]);
    ps->worker[worker].reply = NULL;
}

void ps_move_weights(struct ps_server *ps)
{
    struct node *n = ps->n;
    size_t bytes = (size_t)n->count * sizeof *n->w;
    float *w = net_alloc(n->net, bytes);
    memcpy(w, n->w, bytes);
    n->w = w;
    ps->lent.version = -1;
    if (ps->encode && !ps->lent.copies)
        ps->lent.block = net_alloc(n->net, coder_bytes(ps->encode));
}

void ps_await_replies_taken(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++)
        await_reply_taken(ps, i);
}

void ps_await_weights_free(struct ps_server *ps)
{
    if (!ps->lent.copies)
        ps_await_replies_taken(ps);
}

void ps_lend_copies(struct ps_server *ps)
{
    ps->lent.copies = xcalloc((size_t)ps->workers + 1, sizeof *ps->lent.copies);
    ps->lent.copies[0] = ps->lent.block;
}

static bool is_read(struct ps_server *ps, const void *block)
{
    for (int i = 0; i < ps->workers; i++) {
        struct ps_worker *to = &ps->worker[i];
        if (to->reply && net_wait(ps->n->net, &to->reply, 1, 0) == 0) {
            net_release(ps->n->net, to->reply);
            to->reply = NULL;
        }
        if (to->reply && to->lent == block)
            return true;
    }
    return false;
}

/* A block of so many bytes that nobody reads. Of one more than there are workers one is free. */
static void *free_block(struct ps_server *ps, size_t bytes)
{
    struct lent *lent = &ps->lent;
    int i = 0;
    if (!lent->copies) {
        ps_await_replies_taken(ps);
        return lent->block;
    }
    while (lent->copies[i] && is_read(ps, lent->copies[i]))
        i++;
    assert(i <= ps->workers);
    if (!lent->copies[i])
        lent->copies[i] = net_alloc(ps->n->net, bytes);
    return lent->copies[i];
}

/* The slice as replies lend it; its bytes. */
static const void *lend(struct ps_server *ps, size_t *bytes)
{
    struct lent *lent = &ps->lent;
    const float *w = ps->n->w + ps->slice.from;
    *bytes = ps->encode ? coder_bytes(ps->encode) : slice_bytes(ps);
    if (!ps->encode && !lent->copies)
        return w;
    if (lent->version == ps->n->version)
        return lent->block;
    lent->version = ps->n->version;
    lent->block = free_block(ps, *bytes);
    if (ps->encode)
        coder_pack(ps->encode, lent->block, w);
    else
        node_copy(ps->n, lent->block, w, ps_slice_count(ps));
    return lent->block;
}

/* About training as it is, or will be, then. */
static void reply(struct ps_server *ps, int worker, int flags, struct training_state at,
                  const void *payload, size_t bytes)
{
    struct node *n = ps->n;
    struct header header = {.tag = TAG_PARAMS,
                            .flags = flags | (n->stop ? REPLY_STOP : 0),
                            .version = at.version,
                            .count = node_cut_number(n)};
    if (ps->worker[worker].dropped) {
        header.flags |= REPLY_DROPPED;
        ps->worker[worker].dropped = false;
    }
    const struct reply_note note = {
        .samples = at.samples, .min_clock = n->clock, .lr = node_lr_at(n, at), .status = n->status};
    header_pack(&header, note);
    await_reply_taken(ps, worker);
    ps->worker[worker].lent = payload;
    ps->worker[worker].reply = net_send(n->net, ps_rank_of(ps, worker), &header, payload, bytes);
}

void ps_reply(struct ps_server *ps, int worker)
{
    size_t bytes;
    const void *payload = lend(ps, &bytes);
    ps->worker[worker].reply_pending = false;
    ps->n->counters.uncompressed_bytes += (int64_t)slice_bytes(ps);
    ps->n->counters.compressed_bytes += (int64_t)bytes;
    reply(ps, worker, 0, node_training_state(ps->n), payload, bytes);
    if (node_is_absent(ps->n, ps_rank_of(ps, worker)) && !ps->lent.copies)
        ps_move_weights(ps); /* no update waits until it has read these */
}

void ps_reply_flags(struct ps_server *ps, int worker, int flags)
{
    reply(ps, worker, flags, node_training_state(ps->n), NULL, 0);
}

void ps_reply_ahead(struct ps_server *ps, int worker, struct training_state expected)
{
    reply(ps, worker, REPLY_UNCHANGED, expected, NULL, 0);
}

void ps_reply_unchanged(struct ps_server *ps, int worker)
{
    ps->worker[worker].reply_pending = false;
    ps_reply_flags(ps, worker, REPLY_UNCHANGED);
}

void ps_reply_all(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++)
        if (ps->worker[i].reply_pending)
            ps_reply(ps, i);
}
