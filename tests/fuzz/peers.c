#include "tests/fuzz/peers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "messaging/calls.h"
#include "messaging/messaging.h"
#include "node/node.h"
#include "parameter_server/messages.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"

enum { WORKERS = 3, MOST_SERVERS = 2, MOST_SCHEMES = 64, MOST_CODECS = 16, MOST_WAITS = 20000 };

struct peers {
    struct net net;
    struct fuzz_input in;
    const struct run_context *context;
    const struct scheme *scheme;
    double now_s;
    int waits, anonymous; /* messages of nobody in particular */
    bool over;            /* the server has said so */
    int64_t evaluation;   /* the number of the one that was called */
};

struct request {
    const struct net_calls *calls;
    int from, tag;
    bool done;
    void *into;
    size_t capacity;
    struct header header;
    uint8_t *data;
};

static struct peers *peers_of(struct net *net)
{
    return net->self;
}

/* The sanitizer looks at each byte. */
static void touch(const void *bytes, size_t count)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
}

static struct request *new_request(struct net *net, int from, int tag)
{
    struct request *r = xcalloc(1, sizeof *r);
    *r = (struct request){.calls = net->calls, .from = from, .tag = tag};
    return r;
}

static struct request *send(struct net *net, int to, const struct header *header,
                            const void *payload, size_t bytes)
{
    touch(header, sizeof *header);
    touch(payload, bytes);
    if (header->tag == TAG_PAUSE)
        peers_of(net)->evaluation = header->count;
    peers_of(net)->over |= header->tag == TAG_PARAMS && header->flags & REPLY_STOP;
    if (!bytes)
        return NULL;
    struct request *r = new_request(net, to, header->tag);
    r->done = true;
    return r;
}

static struct request *send_begin(struct net *net, int to, int tag, const void *payload,
                                  size_t bytes)
{
    (void)payload, (void)bytes;
    return new_request(net, to, tag);
}

static void send_ready(struct net *net, struct request *r, size_t from)
{
    (void)net, (void)r, (void)from;
}

static void send_commit(struct net *net, struct request *r, const struct header *header)
{
    (void)net, (void)header;
    r->done = true;
}

static struct request *recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    struct request *r = new_request(net, from, tag);
    r->into = into;
    r->capacity = capacity;
    r->done = tag == TAG_WORLD; /* all others are at the barrier */
    return r;
}

/* --- what comes */

/* As a peer that works would fill the body. */
static void fill_body(struct header *h)
{
    const struct push_note push = {.minibatches = 1, .computed_s = 0.1, .loss = 1};
    const struct reply_note reply = {.samples = 8, .lr = 0.1};
    const struct weights_set set = {.server = true};
    if (h->tag == TAG_PUSH)
        header_pack(h, push);
    else if (h->tag == TAG_PARAMS)
        header_pack(h, reply);
    else if (h->tag == TAG_PAUSE)
        header_pack(h, set);
}

/* As many bytes as a peer that works would send; codecs are of one slice. */
static size_t usual_bytes(const struct peers *p, const struct request *r)
{
    const struct run_context *c = p->context;
    const struct options *o = c->options;
    const struct codec *codec = codec_find(o->compress);
    struct range slice = range_split(c->problem->count, p->net.rank < c->servers ? p->net.rank : 0,
                                     c->servers, CACHE_LINE_FLOATS);
    size_t floats = (size_t)(slice.to - slice.from) * sizeof(float);
    bool packed = !codec->in_place && (r->tag == TAG_PUSH || codec->weights);
    if (r->into)
        return r->capacity;
    if (r->tag == TAG_MIX || r->tag == TAG_PAIR || r->tag == TAG_PAIRED)
        return (size_t)c->problem->count * sizeof(float) * (strcmp(o->scheme, "dsgt") ? 1 : 2);
    if (r->tag != TAG_PUSH && r->tag != TAG_PARAMS && r->tag != TAG_SLICE)
        return r->tag == TAG_REDUCE || r->tag == TAG_GATHER ? floats / WORKERS : 0;
    if (!packed || r->tag == TAG_SLICE)
        return floats;
    const struct coder_options options = {
        .count = slice.to - slice.from, .own = codec_own(codec, o), .only_unpacks = true};
    struct coder *coder = coder_open(codec, &options);
    size_t bytes = coder_bytes(coder);
    coder_close(coder);
    return bytes;
}

/* The workers one after the other; or any rank. */
static int some_rank(struct peers *p, uint8_t number)
{
    const struct net *net = &p->net;
    int servers = p->context->servers, any = number % (net->ranks - 1),
        worker = servers + (number + p->anonymous++) % WORKERS;
    if (number & 128 || worker == net->rank)
        return any < net->rank ? any : any + 1;
    return worker;
}

/* A block that ends where the payload does. */
static void fill_payload(struct peers *p, struct request *r, bool given)
{
    size_t bytes = r->header.bytes, count = given ? fuzz_byte(&p->in) : 0;
    uint8_t piece[256];
    fuzz_bytes(&p->in, piece, count);
    if (posix_memalign((void **)&r->data, 64, bytes ? bytes : 1))
        abort();
    for (size_t i = 0; i < bytes; i++)
        r->data[i] = count ? piece[i % count] : 0;
    if (r->into)
        memcpy(r->into, r->data, bytes);
}

static void come(struct peers *p, struct request *r)
{
    struct fuzz_input *in = &p->in;
    struct header *h = &r->header;
    unsigned how = fuzz_byte(in);
    *h = (struct header){.from = r->from == NET_ANY ? some_rank(p, fuzz_byte(in)) : r->from,
                         .to = p->net.rank,
                         .tag = r->tag,
                         .count = p->evaluation,
                         .sent_s = p->now_s};
    fill_body(h);
    h->bytes = usual_bytes(p, r);
    if (how & PEER_FLAGS)
        h->flags = (int32_t)fuzz_number(in, 4);
    if (how & PEER_VERSION)
        h->version = (int64_t)fuzz_number(in, 8);
    if (how & PEER_COUNT)
        h->count = (int64_t)fuzz_number(in, 8);
    if (how & PEER_BODY)
        fuzz_bytes(in, h->body, sizeof h->body);
    if (how & PEER_BYTES)
        h->bytes = fuzz_number(in, 2);
    if (r->into && h->bytes > r->capacity)
        h->bytes = r->capacity; /* a world ends the program where a payload has no room */
    fill_payload(p, r, how & PEER_PAYLOAD);
    r->done = true;
}

/* May it come from peers that work? These say nothing of an end before it is due, and no signal
 * asks them to stop. */
static bool is_usual(const struct peers *p, const struct request *r)
{
    bool ends = r->tag == TAG_DEPART || r->tag == TAG_STOP || r->tag == TAG_PAUSE;
    return r->tag != TAG_ASKED && p->over == ends;
}

/* How many of the list may come. */
static int count_waiting(const struct peers *p, struct request *const *list, int count, bool all)
{
    int waiting = 0;
    for (int i = 0; i < count; i++)
        waiting += list[i] && (all || is_usual(p, list[i]));
    return waiting;
}

static int wait(struct net *net, struct request *const *list, int count, double until_s)
{
    struct peers *p = peers_of(net);
    for (int i = 0; i < count; i++)
        if (list[i] && list[i]->done)
            return i;
    if (p->in.at == p->in.end || p->waits++ == MOST_WAITS)
        exit(0); /* all has come */
    int choice = fuzz_byte(&p->in);
    bool all = choice & PEER_ENDS || (isinf(until_s) && !count_waiting(p, list, count, false));
    int waiting = count_waiting(p, list, count, all);
    if (isfinite(until_s) && (!waiting || choice & PEER_LATER)) {
        p->now_s = fmax(p->now_s, until_s);
        return -1;
    }
    if (!waiting)
        exit(0); /* nothing ever will */
    choice %= waiting;
    for (int i = 0;; i++)
        if (list[i] && (all || is_usual(p, list[i])) && choice-- == 0) {
            come(p, list[i]);
            return i;
        }
}

static const struct header *header_of(const struct request *r)
{
    return &r->header;
}

static const void *data_of(const struct request *r)
{
    return r->into ? r->into : r->data;
}

static struct net_passage passage(struct net *net, const struct request *r)
{
    (void)r;
    return (struct net_passage){peers_of(net)->now_s, peers_of(net)->now_s};
}

static void release(struct net *net, struct request *r)
{
    (void)net;
    free(r->data);
    xfree(r);
}

/* --- time, memory, windows */

static double now(struct net *net)
{
    return peers_of(net)->now_s;
}

static void advance(struct net *net, double seconds)
{
    peers_of(net)->now_s += seconds;
}

static void poll(struct net *net)
{
    (void)net;
}

static void *alloc(struct net *net, size_t bytes)
{
    (void)net;
    return xcalloc(bytes, 1);
}

static void give_back(struct net *net, void *block)
{
    (void)net;
    xfree(block);
}

static double since_heard(struct net *net, int rank)
{
    (void)net, (void)rank;
    return 0;
}

static struct net_vitals vitals(struct net *net, int rank)
{
    (void)net, (void)rank;
    return (struct net_vitals){.process = 1};
}

static const char *host(struct net *net, int rank)
{
    (void)net, (void)rank;
    return "peer";
}

static struct rma_window *window_open(struct net *net, int owner, void *block, size_t bytes)
{
    struct rma_window *w = xcalloc(1, sizeof *w);
    (void)block;
    *w = (struct rma_window){.net = net, .owner = owner, .bytes = bytes};
    return w;
}

static void *window_data(struct rma_window *w)
{
    (void)w;
    return NULL;
}

static void window_get(struct rma_window *w, void *into, size_t offset, size_t bytes)
{
    (void)offset;
    uint8_t byte = fuzz_byte(&peers_of(w->net)->in);
    memset(into, byte, bytes);
}

static void window_add(struct rma_window *w, const float *from, int64_t offset, int64_t count)
{
    (void)w, (void)offset;
    touch(from, (size_t)count * sizeof *from);
}

static void window_close(struct rma_window *w)
{
    xfree(w);
}

static const struct net_calls calls = {
    .send = send,
    .send_begin = send_begin,
    .send_ready = send_ready,
    .send_commit = send_commit,
    .recv = recv,
    .wait = wait,
    .header = header_of,
    .data = data_of,
    .passage = passage,
    .release = release,
    .now = now,
    .advance = advance,
    .poll = poll,
    .alloc = alloc,
    .free = give_back,
    .watch = {.since_heard = since_heard, .vitals = vitals},
    .host = host,
    .window = {.open = window_open,
               .data = window_data,
               .get = window_get,
               .add = window_add,
               .close = window_close},
};

/* --- the rank */

enum { WORDS = 9, WORD = 400 };

struct run {
    char word[WORDS][WORD]; /* of the command line, which options borrow */
    struct options options;
    struct run_context context;
    volatile sig_atomic_t stop_requested;
    bool refused; /* the program takes no such options */
};

/* Opened once; the same for all inputs. */
static struct run *run_of(const char *scheme, const char *codec, int servers, const char *more)
{
    const char *const words[] = {"--network=quadratic", "--batch=8",       "--minibatches=2",
                                 "--updates=5",         "--eval-every=24", more};
    struct run *r = xcalloc(1, sizeof *r);
    char *argv[WORDS + 2] = {"fuzz"};
    const struct option_sets sets = option_sets();
    snprintf(r->word[0], WORD, "--scheme=%s", scheme);
    snprintf(r->word[1], WORD, "--compress=%s", codec);
    snprintf(r->word[2], WORD, "--servers=%d", servers);
    for (int i = 0; i < WORDS; i++) {
        if (i > 2)
            snprintf(r->word[i], WORD, "%s", words[i - 3]);
        argv[1 + i] = r->word[i];
    }
    options_parse(&r->options, sets.list, 1 + WORDS, argv, NULL);
    option_sets_use(&r->options);
    run_context_open(&r->context,
                     &(struct run_context_request){.options = &r->options,
                                                   .ranks = servers + WORKERS,
                                                   .cores = 1,
                                                   .serves = true,
                                                   .trains = true,
                                                   .stop_requested = &r->stop_requested});
    return r;
}

static void check(void *self)
{
    const struct options *o = &((struct run *)self)->options;
    scheme_check(scheme_find(o->scheme), o, WORKERS);
}

static void run_rank(void *self)
{
    struct peers *p = self;
    struct node *n = node_open(&p->net, p->context);
    (n->worker >= 0 ? p->scheme->work : p->scheme->serve)(n);
    node_close(n);
}

static int count_schemes(void)
{
    int count = 0;
    while (schemes[count])
        count++;
    return count;
}

static int count_codecs(void)
{
    int count = 0;
    while (codecs[count])
        count++;
    return count;
}

static void run(struct peers *p, int rank, int servers)
{
    p->net = (struct net){.world = "fuzz",
                          .calls = &calls,
                          .self = p,
                          .rank = rank,
                          .ranks = servers + WORKERS,
                          .cores = 1,
                          .virtual_time = true,
                          .deadline_s = INFINITY,
                          .piece = 1 << 20};
    fuzz_try(run_rank, p);
}

void peers_run(const uint8_t *bytes, size_t size, bool serves)
{
    static struct run *runs[MOST_SCHEMES][MOST_CODECS][MOST_SERVERS];
    struct peers p = {.in = {bytes, bytes + size}};
    int scheme = fuzz_byte(&p.in) % count_schemes(), codec = fuzz_byte(&p.in) % count_codecs(),
        which = fuzz_byte(&p.in), servers = 1 + which % MOST_SERVERS;
    p.scheme = schemes[scheme];
    if (p.scheme->flags & ALONE)
        return;
    struct run **is = &runs[scheme][codec][servers - 1];
    if (!*is) {
        *is = run_of(p.scheme->name, codecs[codec]->name, servers, "--threads=1");
        (*is)->refused = fuzz_try(check, *is);
    }
    if ((*is)->refused)
        return;
    p.context = &(*is)->context;
    which /= MOST_SERVERS;
    run(&p, serves ? which % servers : servers + which % WORKERS, servers);
}

void peers_serve(const char *option)
{
    static const uint8_t work[4000]; /* zeros: the first that is waited for comes, as it should */
    struct run *r = run_of("asgd", "f32", 1, option);
    struct peers p = {
        .in = {work, work + sizeof work}, .scheme = scheme_find("asgd"), .context = &r->context};
    run(&p, 0, 1);
    run_context_close(&r->context);
    options_close(&r->options);
    xfree(r);
}

size_t peers_seed(int number, uint8_t *bytes)
{
    enum { LENGTH = 400 };
    int scheme = number / 2, codec = number % 2 ? 3 + number % (count_codecs() - 3) : 0;
    if (scheme >= count_schemes())
        return 0;
    memset(bytes, 0, LENGTH); /* whatever is waited for comes, as it should */
    bytes[0] = (uint8_t)scheme;
    bytes[1] = (uint8_t)codec;
    bytes[2] = (uint8_t)(number % 4);
    return LENGTH;
}
