/* A server's side: what pushes do to the slice, and to the account. Weights are not changed while a
 * worker still copies them: an update first waits for the last answers to be taken. */
#include <math.h>

#include "base/check.h"
#include "parameter_server/private.h"

static const double rounding = 1e-12; /* of a sum of scales */

struct range ps_slice(const struct ps *ps)
{
    return ps->slice;
}

const float *ps_vector(struct ps *ps, int worker)
{
    const struct push *a = &ps->arrival[worker];
    if (ps->instead[worker])
        return ps->instead[worker];
    if (!ps->decode)
        return a->bytes;
    if (!ps->is_unpacked[worker]) {
        const char *wrong = coder_unpack(ps->decode, ps->unpacked[worker], a->bytes);
        CHECK(!wrong, "push of version %lld from rank %d: %s", (long long)a->header->version,
              a->header->from, wrong);
    }
    ps->is_unpacked[worker] = true;
    return ps->unpacked[worker];
}

void ps_replace(struct ps *ps, int worker, const float *vector)
{
    ps->instead[worker] = vector;
}

/* Ends the loan and waits for the worker's next push. */
static void give_back(struct ps *ps, int worker)
{
    if (ps->arrival[worker].bytes)
        optimizer_discard(ps->optimizer,
                          ps->decode ? ps->unpacked[worker] : ps->arrival[worker].bytes);
    net_release(ps->n->net, ps->come[AT_PUSH + worker]);
    ps_expect_push(ps, worker);
    ps->arrival[worker] = (struct push){.worker = worker};
    ps->is_unpacked[worker] = false;
    ps->instead[worker] = NULL;
}

void ps_discard(struct ps *ps, int worker)
{
    const struct header *m = ps->arrival[worker].header;
    if (!m)
        return;
    ps->n->counters.dropped_minibatches += m->count;
    struct push_note note;
    header_unpack(m, note);
    ps->n->counters.dropped_samples += note.samples;
    give_back(ps, worker);
}

/* The worker's push is part of the update that comes next. */
static void count(struct ps *ps, int worker)
{
    const struct push *a = &ps->arrival[worker];
    const struct header *m = a->header;
    struct update *u = &ps->update;
    if (!m)
        return;
    struct push_note note;
    header_unpack(m, note);
    u->minibatches += m->count;
    u->samples += note.samples;
    u->contributions += m->count > 0;
    if (m->count)
        histogram_add(&ps->n->counters.staleness, a->staleness);
    u->staleness = a->staleness > u->staleness ? a->staleness : u->staleness;
    u->aborted += note.aborted;
    u->aborted_s += note.aborted_s;
    u->wait_s += note.waited_s;
    u->signal_s = note.signal_s > u->signal_s ? note.signal_s : u->signal_s;
    if (!isfinite(note.loss) && isfinite(u->loss))
        u->worst = ps_rank_of(ps, worker);
    u->loss += note.loss;
    give_back(ps, worker);
}

void ps_close_version(struct ps *ps)
{
    for (int i = 0; i < ps->workers; i++)
        count(ps, i);
    struct update u = ps->update;
    ps->update = (struct update){.worst = NET_ANY};
    node_updated(ps->n, &u);
    if (ps->n->stop)
        ps_tell_end(ps);
}

/* The arrivals with a part in the update, as vectors in worker order. Returns how many. */
static int list_sources(struct ps *ps, const double *scale)
{
    int count = 0;
    for (int i = 0; i < ps->workers; i++)
        if (ps->arrival[i].bytes && scale[i] != 0) {
            ps->source[count] = ps_vector(ps, i);
            ps->scale[count++] = scale[i];
        }
    return count;
}

/* Passes the virtual time that so many passes over the slice take. */
static void end_update(struct ps *ps, double began, int passes)
{
    node_advance_vector(ps->n, ps_slice_count(ps), passes);
    ps->n->counters.update_s += node_clock(ps->n) - began;
    ps_close_version(ps);
}

void ps_step(struct ps *ps, const double *scale)
{
    struct node *n = ps->n;
    ps_take_answers_back(ps);
    double began = node_clock(n);
    int sources = list_sources(ps, scale);
    if (sources)
        optimizer_step_sum(ps->optimizer, n->w + ps->slice.from, NULL, ps->source, ps->scale,
                           sources, node_lr(n));
    end_update(ps, began, sources ? sources + 2 : 0);
}

void ps_accumulate(struct ps *ps, int worker)
{
    struct node *n = ps->n;
    double began = node_clock(n);
    if (ps->arrival[worker].bytes) {
        optimizer_accumulate(ps->optimizer, ps_vector(ps, worker));
        node_advance_vector(n, ps_slice_count(ps), 3);
    }
    n->counters.update_s += node_clock(n) - began;
    count(ps, worker);
}

void ps_step_accumulated(struct ps *ps, double scale)
{
    struct node *n = ps->n;
    ps_take_answers_back(ps);
    double began = node_clock(n);
    optimizer_step_accumulated(ps->optimizer, n->w + ps->slice.from, scale, node_lr(n));
    end_update(ps, began, 4);
}

/* w = sum of scale x push + rest x w */
static void mix(struct ps *ps, const double *scale, bool average)
{
    struct node *n = ps->n;
    float *w = n->w + ps->slice.from;
    ps_take_answers_back(ps);
    double began = node_clock(n), rest = 1;
    int sources = list_sources(ps, scale);
    for (int i = 0; i < sources && average; i++)
        rest -= ps->scale[i];
    if (fabs(rest) > rounding) {
        ps->source[sources] = w;
        ps->scale[sources++] = rest;
    }
    optimizer_sum(ps->optimizer, w, ps->source, ps->scale, sources);
    end_update(ps, began, sources + 1);
}

void ps_average(struct ps *ps, const double *scale)
{
    mix(ps, scale, true);
}

void ps_add(struct ps *ps, const double *scale)
{
    mix(ps, scale, false);
}
