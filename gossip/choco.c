/* CHOCO's estimates: what neighbours know of each other's vectors. */
#include "gossip/choco.h"

#include "base/alloc.h"
#include "base/check.h"
#include "gossip/gossip.h"

enum { LENT = 2 };

struct choco {
    struct node *n;
    int64_t count;
    bool remembers;
    struct coder *out, *in;
    char *packed[LENT]; /* in turn: neighbours may still read the one before */
    int64_t exchange;
    float *own, **other; /* estimates of this worker's vector; [others] of the neighbours' */
    int others;
    float *sent;  /* the vector that was packed last */
    float *moved; /* what a message adds to an estimate */
};

/* An estimate is that of this graph: with another number of workers it begins anew. */
static float *open_estimate(struct node *n, int64_t count, const float *start, const char *of)
{
    char name[60];
    float *estimate = node_vector(n, count);
    node_copy(n, estimate, start, count);
    snprintf(name, sizeof name, "worker.estimates/%s-of-%d", of, n->context->workers);
    node_keep(n, name, STATE_F32, estimate, count);
    return estimate;
}

struct choco *choco_open(struct node *n, int64_t count, const struct codec *codec,
                         const float *start, int others)
{
    struct choco *c = xcalloc(1, sizeof *c);
    *c = (struct choco){.n = n, .count = count, .remembers = codec->remembers, .others = others};
    c->out = node_coder(n, codec, count, 0, false);
    c->in = node_coder(n, codec, count, 0, true);
    node_keep_coder(n, c->out, "worker.estimates/coder-of-%d", n->context->workers);
    for (int k = 0; k < LENT; k++)
        c->packed[k] = net_alloc(n->net, coder_bytes(c->out));
    c->own = open_estimate(n, count, start, "own");
    c->sent = open_estimate(n, count, start, "sent");
    c->moved = node_vector(n, count);
    c->other = xcalloc((size_t)others + 1, sizeof *c->other);
    for (int k = 0; k < others; k++) {
        char of[20];
        snprintf(of, sizeof of, "%d", k);
        c->other[k] = open_estimate(n, count, start, of);
    }
    return c;
}

void choco_close(struct choco *c)
{
    if (!c)
        return;
    coder_close(c->out);
    coder_close(c->in);
    for (int k = 0; k < LENT; k++)
        net_free(c->n->net, c->packed[k]);
    for (int k = 0; k < c->others; k++)
        node_vector_free(c->n, c->other[k]);
    node_vector_free(c->n, c->own);
    node_vector_free(c->n, c->sent);
    node_vector_free(c->n, c->moved);
    xfree(c->other);
    xfree(c);
}

size_t choco_bytes(const struct choco *c)
{
    return coder_bytes(c->out);
}

static void add_message(struct choco *c, float *estimate, const void *message, int rank)
{
    struct node *n = c->n;
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    const char *wrong = coder_unpack(c->in, c->moved, message);
    CHECK(!wrong, "rank %d sent %s to its neighbours", rank, wrong);
    node_account(n, before);
    node_add(n, estimate, c->moved, c->count);
}

const void *choco_pack(struct choco *c, const float *x)
{
    struct node *n = c->n;
    char *packed = c->packed[c->exchange++ % LENT];
    const float *known = c->remembers ? c->sent : c->own;
    node_sum(n, c->moved, (const float *const[]){x, known}, (double[]){1, -1}, 2, c->count);
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    coder_pack(c->out, packed, c->moved);
    node_account(n, before);
    if (c->remembers)
        node_copy(n, c->sent, x, c->count);
    add_message(c, c->own, packed, n->rank);
    return packed;
}

const float *choco_take(struct choco *c, int k, const void *message, int rank)
{
    add_message(c, c->other[k], message, rank);
    return c->other[k];
}

const float *choco_own(const struct choco *c)
{
    return c->own;
}
