/* Which method, and what all of them do: slices, messages with their number, coders, counters.
 *
 * auto takes nccl where every worker computes on a GPU of its own, since those have links of their
 * own; else direct where all workers share a host: there a slice is added where it lies, and no
 * method moves fewer bytes. Between hosts it takes ring, whose neighbours need one link each. */
#include "collective/collective.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/text.h"
#include "collective/kinds.h"

static const struct method *const methods[] = {
#define METHOD(name) &method_##name,
    METHODS(METHOD)
#undef METHOD
#ifdef WITH_NCCL
        & method_nccl,
#endif
};

enum { METHOD_COUNT = sizeof methods / sizeof *methods };

static const struct method *find(const char *name)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (!strcmp(name, methods[i]->name))
            return methods[i];
    return NULL;
}

int collective_rank(const struct collective *c, int worker)
{
    return c->n->context->servers + worker;
}

struct range collective_slice(const struct collective *c, int worker)
{
    return range_split(c->count, worker, c->workers, CACHE_LINE_FLOATS);
}

static bool one_host(const struct collective *c)
{
    for (int i = 0; i < c->workers; i++)
        if (strcmp(net_host(c->n->net, collective_rank(c, i)), net_host(c->n->net, c->n->rank)) !=
            0)
            return false;
    return true;
}

void collective_check(const char *allreduce, const struct codec *codec)
{
    const struct method *m = find(allreduce);
    bool moves_floats = m ? !m->packs : !strcmp(allreduce, "nccl");
    if (moves_floats && !codec->in_place)
        fatal("--compress %s: --allreduce %s moves floats as they are; take direct or ring, or "
              "leave one of them out",
              codec->name, allreduce);
}

static const struct method *choose(struct collective *c)
{
    const char *name = c->n->context->options->allreduce;
    const bool any = !strcmp(name, "auto"),
               on_gpus = (any && c->codec->in_place) || !strcmp(name, "nccl");
    const struct method *m = find(on_gpus ? "nccl" : name),
                        *usual = (any || on_gpus) && one_host(c) ? &method_direct : &method_ring;
    char why[200] = "this program was built without NCCL";
    if (!m && !any && !on_gpus)
        fatal("--allreduce: unknown method '%s'; give auto or one of %s", name, collective_names());
    if (m && (!m->fits || m->fits(c, why, sizeof why)))
        return m;
    if (!any && c->worker == 0)
        fprintf(stderr, "nbsgd: --allreduce %s: %s; %s is used\n", name, why, usual->name);
    return usual;
}

void collective_version(char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < METHOD_COUNT && used < size; i++) {
        char library[100] = "";
        if (methods[i]->version)
            methods[i]->version(library, sizeof library);
        used += (size_t)snprintf(text + used, size - used, *library ? "%s%s (%s)" : "%s%s",
                                 i ? " " : "", methods[i]->name, library);
    }
}

const char *collective_names(void)
{
#define NAME(name) #name "|"
    return METHODS(NAME) "nccl";
#undef NAME
}

void collective_list(FILE *to)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        text_member(to, methods[i]->name, methods[i]->summary ? methods[i]->summary : "",
                    methods[i]->paper);
}

struct collective *collective_open(struct node *n, int64_t count, const struct codec *codec)
{
    struct collective *c = xcalloc(1, sizeof *c);
    const struct codec *plain = codec_find("f32");
    CHECK(n->worker >= 0 && count > 0, "rank %d, worker %d, opens sums of %lld floats", n->rank,
          n->worker, (long long)count);
    codec = codec ? codec : plain;
    collective_check(n->context->options->allreduce, codec);
    *c = (struct collective){.n = n,
                             .count = count,
                             .codec = codec,
                             .sum_codec = codec->weights ? codec : plain,
                             .worker = n->worker,
                             .workers = n->net->ranks > 1 ? n->context->workers : 1};
    c->method = choose(c);
    c->modelled = collective_is_modelled(c);
    if (!c->modelled)
        c->method->open(c);
    return c;
}

void collective_close(struct collective *c)
{
    if (!c->modelled)
        c->method->close(c);
    xfree(c->own);
    xfree(c);
}

void collective_sum(struct collective *c, float *vector, double scale)
{
    const float *const only = vector;
    if (c->modelled)
        collective_sum_modelled(c, vector, scale);
    else if (c->workers > 1)
        c->method->sum(c, vector, scale);
    else if (scale != 1)
        collective_add(c, vector, &only, &scale, 1, c->count);
    c->round++;
}

const char *collective_name(const struct collective *c)
{
    return c->method->name;
}

static void send_ready(struct collective *c, int worker)
{
    const struct header head = {.tag = TAG_REDUCE, .version = c->round};
    net_send(c->n->net, collective_rank(c, worker), &head, NULL, 0);
}

static void take_ready(struct collective *c, int worker)
{
    struct request *come = net_recv(c->n->net, collective_rank(c, worker), TAG_REDUCE, NULL, 0);
    collective_take(c, come, worker, 0);
    net_release(c->n->net, come);
}

struct awaited {
    struct net *net;
    struct request *come;
};

static bool has_come(void *self)
{
    struct awaited *w = self;
    return net_wait(w->net, &w->come, 1, 0) == 0;
}

/* A pause that is called now must be heard by all before they go on, or by none: the first worker
 * hears of it first, and looks before it releases the others; those wait for it first. */
void collective_meet(struct collective *c)
{
    if (c->worker > 0) {
        struct awaited go = {c->n->net,
                             net_recv(c->n->net, collective_rank(c, 0), TAG_REDUCE, NULL, 0)};
        send_ready(c, 0);
        node_wait_until(c->n, has_come, &go, "the first worker to go on");
        CHECK(net_header(go.come)->version == c->round, "the first worker is at sum %lld, not %lld",
              (long long)net_header(go.come)->version, (long long)c->round);
        net_release(c->n->net, go.come);
        return;
    }
    for (int i = 1; i < c->workers; i++)
        take_ready(c, i);
    node_handle_events(c->n);
    for (int i = 1; i < c->workers; i++)
        send_ready(c, i);
}

struct request *collective_send(struct collective *c, int worker, int tag, const void *data,
                                size_t bytes, int64_t floats)
{
    const struct header head = {.tag = tag, .version = c->round};
    c->n->counters.uncompressed_bytes += floats * (int64_t)sizeof(float);
    c->n->counters.compressed_bytes += (int64_t)bytes;
    return net_send(c->n->net, collective_rank(c, worker), &head, data, bytes);
}

const void *collective_take(struct collective *c, struct request *come, int worker, size_t bytes)
{
    struct request *list[2] = {NULL, come};
    node_wait(c->n, list, 2, INFINITY, "a worker's part of a sum", collective_rank(c, worker));
    const struct header *m = net_header(come);
    CHECK(m->version == c->round && m->bytes == bytes,
          "rank %d sent %llu bytes of sum %lld; %zu bytes of sum %lld were expected", m->from,
          (unsigned long long)m->bytes, (long long)m->version, bytes, (long long)c->round);
    return net_data(come);
}

void collective_done(struct collective *c, struct request **sent, int worker)
{
    struct request *list[2] = {NULL, *sent};
    if (*sent)
        node_wait(c->n, list, 2, INFINITY, "a worker to take a sum", collective_rank(c, worker));
    net_release(c->n->net, *sent);
    *sent = NULL;
}

void collective_add(struct collective *c, float *to, const float *const *source,
                    const double *scale, int sources, int64_t count)
{
    struct node *n = c->n;
    if (!count)
        return; /* an empty slice's data are NULL */
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    if (!node_forwards(n))
        vector_sum(to, source, scale, sources, count, n->context->threads);
    node_advance_together(n, count, sources + 1);
    node_account(n, before);
}

struct coder *collective_coder(const struct collective *c, const struct codec *codec, int64_t count,
                               int stream, bool only_unpacks)
{
    if (codec->in_place || !count)
        return NULL;
    struct coder *coder = node_coder(c->n, codec, count, stream, only_unpacks);
    /* another number of workers cuts the vector elsewhere: the name says of how many it is */
    node_keep_coder(c->n, coder, "worker.coders/%d-of-%d", stream, c->n->context->workers);
    return coder;
}

size_t collective_bytes(const struct coder *coder, int64_t count)
{
    return coder ? coder_bytes(coder) : (size_t)count * sizeof(float);
}

size_t collective_room(const struct coder *coder, int64_t count)
{
    enum { LINE = CACHE_LINE_FLOATS * sizeof(float) };
    return coder ? (collective_bytes(coder, count) + LINE - 1) / LINE * LINE : 0;
}

/* As at a server, the simulator charges no time for it. */
void collective_pack(struct collective *c, struct coder *coder, void *to, const float *from)
{
    enum account before = node_account(c->n, ACCOUNT_TRANSFER);
    coder_pack(coder, to, from);
    node_account(c->n, before);
}

void collective_unpack(struct collective *c, const struct coder *coder, float *to, const void *from,
                       int64_t count, int worker)
{
    struct node *n = c->n;
    const char *wrong = NULL;
    if (!count)
        return;
    enum account before = node_account(n, ACCOUNT_TRANSFER);
    if (coder)
        wrong = coder_unpack(coder, to, from);
    else if (!node_forwards(n))
        vector_copy(to, from, count, n->context->threads);
    CHECK(!wrong, "sum %lld: rank %d sent %s", (long long)c->round, collective_rank(c, worker),
          wrong);
    node_advance_together(n, count, 2);
    node_account(n, before);
}
