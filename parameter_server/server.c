/* A server's side: what comes, what is answered, how it ends; what pushes do to the slice is in
 * update.c.
 *
 * One receive is posted for each worker's next push. Pushes are summed in worker order, whatever
 * the order in which they came, so that a synchronous scheme gives the same bits under any delays.
 * When training is over, whatever still comes is dropped and answered. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/private.h"

int64_t ps_slice_count(const struct ps *ps)
{
    return ps->slice.to - ps->slice.from;
}

static size_t push_bytes(const struct ps *ps)
{
    return ps->decode ? coder_bytes(ps->decode) : (size_t)ps_slice_count(ps) * sizeof(float);
}

void ps_expect_push(struct ps *ps, int worker)
{
    ps->come[AT_PUSH + worker] = ps->awaited[worker] =
        net_recv(ps->n->net, ps_rank_of(ps, worker), TAG_PUSH, NULL, 0);
}

static void open_wires(struct ps *ps)
{
    const struct options *o = ps->n->context->options;
    struct coder_options options = {.count = ps_slice_count(ps),
                                    .own = codec_own(ps->codec, o),
                                    .seed = (uint64_t)o->seed,
                                    .stream = ps->n->rank};
    if (!ps->weights_codec->in_place) {
        ps->encode = coder_open(ps->weights_codec, &options);
        ps->outgoing = net_alloc(ps->n->net, coder_bytes(ps->encode));
    }
    options.only_unpacks = true;
    if (!ps->codec->in_place)
        ps->decode = coder_open(ps->codec, &options);
    for (int i = 0; i < ps->workers && ps->decode; i++) {
        ps->unpacked[i] = net_alloc(ps->n->net, (size_t)ps_slice_count(ps) * sizeof(float));
        optimizer_register_memory(ps->optimizer, ps->unpacked[i],
                                  (size_t)ps_slice_count(ps) * sizeof(float));
    }
    ps->packed_version = -1;
}

void ps_open_server(struct ps *ps)
{
    struct node *n = ps->n;
    size_t workers = (size_t)ps->workers;
    ps->slice = node_slice(n, n->rank);
    ps->optimizer = node_optimizer(n, ps->slice);
    optimizer_offload(ps->optimizer, n->context->device_optimizer, n->w + ps->slice.from,
                      ps->workers + 1, n->net->local_rank);
    optimizer_register_memory(ps->optimizer, n->w, (size_t)n->count * sizeof *n->w);
    ps->come = xcalloc(workers + AT_PUSH, sizeof *ps->come);
    ps->list = xcalloc(workers + AT_PUSH, sizeof *ps->list);
    ps->awaited = xcalloc(workers, sizeof *ps->awaited);
    ps->arrival = xcalloc(workers, sizeof *ps->arrival);
    ps->owed = xcalloc(workers, sizeof *ps->owed);
    ps->leaves = xcalloc(workers, sizeof *ps->leaves);
    ps->has_left = xcalloc(workers, sizeof *ps->has_left);
    ps->answer = xcalloc(workers, sizeof *ps->answer);
    ps->unpacked = xcalloc(workers, sizeof *ps->unpacked);
    ps->is_unpacked = xcalloc(workers, sizeof *ps->is_unpacked);
    ps->instead = xcalloc(workers, sizeof *ps->instead);
    ps->source = xcalloc(workers + 1, sizeof *ps->source); /* and the weights themselves */
    ps->scale = xcalloc(workers + 1, sizeof *ps->scale);
    ps->sent_by = xcalloc(workers, sizeof *ps->sent_by);
    ps->sent_to = xcalloc(workers, sizeof *ps->sent_to);
    ps->update.worst = NET_ANY;
    ps->order = order_open(n);
    open_wires(ps);
    ps->come[AT_LEAVE] = net_recv(n->net, NET_ANY, TAG_DEPART, NULL, 0);
    if (n->rank > 0)
        ps->come[AT_STOP] = net_recv(n->net, 0, TAG_STOP, NULL, 0);
    order_hear(ps);
    for (int i = 0; i < ps->workers; i++) {
        ps_expect_push(ps, i);
        ps->owed[i] = true;
    }
}

static void take_answer_back(struct ps *ps, int worker)
{
    struct request *list[2] = {NULL, ps->answer[worker]};
    if (!list[1])
        return;
    node_wait(ps->n, list, 2, INFINITY, "its taking of the weights", ps_rank_of(ps, worker));
    net_release(ps->n->net, list[1]);
    ps->answer[worker] = NULL;
}

void ps_take_answers_back(struct ps *ps)
{
    for (int i = 0; i < ps->workers; i++)
        take_answer_back(ps, i);
}

/* --- what comes --- */

/* Of many finishers in one round the first is passed on: the others' signals say nothing new. */
static void relay(struct ps *ps)
{
    struct header signal = *net_header(ps->come[AT_SIGNAL]);
    int from = signal.from;
    bool news = signal.version > ps->newest_signal;
    net_release(ps->n->net, ps->come[AT_SIGNAL]);
    ps->come[AT_SIGNAL] = net_recv(ps->n->net, NET_ANY, TAG_SIGNAL, NULL, 0);
    ps->relayed++;
    ps->newest_signal = news ? signal.version : ps->newest_signal;
    for (int i = 0; i < ps->workers && news && !ps->n->stop; i++)
        if (ps_rank_of(ps, i) != from) {
            net_send(ps->n->net, ps_rank_of(ps, i), &signal, NULL, 0);
            ps->sent_to[i]++;
        }
}

/* What is no push: a worker that leaves, a signal to relay, rank 0's word that training is over,
 * another server's on its record. */
static void attend(struct ps *ps, int index)
{
    struct net *net = ps->n->net;
    if (index == AT_SIGNAL) {
        relay(ps);
        return;
    }
    const struct header m = *net_header(ps->come[index]);
    int worker = m.from - ps->servers;
    net_release(net, ps->come[index]);
    ps->come[index] = NULL;
    if ((index == AT_STOP || index == AT_ORDER) && m.flags)
        order_drop(ps->order);
    if (index == AT_STOP) {
        ps->over = true;
        ps->n->stop = !order_goes_on(ps->order);
    } else if (index == AT_ORDER) {
        ps->words++;
        order_hear(ps);
    } else {
        ps->sent_by[worker] = m.count;
        ps->leaves[worker] = true;
        ps->departing++;
        node_mark_departed(ps->n, m.from);
        ps->come[AT_LEAVE] = net_recv(net, NET_ANY, TAG_DEPART, NULL, 0);
    }
}

/* Of those who have said that they leave, the next one that is to be missed: anybody, or
 * allocation_listener the record has. -1: nobody. */
static int leaver(const struct ps *ps, struct due wanted)
{
    bool any = wanted.kind == DUE_ANY;
    for (int i = 0;
         i < ps->workers && ps->left < ps->departing && (any || wanted.kind == DUE_LEAVING); i++)
        if (ps->leaves[i] && !ps->has_left[i] && (any || i == wanted.worker))
            return i;
    return -1;
}

static const struct push *miss(struct ps *ps, int worker)
{
    ps->has_left[worker] = true;
    ps->left++;
    ps->arrival[worker] = (struct push){.worker = worker, .departed = true};
    return &ps->arrival[worker];
}

/* Weights that are held elsewhere (on a GPU): what is here goes there while others are waited
 * for. */
static void send_ahead(struct ps *ps)
{
    for (int i = 0; i < ps->workers && optimizer_is_offloaded(ps->optimizer); i++)
        if (ps->arrival[i].bytes)
            optimizer_prefetch(ps->optimizer, ps_vector(ps, i));
}

/* A push has come from this worker: checked before any byte of it is used. */
static const struct push *admit(struct ps *ps, int worker)
{
    const struct node *n = ps->n;
    const struct request *come = ps->come[AT_PUSH + worker];
    const struct header *m = net_header(come);
    size_t bytes = m->count && !(m->flags & PUSH_TELLS) ? push_bytes(ps) : 0;
    CHECK(m->bytes == bytes, "push of version %lld from rank %d: %zu bytes expected, %llu came",
          (long long)m->version, m->from, bytes, (unsigned long long)m->bytes);
    CHECK(m->version >= 0 && m->version <= n->version && m->count >= 0,
          "push of version %lld from rank %d: this server is at version %lld",
          (long long)m->version, m->from, (long long)n->version);
    struct push_note note;
    header_unpack(m, note);
    ps->arrival[worker] = (struct push){.worker = worker,
                                        .asks = !(m->flags & PUSH_MUTE),
                                        .header = m,
                                        .bytes = m->bytes ? net_data(come) : NULL,
                                        .minibatches = m->count,
                                        .clock = note.clock,
                                        .staleness = n->version - m->version + note.staleness};
    ps->awaited[worker] = NULL;
    ps->owed[worker] |= ps->arrival[worker].asks;
    size_t whole = 0;
    const void *block =
        optimizer_is_offloaded(ps->optimizer) && m->bytes ? net_block(n->net, come, &whole) : NULL;
    if (block)
        optimizer_register_memory(ps->optimizer, block, whole);
    return &ps->arrival[worker];
}

bool ps_collect(struct ps *ps)
{
    for (int i = 0; i < ps->workers; i++) {
        while (!ps->arrival[i].header && !ps->has_left[i]) {
            struct request **list = ps->list;
            int count = optimizer_is_offloaded(ps->optimizer)
                            ? ps->workers - i
                            : 1; /* others that come meanwhile can be sent ahead */
            memcpy(list, ps->come, AT_PUSH * sizeof *list);
            for (int k = 0; k < count; k++)
                list[AT_PUSH + k] = ps->arrival[i + k].header ? NULL : ps->come[AT_PUSH + i + k];
            send_ahead(ps);
            int index = node_wait(ps->n, list, AT_PUSH + count, INFINITY, "the push of its version",
                                  ps_rank_of(ps, i));
            if (index >= AT_PUSH)
                admit(ps, i + index - AT_PUSH);
            else
                attend(ps, index);
            for (int gone; (gone = leaver(ps, (struct due){DUE_ANY, 0})) >= 0;)
                miss(ps, gone);
        }
        CHECK(ps->has_left[i] || ps->arrival[i].header->version == ps->n->version,
              "push of version %lld from rank %d, but version %lld is open",
              (long long)ps->arrival[i].header->version, ps_rank_of(ps, i),
              (long long)ps->n->version);
    }
    return ps->left < ps->workers;
}

int ps_present(const struct ps *ps)
{
    return ps->workers - ps->left;
}

bool ps_has_departed(const struct ps *ps, int worker)
{
    return ps->has_left[worker];
}

/* Rank 0 decides; the other servers are told once: whether at once, or where their records end as
 * rank 0's does. */
void ps_tell_end(struct ps *ps)
{
    bool at_once = order_next(ps->order).kind != DUE_END;
    for (int s = 1; s < ps->servers && ps->n->rank == 0 && !ps->ended; s++)
        net_send(ps->n->net, s, &(struct header){.tag = TAG_STOP, .flags = at_once}, NULL, 0);
    ps->ended = true;
}

/* Training is over: nobody may wait for an answer any more. */
static void dismiss(struct ps *ps)
{
    for (int i = 0; i < ps->workers; i++) {
        ps_discard(ps, i);
        if (ps->owed[i])
            ps_reply(ps, i);
    }
}

/* What is to come next. A server whose record has run out tells the others: what it takes from now
 * on may not be what theirs lean on. */
static struct due wanted(struct ps *ps)
{
    struct due e = order_next(ps->order);
    if (e.kind == DUE_ANY)
        order_tell(ps, true);
    ps->n->stop |=
        (ps->over || (ps->n->rank == 0 && e.kind == DUE_END)) && !order_goes_on(ps->order);
    if (!ps->n->stop)
        return e;
    ps_tell_end(ps);
    dismiss(ps);
    return (struct due){DUE_ANY, 0};
}

/* Waits for a push that is wanted, or for what is no push; returns which of `come` it is. */
static int await(struct ps *ps, struct due e)
{
    struct request **list = ps->list;
    int first = e.kind == DUE_ANY ? ps->next : e.worker,
        count = e.kind == DUE_ANY ? ps->workers : e.kind != DUE_END;
    int behind = count < ps->workers - first
                     ? count
                     : ps->workers - first; /* from the first on; then those before it */
    order_check(ps);
    memcpy(list, ps->come, AT_PUSH * sizeof *list);
    memcpy(list + AT_PUSH, ps->awaited + first, (size_t)behind * sizeof *list);
    memcpy(list + AT_PUSH + behind, ps->awaited, (size_t)(count - behind) * sizeof *list);
    send_ahead(ps);
    int index = node_wait(ps->n, list, AT_PUSH + count, INFINITY, "a push",
                          count == 1 ? ps_rank_of(ps, first) : NET_ANY);
    if (e.kind == DUE_LEAVING)
        order_check(ps); /* a push has come instead */
    return index < AT_PUSH ? index : AT_PUSH + (first + index - AT_PUSH) % ps->workers;
}

const struct push *ps_next(struct ps *ps)
{
    while (ps->left < ps->workers) {
        struct due e = wanted(ps);
        const struct push *a;
        int gone = leaver(ps, e), index = gone < 0 ? await(ps, e) : AT_LEAVE;
        if (gone < 0 && index < AT_PUSH) {
            attend(ps, index);
            continue;
        }
        if (gone < 0) {
            a = admit(ps, index - AT_PUSH);
            ps->next = (a->worker + 1) % ps->workers;
        } else {
            a = miss(ps, gone);
        }
        if (ps->n->stop)
            continue;
        order_note(ps->order, gone < 0 ? DUE_PUSH : DUE_LEAVING, a->worker);
        return a;
    }
    return NULL;
}

const struct push *ps_received(const struct ps *ps, int worker)
{
    return &ps->arrival[worker];
}

/* --- answers --- */

static void answer(struct ps *ps, int worker, int flags, const void *payload, size_t bytes)
{
    struct node *n = ps->n;
    struct header head = {
        .tag = TAG_PARAMS, .flags = flags | (n->stop ? ANSWER_STOP : 0), .version = n->version};
    const struct reply_note note = {
        .samples = n->samples, .clock = n->clock, .lr = node_lr(n), .status = n->status};
    header_pack(&head, note);
    take_answer_back(ps, worker);
    ps->answer[worker] = net_send(n->net, ps_rank_of(ps, worker), &head, payload, bytes);
}

void ps_reply(struct ps *ps, int worker)
{
    const void *payload = ps->n->w + ps->slice.from;
    size_t bytes = (size_t)ps_slice_count(ps) * sizeof(float);
    if (ps->encode) {
        if (ps->packed_version != ps->n->version) {
            ps_take_answers_back(ps);
            coder_pack(ps->encode, ps->outgoing, payload);
        }
        ps->packed_version = ps->n->version;
        payload = ps->outgoing;
        bytes = coder_bytes(ps->encode);
    }
    ps->owed[worker] = false;
    ps->n->counters.uncompressed_bytes += ps_slice_count(ps) * (int64_t)sizeof(float);
    ps->n->counters.compressed_bytes += (int64_t)bytes;
    answer(ps, worker, 0, payload, bytes);
}

void ps_send_word(struct ps *ps, int worker, int flags)
{
    answer(ps, worker, flags, NULL, 0);
}

void ps_reply_unchanged(struct ps *ps, int worker)
{
    ps->owed[worker] = false;
    ps_send_word(ps, worker, ANSWER_SAME);
}

void ps_reply_all(struct ps *ps)
{
    for (int i = 0; i < ps->workers; i++)
        if (ps->owed[i])
            ps_reply(ps, i);
}

void ps_relay_signals(struct ps *ps)
{
    ps->relays = true;
    ps->newest_signal = -1;
    if (ps->n->rank == 0)
        ps->come[AT_SIGNAL] = net_recv(ps->n->net, NET_ANY, TAG_SIGNAL, NULL, 0);
}

/* --- the end --- */

/* By all workers that have left. */
static int64_t signals_sent(const struct ps *ps)
{
    int64_t sum = 0;
    for (int i = 0; i < ps->workers; i++)
        sum += ps->sent_by[i];
    return sum;
}

/* Waits until all workers have left; tells each how many signals were sent to it. */
static void see_off(struct ps *ps)
{
    ps_take_answers_back(ps);
    while (ps->departing < ps->workers || ps->come[AT_STOP] || ps->come[AT_ORDER] ||
           (ps->come[AT_SIGNAL] && ps->relayed < signals_sent(ps))) {
        struct request *list[AT_PUSH];
        memcpy(list, ps->come, sizeof list);
        attend(ps, node_wait(ps->n, list, AT_PUSH, INFINITY, "its leaving", NET_ANY));
    }
    if (ps->n->rank > 0) {
        struct request *list[2] = {NULL, net_recv(ps->n->net, 0, TAG_FAREWELL, NULL, 0)};
        node_wait(ps->n, list, 2, INFINITY, "the last evaluation", 0);
        net_release(ps->n->net, list[1]);
        return;
    }
    node_final_evaluation(ps->n);
    for (int s = 1; s < ps->servers; s++)
        net_send(ps->n->net, s, &(struct header){.tag = TAG_FAREWELL}, NULL, 0);
    for (int i = 0; i < ps->workers; i++) {
        int64_t count = ps->relays ? ps->sent_to[i] : signals_sent(ps) - ps->sent_by[i];
        net_send(ps->n->net, ps_rank_of(ps, i),
                 &(struct header){.tag = TAG_FAREWELL, .count = count}, NULL, 0);
    }
}

void ps_close_server(struct ps *ps)
{
    struct net *net = ps->n->net;
    ps_tell_end(ps);
    order_tell(ps, false);
    see_off(ps);
    for (int i = 0; i < ps->workers; i++)
        net_release(net, ps->come[AT_PUSH + i]);
    net_release(net, ps->come[AT_LEAVE]);
    net_release(net, ps->come[AT_SIGNAL]);
    optimizer_close(ps->optimizer);
    for (int i = 0; i < ps->workers; i++)
        net_free(net, ps->unpacked[i]);
    coder_close(ps->decode);
    coder_close(ps->encode);
    order_close(ps->order);
    net_free(net, ps->outgoing);
    void *blocks[] = {ps->come,    ps->list,     ps->awaited, ps->arrival,  ps->owed,
                      ps->leaves,  ps->has_left, ps->answer,  ps->unpacked, ps->is_unpacked,
                      ps->instead, ps->source,   ps->scale,   ps->sent_by,  ps->sent_to};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}
