/* A mini-batch: its gradient, its slowness, its delay, and who may interrupt it.
 *
 * In the real world computing takes the time it takes. A speed factor f adds f - 1 times that of
 * each unit as sleep. On the virtual clock a mini-batch takes --sim-minibatch seconds times f, unit
 * by unit in proportion to their FLOPs. The arithmetic is done when it ends: an aborted mini-batch
 * costs nothing but virtual time. Nobody changes n->w meanwhile, so its gradient is that of the
 * weights at its beginning. Where others do (node_share_weights()) it is done at the beginning. */
#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "node/private.h"

static const double shortest_sleep_s = 0.002;

void computing_open(struct node *n)
{
    const struct run_context *s = n->context;
    struct problem *p = s->problem;
    struct computing *c = &n->own->computing;
    bool alone = n->net->ranks == 1;
    c->slow =
        slowness_of(&s->slowness, n->rank) / (s->machine ? machine_speed(s->machine, n->rank) : 1);
    c->jitter = jitter_split(s->jitter, s->machine ? machine_host_jitter_share(s->machine) : 0);
    c->host = s->machine ? machine_host(s->machine, n->rank) : n->rank;
    c->stream_count = alone ? s->workers : 1;
    c->streams = xcalloc((size_t)c->stream_count, sizeof *c->streams);
    c->next = xcalloc((size_t)c->stream_count, sizeof *c->next);
    for (int i = 0; i < c->stream_count; i++)
        c->streams[i] = p->kind->stream_open(p, alone ? i : n->worker, s->workers);
    c->spare = net_alloc(n->net, (size_t)n->count * sizeof *c->spare);
    if (n->net->virtual_time)
        c->units_s = xcalloc((size_t)p->steps, sizeof *c->units_s);
}

void computing_close(struct node *n)
{
    struct computing *c = &n->own->computing;
    struct problem *p = n->context->problem;
    for (int i = 0; i < c->stream_count; i++)
        p->kind->stream_close(p, c->streams[i]);
    net_free(n->net, c->spare);
    xfree(c->streams);
    xfree(c->next);
    xfree(c->units_s);
}

void node_select(struct node *n, int worker)
{
    n->own->computing.selected = worker;
}

void node_set_place(struct node *n, int64_t minibatches)
{
    n->own->computing.next[n->own->computing.selected] = minibatches;
}

void node_share_weights(struct node *n)
{
    n->own->computing.shared = true;
}

void node_clear(struct node *n)
{
    struct computing *c = &n->own->computing;
    c->cleared = n->finished;
    n->finished = n->aborted = n->staleness = 0;
    n->loss = n->aborted_s = n->signal_s = 0;
}

void node_discard(struct node *n)
{
    n->counters.dropped_minibatches += n->finished;
    n->counters.dropped_samples += n->finished * n->context->minibatch;
    n->finished = 0;
    n->loss = 0;
    accounts_dropped(n);
}

int64_t node_redo(struct node *n)
{
    struct computing *c = &n->own->computing;
    int64_t cleared = c->cleared, again = cleared + n->finished;
    c->next[c->selected] -= again;
    n->counters.minibatches -= again;
    n->counters.samples -= again * n->context->minibatch;
    node_discard(n); /* what was cleared its server has counted */
    c->cleared = 0;
    return cleared;
}

void node_on_gradient_ready(struct node *n, int64_t least,
                            void (*on_ready)(void *self, const float *vector, int64_t from),
                            void *self)
{
    n->own->computing.least = least;
    n->own->computing.on_ready = on_ready;
    n->own->computing.listener = self;
}

static bool is_to_report(const struct computing *c, int64_t from)
{
    return c->on_ready && from < c->final_from && (from == 0 || c->final_from - from >= c->least);
}

/* The gradient under way is final from here on. It is summed where it lies: until the mini-batch is
 * done, the sum stays without it. */
static void report_final(struct node *n, int64_t from)
{
    struct computing *c = &n->own->computing;
    if (!is_to_report(c, from))
        return;
    if (n->finished && !n->net->virtual_time)
        node_add(n, c->gradient + from, n->sum + from, c->final_from - from);
    c->final_from = from;
    c->on_ready(c->listener, c->gradient, from);
}

/* A slow rank sleeps its share of the unit that took `spent_s`. Where a device computes it sleeps
 * after the last unit only: the device would go on meanwhile. */
static enum node_flow sleep_slowness(struct node *n, int step, double spent_s)
{
    const struct problem *p = n->context->problem;
    struct computing *c = &n->own->computing;
    bool last = step == p->steps - 1;
    c->unslept_s += (c->slow - 1) * spent_s;
    if (!last && (c->unslept_s <= shortest_sleep_s || p->is_device))
        return NODE_CONTINUE;
    double seconds = c->unslept_s;
    c->unslept_s = 0;
    return control_sleep(n, seconds, ACCOUNT_COMPUTE);
}

/* The network's hook after each unit: takes the time, lets messages move, handles events, asks who
 * interrupts. False drops the mini-batch. */
static bool between_units(void *self, int step, int64_t from)
{
    struct node *n = self;
    struct computing *c = &n->own->computing;
    double spent_s = node_clock(n) - c->unit_s;
    if (step != c->step) /* on a device this is called again and again for one */
        net_step(n->net);
    c->step = step;
    report_final(n, from);
    node_account(n, ACCOUNT_TRANSFER);
    net_poll(n->net);
    node_account(n, ACCOUNT_COMPUTE);
    node_handle_events(n);
    if (node_check_interrupt(n) == NODE_INTERRUPTED)
        return false;
    if (c->slow > 1 && !n->net->virtual_time &&
        sleep_slowness(n, step, spent_s) == NODE_INTERRUPTED)
        return false;
    c->unit_s = node_clock(n);
    return true;
}

/* Units from this step on that may pass before this rank must look up: until the deadline has
 * passed after one, or a listener is to hear of the final part. */
static int units_ahead(const struct node *n, int step)
{
    const struct problem *p = n->context->problem;
    const struct computing *c = &n->own->computing;
    double now_s = net_now(n->net);
    int begin = step;
    if (isinf(n->own->clock.deadline_s) && !c->on_ready)
        return p->steps - step;
    do
        now_s += c->units_s[step++];
    while (step < p->steps && !node_past_deadline_at(n, now_s) &&
           !is_to_report(c, p->kind->final_from(p, step - 1)));
    return step - begin;
}

/* How much longer than its mean the mini-batch takes that begins now. */
static double jitter(const struct node *n)
{
    const struct computing *c = &n->own->computing;
    uint64_t seed = (uint64_t)n->context->options->seed;
    double factor = jitter_at(c->jitter.own, seed, n->rank, c->attempts);
    if (c->jitter.host > 0 && n->context->minibatch_s > 0)
        factor *= jitter_host_at(c->jitter.host, seed, c->host,
                                 (int64_t)(node_clock(n) / n->context->minibatch_s));
    return factor;
}

double computing_demand(const struct node *n)
{
    const struct run_context *s = n->context;
    double threads = s->options->threads ? (double)s->options->threads : 1;
    int host = machine_host(s->machine, n->rank);
    return s->computing[host] * threads / machine_cores(s->machine);
}

/* Some units from this one on, at most `count`. Where cores are scarce it is one, as much longer as
 * there are computing ranks at its beginning; a rank that --slow makes sleep counts less. */
static int pass_units(struct node *n, int step, int count)
{
    const struct run_context *s = n->context;
    struct computing *c = &n->own->computing;
    if (!s->computing)
        return net_advance_parts(n->net, c->units_s + step, count);
    double awake = 1 / slowness_of(&s->slowness, n->rank);
    s->computing[c->host] += awake;
    c->units_s[step] *= fmax(1, computing_demand(n));
    int passed = net_advance_parts(n->net, c->units_s + step, 1);
    s->computing[c->host] -= awake;
    return passed;
}

/* What net_poll() takes between two units in the real world. */
static void move_messages(struct node *n)
{
    const struct run_context *s = n->context;
    double seconds = message_work_s(n), unlimited = 0;
    double *computing = s->computing ? &s->computing[n->own->computing.host] : &unlimited;
    if (seconds <= 0)
        return;
    node_account(n, ACCOUNT_TRANSFER);
    *computing += 1;
    net_advance(n->net, seconds);
    *computing -= 1;
    node_account(n, ACCOUNT_COMPUTE);
}

/* The time of a simulated mini-batch. After its first unit a rank hears what has come before; from
 * then on it is asked again when something comes. */
static enum node_flow pass_virtually(struct node *n)
{
    const struct problem *p = n->context->problem;
    struct computing *c = &n->own->computing;
    double seconds = n->context->minibatch_s * c->slow * node_faults_slowness(n) * jitter(n);
    for (int step = 0; step < p->steps; step++)
        c->units_s[step] = seconds * p->kind->step_share(p, step);
    message_work_begin(n);
    for (int step = 0; step < p->steps;) {
        step += pass_units(n, step, step ? units_ahead(n, step) : 1);
        move_messages(n);
        if (!between_units(n, step - 1, p->kind->final_from(p, step - 1)))
            return NODE_INTERRUPTED;
    }
    return NODE_CONTINUE;
}

/* The gradient that is done becomes the sum, with what was in there; nothing, if that was pushed
 * meanwhile. */
static void commit(struct node *n, const struct loss *loss)
{
    struct computing *c = &n->own->computing;
    float *done = c->gradient;
    if (done != n->sum) {
        if (n->finished)
            node_add(n, done, n->sum, n->net->virtual_time ? n->count : c->final_from);
        c->spare = n->sum;
        n->sum = done;
    }
    n->finished++;
    n->loss += loss->sum;
    c->next[c->selected]++;
    n->counters.minibatches++;
    n->counters.samples += n->context->minibatch;
}

/* So many seconds of computing were in vain. */
static void count_aborted(struct node *n, double seconds)
{
    n->aborted++;
    n->aborted_s += seconds;
    n->counters.aborted_minibatches++;
    n->counters.aborted_s += seconds;
}

/* loss and gradient of the mini-batch under way; with a hook, in real time */
static bool compute(struct node *n, struct weights w, struct loss *loss, network_hook *hook)
{
    struct problem *p = n->context->problem;
    struct computing *c = &n->own->computing;
    bool done =
        node_forwards(n) || p->kind->gradient(p, c->streams[c->selected], c->next[c->selected], w,
                                              c->gradient, loss, hook, n);
    loss->sum = node_number(n, loss->sum);
    return done;
}

/* The injected delays of a mini-batch whose computing began then. First the process stands still,
 * if it is to: what interrupts is asked only then. */
static enum node_flow hold_up(struct node *n, int64_t attempt, double began_s)
{
    const struct run_context *s = n->context;
    struct computing *c = &n->own->computing;
    uint64_t seed = (uint64_t)s->options->seed;
    double seconds[2], computed_s = node_clock(n) - began_s;
    for (int still = 0; still < 2; still++)
        seconds[still] = s->delay_block_s > 0
                             ? delay_course_at(&s->delay, seed, n->rank, still, &c->course[still],
                                               s->delay_block_s, began_s, computed_s)
                             : delay_at(&s->delay, seed, n->rank, attempt, still);
    if (seconds[true] > 0) {
        node_stand_still(n, seconds[true]);
        if (node_check_interrupt(n) == NODE_INTERRUPTED)
            return NODE_INTERRUPTED;
    }
    return node_sleep(n, seconds[false]);
}

/* Keyed by the clock, a delay may be under way when a mini-batch begins. */
static enum node_flow await_machine(struct node *n)
{
    return n->context->delay_block_s > 0 ? hold_up(n, 0, node_clock(n)) : NODE_CONTINUE;
}

static enum node_flow compute_minibatch(struct node *n)
{
    struct computing *c = &n->own->computing;
    const bool simulated = n->net->virtual_time;
    const struct weights w = {n->w, n->weights_version};
    struct loss loss = {0};
    double computed_s = n->counters.compute_s;
    enum node_flow flow = await_machine(n);
    double there_s = c->unit_s = node_clock(n);
    int64_t attempt = c->attempts++;
    node_faults_minibatch(n, attempt);
    c->gradient = n->finished ? c->spare : n->sum;
    c->final_from = n->count;
    if (flow == NODE_CONTINUE && simulated && c->shared)
        compute(n, w, &loss, NULL);
    if (flow == NODE_CONTINUE && simulated)
        flow = pass_virtually(n);
    else if (flow == NODE_CONTINUE && !compute(n, w, &loss, between_units))
        flow = NODE_INTERRUPTED;
    if (flow == NODE_CONTINUE)
        flow = hold_up(n, attempt, there_s);
    assert(flow == NODE_CONTINUE || !c->on_ready);
    c->on_ready = NULL;
    node_account(n, ACCOUNT_COMPUTE); /* charges what has passed */
    computed_s = n->counters.compute_s - computed_s;
    if (flow == NODE_INTERRUPTED) {
        count_aborted(n, computed_s);
        return flow;
    }
    if (simulated && !c->shared) {
        assert(n->w == w.w && n->weights_version == w.weights_version);
        compute(n, w, &loss, NULL);
    }
    moments_add(&n->counters.minibatch_s, computed_s);
    accounts_finished(n, computed_s);
    commit(n, &loss);
    return flow;
}

enum node_flow node_minibatch(struct node *n)
{
    enum account account = node_account(n, ACCOUNT_COMPUTE);
    const struct computing *c = &n->own->computing;
    const int64_t index = c->next[c->selected];
    double began_s = trace_minibatch_begins(n);
    struct net_activity before = net_act(
        n->net,
        (struct net_activity){.pace = NET_STEPS, .what = "mini-batch", .number = c->attempts + 1});
    enum node_flow flow = compute_minibatch(n);
    net_act(n->net, before);
    trace_minibatch(n, began_s, flow, n->net->ranks == 1 ? c->selected : n->worker, index);
    node_account(n, account);
    return flow;
}

void node_batch(struct node *n)
{
    node_clear(n);
    while (n->finished < n->context->minibatches && !n->stop)
        node_minibatch(n);
}

enum node_flow node_local_step(struct node *n, struct optimizer *o, double lr)
{
    int64_t before = n->finished;
    n->finished = 0; /* sum begins anew */
    enum node_flow flow = node_minibatch(n);
    n->finished = before + (flow == NODE_CONTINUE);
    if (flow == NODE_CONTINUE) {
        node_step(n, o, n->w, n->sum, lr);
        node_weights_changed(n);
    }
    return flow;
}

bool node_departs(const struct node *n)
{
    return (double)n->counters.minibatches >= departure_of(&n->context->departures, n->rank);
}
