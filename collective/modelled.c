/* Sums among many simulated workers, charged as a whole: what they would send one by one is
 * millions of messages.
 *
 * Rule: all meet (net_meet()). The sum is made once, by the method's order of addition, so it has
 * the bits that the method gives; each worker goes on when the method's model says. Where messages
 * of many meet other traffic the model does not know; a codec's packed slices are not modelled.
 * Cost: W n additions and copies of the simulating process, no message. */
#include <math.h>

#include "base/alloc.h"
#include "base/check.h"
#include "collective/kinds.h"

bool collective_is_modelled(const struct collective *c)
{
    const struct sim_options *sim = options_of(c->n->context->options, world_sim.options);
    const struct link_slowness *l = &c->n->context->link;
    bool modelled = net_can_meet(c->n->net) && c->method->model && c->codec->in_place &&
                    sim->sim_model_sums > 0 && c->workers > sim->sim_model_sums;
    if (modelled && (l->delay.terms || l->bursts))
        fatal("--link-%s: sums of %d workers are charged as a whole, which knows no slow links: "
              "--sim-model-sums 0 sends them message by message",
              l->bursts ? "burst" : "delay", c->workers);
    return modelled;
}

static void together(void *self, void *const *given, double *at_s)
{
    const struct collective *last = self;
    size_t workers = (size_t)last->workers;
    struct collective **all = xcalloc(workers, sizeof *all);
    const float **vector = xcalloc(workers, sizeof *vector);
    for (size_t i = 0; i < workers; i++) {
        all[i] = given[i];
        vector[i] = all[i]->vector;
        all[i]->begun_s = net_now(last->n->net);
        CHECK(all[i]->round == last->round, "worker %zu is at sum %lld, not %lld", i,
              (long long)all[i]->round, (long long)last->round);
    }
    bool adds = !node_forwards(last->n);
    if (adds)
        last->method->add_all(last, all[0]->vector, vector, last->scale);
    for (size_t i = 1; i < workers && adds; i++)
        vector_copy(all[i]->vector, all[0]->vector, last->count, last->n->context->threads);
    last->method->model(all, at_s);
    xfree(all);
    xfree(vector);
}

void collective_sum_modelled(struct collective *c, float *vector, double scale)
{
    struct node *n = c->n;
    c->vector = vector;
    c->scale = scale;
    c->float_s = node_together_s(n, 1, 1);
    struct request *list[2] = {NULL, net_meet(n->net, collective_rank(c, 0), c, together, c)};
    node_wait(n, list, 2, INFINITY, "the other workers' parts of a sum", NET_ANY);
    net_release(n->net, list[1]);
    node_count_moving(n, c->begun_s, INFINITY);
}

void collective_count(struct collective *c, int64_t sent_floats, int64_t received_floats,
                      int64_t messages)
{
    struct net *net = c->n->net;
    int64_t heads = messages * (int64_t)sizeof(struct header);
    int64_t sent = sent_floats * (int64_t)sizeof(float);
    net->sent_messages += messages;
    net->received_messages += messages;
    net->sent_bytes += heads + sent;
    net->received_bytes += heads + received_floats * (int64_t)sizeof(float);
    c->n->counters.uncompressed_bytes += sent;
    c->n->counters.compressed_bytes += sent;
}

size_t *collective_slice_bytes(const struct collective *c, int copies)
{
    size_t workers = (size_t)c->workers, *bytes = xcalloc(workers * (size_t)copies, sizeof *bytes);
    for (size_t i = 0; i < workers * (size_t)copies; i++) {
        struct range at = collective_slice(c, (int)(i % workers));
        bytes[i] = (size_t)(at.to - at.from) * sizeof(float);
    }
    return bytes;
}
