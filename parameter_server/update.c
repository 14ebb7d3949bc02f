/* What pushes do to the slice of weights, and to the counters.
 *
 * Weights are not changed while a worker still copies them: an update first waits until the last
 * replies are taken. Where replies lend copies (ps_lend_copies()) it waits for nobody. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "parameter_server/server.h"

static const double rounding = 1e-12; /* of a sum of scales */

const float *ps_vector(struct ps_server *ps, int worker)
{
    struct ps_worker *from = &ps->worker[worker];
    if (from->replacement)
        return from->replacement;
    CHECK(from->push.bytes, "push of version %lld from rank %d: there is no vector in it",
          (long long)from->push.version, ps_rank_of(ps, worker));
    if (!ps->decode)
        return from->push.bytes;
    if (!from->is_unpacked) {
        const char *wrong = coder_unpack(ps->decode, from->unpacked, from->push.bytes);
        CHECK(!wrong, "push of version %lld from rank %d: %s", (long long)from->push.version,
              ps_rank_of(ps, worker), wrong);
    }
    from->is_unpacked = true;
    return from->unpacked;
}

void ps_replace(struct ps_server *ps, int worker, const float *vector)
{
    ps->worker[worker].replacement = vector;
}

void ps_discard(struct ps_server *ps, int worker)
{
    struct ps_worker *from = &ps->worker[worker];
    if (from->state != WORKER_PUSHED)
        return;
    from->dropped |= from->push.minibatches > 0;
    ps->n->counters.dropped_minibatches += from->push.minibatches;
    ps->n->counters.dropped_samples += from->push.samples;
    from->dropped_s += from->note.computed_s;
    ps_release_push(ps, worker);
}

void ps_send_back(struct ps_server *ps, int worker)
{
    ps->taken[worker] -= ps->worker[worker].push.minibatches;
    ps_discard(ps, worker);
}

/* The worker's push is part of the next update. */
static void count(struct ps_server *ps, int worker)
{
    struct ps_worker *from = &ps->worker[worker];
    const struct push_note *note = &from->note;
    struct update *u = &ps->update;
    if (from->state != WORKER_PUSHED)
        return;
    u->minibatches += note->minibatches;
    u->samples += from->push.samples;
    node_count_used(ps->n, worker, from->push.samples);
    node_count_loss(ps->n, worker, from->push.samples, note->loss);
    from->counted_s = note->computed_s + (from->counted_in == ps->n->version ? from->counted_s : 0);
    from->counted_in = ps->n->version;
    u->contributions += note->minibatches > 0;
    if (note->minibatches)
        histogram_add(&ps->n->counters.staleness, from->push.staleness);
    if (from->push.staleness > u->staleness)
        u->staleness = from->push.staleness;
    u->aborted += note->aborted;
    u->aborted_s += note->aborted_s;
    u->wait_s += note->waited_s;
    u->signal_s = fmax(u->signal_s, note->signal_s);
    if (!isfinite(note->loss) && isfinite(u->loss))
        u->worst = ps_rank_of(ps, worker);
    u->loss += note->loss;
    ps_release_push(ps, worker);
}

void ps_close_version(struct ps_server *ps)
{
    for (int i = 0; i < ps->workers; i++)
        count(ps, i);
    struct update u = ps->update;
    ps->update = (struct update){.worst = NET_ANY};
    node_updated(ps->n, &u);
    if (ps->n->stop)
        ps_send_stop(ps);
}

/* The pushes with a part in the update, as vectors in worker order. Returns how many. */
static int list_sources(struct ps_server *ps, const double *scale)
{
    int count = 0;
    for (int i = 0; i < ps->workers; i++)
        if (ps->worker[i].push.bytes && scale[i] != 0) {
            ps->source[count] = ps_vector(ps, i);
            ps->scale[count++] = scale[i];
        }
    return count;
}

/* Accounts for the work that began then. */
static void end_update(struct ps_server *ps, double began, struct vector_work work)
{
    node_count_work(ps->n, began, work);
    ps_close_version(ps);
}

/* One step with the sum of so many sources; none: there is none. `update.lr` is set. */
static void step(struct ps_server *ps, struct optimizer *o, const float *const *source,
                 const double *scale, int sources, double lr, double began)
{
    struct vector_work work = {0};
    if (sources) {
        optimizer_step_sum(o, ps->n->w + ps->slice.from, NULL, source, scale, sources, lr);
        work = node_step_work(o, sources);
    }
    end_update(ps, began, work);
}

void ps_step_at(struct ps_server *ps, const double *scale, double lr)
{
    ps_await_weights_free(ps);
    double began = node_clock(ps->n);
    int sources = list_sources(ps, scale);
    ps->update.lr = node_lr(ps->n);
    step(ps, ps->optimizer, ps->source, ps->scale, sources, lr, began);
}

void ps_step(struct ps_server *ps, const double *scale)
{
    ps_step_at(ps, scale, node_lr(ps->n));
}

void ps_own_optimizers(struct ps_server *ps)
{
    assert(!optimizer_is_offloaded(ps->optimizer));
    for (int i = 0; i < ps->workers; i++) {
        ps->worker[i].own = node_optimizer(ps->n, ps->slice);
        if (ps->servers > 1)
            optimizer_on_norm(ps->worker[i].own, ps_whole_norm, ps);
        node_keep_optimizer(ps->n, ps->worker[i].own, "server.optimizers/%d", i);
    }
}

void ps_step_one(struct ps_server *ps, int worker, double scale, double lr)
{
    struct optimizer *own = ps->worker[worker].own;
    ps_await_weights_free(ps);
    double began = node_clock(ps->n);
    bool is_here = ps->worker[worker].push.bytes;
    const float *const source[] = {is_here ? ps_vector(ps, worker) : NULL};
    ps->update.lr = lr;
    step(ps, own ? own : ps->optimizer, source, &scale, is_here, lr, began);
}

void ps_accumulate(struct ps_server *ps, int worker)
{
    struct node *n = ps->n;
    double began = node_clock(n);
    struct vector_work work = {.count = ps_slice_count(ps)};
    if (ps->worker[worker].push.bytes) {
        optimizer_accumulate(ps->optimizer, ps_vector(ps, worker));
        work.floats[PASS_SUM] = 3;
    }
    node_count_work(n, began, work);
    count(ps, worker);
}

void ps_step_accumulated(struct ps_server *ps, double scale)
{
    struct node *n = ps->n;
    ps_await_weights_free(ps);
    double began = node_clock(n);
    ps->update.lr = node_lr(n);
    optimizer_step_accumulated(ps->optimizer, n->w + ps->slice.from, scale, ps->update.lr);
    struct vector_work work = node_step_work(ps->optimizer, 1);
    work.floats[PASS_SUM]++; /* the accumulator is zero again */
    end_update(ps, began, work);
}

/* w = sum of scale x source; the lists have room for w */
static void mix(struct ps_server *ps, const float **source, double *scale, int sources, double rest,
                double began)
{
    float *w = ps->n->w + ps->slice.from;
    if (fabs(rest) > rounding) {
        source[sources] = w;
        scale[sources++] = rest;
    }
    optimizer_sum(ps->optimizer, w, source, scale, sources);
    end_update(ps, began, (struct vector_work){ps_slice_count(ps), {[PASS_SUM] = sources + 1}});
}

void ps_average(struct ps_server *ps, const double *scale)
{
    ps_await_weights_free(ps);
    double began = node_clock(ps->n), rest = 1;
    int sources = list_sources(ps, scale);
    for (int i = 0; i < sources; i++)
        rest -= ps->scale[i];
    mix(ps, ps->source, ps->scale, sources, rest, began);
}

void ps_add(struct ps_server *ps, const double *scale)
{
    ps_await_weights_free(ps);
    double began = node_clock(ps->n);
    mix(ps, ps->source, ps->scale, list_sources(ps, scale), 1, began);
}

/* --- vectors of a scheme's own --- */

void ps_count(struct ps_server *ps, int worker, int64_t later)
{
    ps->worker[worker].push.staleness += later;
    count(ps, worker);
}

void ps_step_vectors(struct ps_server *ps, const float *const *vector, const double *scale,
                     int count)
{
    ps_await_weights_free(ps);
    ps->update.lr = node_lr(ps->n);
    step(ps, ps->optimizer, vector, scale, count, ps->update.lr, node_clock(ps->n));
}

void ps_add_vectors(struct ps_server *ps, const float *const *vector, const double *scale,
                    int count)
{
    const float *source[PS_MOST_VECTORS + 1];
    double factor[PS_MOST_VECTORS + 1];
    assert(count <= PS_MOST_VECTORS);
    ps_await_weights_free(ps);
    double began = node_clock(ps->n);
    memcpy(source, vector, (size_t)count * sizeof *source);
    memcpy(factor, scale, (size_t)count * sizeof *factor);
    mix(ps, source, factor, count, 1, began);
}
