/* Elastic averaging SGD: workers explore on their own; every tau mini-batches an elastic force
 * pulls each worker and the centre together.
 *
 *   every tau mini-batches: d = alpha (w_i - w~);  w_i <- w_i - d;  w~ <- w~ + d
 *   in between:             w_i <- w_i - lr g(w_i)
 *
 * alpha = beta / W (--easgd-beta), tau: --local-steps. eamsgd: local steps with Nesterov's momentum
 * (--momentum). The worker asks for the centre w~, and both use the same d: the force is symmetric
 * and the sum of all weights is conserved, unless --compress changes what the centre gets. The
 * centre is evaluated. Cost: n floats down and n up every tau mini-batches. No gradient is stale:
 * they are all local. Zhang, Choromanska, LeCun NIPS 2015, arXiv:1412.6651, algorithms 1 and 2. */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct easgd_options {
    int64_t local_steps; /* mini-batches */
    double easgd_beta;   /* workers x alpha */
};

#define AT(field) offsetof(struct easgd_options, field)

static const struct option_row rows[] = {
    {.name = "local-steps",
     .type = OPTION_INT,
     .offset = AT(local_steps),
     .preset = "8",
     .placeholder = "H",
     .help = "mini-batches between exchanges",
     .least = 1},
    {.name = "easgd-beta",
     .type = OPTION_REAL,
     .offset = AT(easgd_beta),
     .preset = "0.9",
     .placeholder = "BETA",
     .help = "workers x elasticity of the force between worker and centre",
     .old = "elastic",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Schemes easgd and eamsgd",
                                             .owner = "--scheme easgd or eamsgd",
                                             .rows = rows,
                                             .size = sizeof(struct easgd_options)};

static void work(struct node *n, struct optimizer *local)
{
    const struct run_context *s = n->context;
    const struct easgd_options *o = options_of(s->options, &option_set);
    double alpha = o->easgd_beta / s->workers;
    struct ps_client *ps = ps_client_open(n);
    float *centre = net_alloc(n->net, (size_t)n->count * sizeof *centre),
          *d = net_alloc(n->net, (size_t)n->count * sizeof *d);
    ps_pull(ps, n->w);
    for (bool training = ps_wait(ps); training;) {
        node_clear(n);
        while (n->finished < o->local_steps)
            node_local_step(n, local, n->lr);
        ps_request(ps);
        ps_pull(ps, centre);
        training = ps_wait(ps);
        node_sum(n, d, (const float *const[]){n->w, centre}, (double[]){alpha, -alpha}, 2,
                 n->count);
        node_sum(n, n->w, (const float *const[]){n->w, d}, (double[]){1, -1}, 2, n->count);
        node_weights_changed(n);
        if (training)
            ps_push_async(ps, d);
        else
            node_discard(n);
    }
    ps_flush(ps);
    net_free(n->net, centre);
    net_free(n->net, d);
    optimizer_close(local);
    ps_client_close(ps);
}

static void serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->departed)
            continue;
        if (a->asks) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        scale[worker] = 1;
        ps_add(ps, scale);
        scale[worker] = 0;
    }
    xfree(scale);
    ps_server_close(ps);
}

static void check_rule(const struct options *o, const char *scheme, const char *rule)
{
    if (strcmp(o->optimizer, "sgd") && strcmp(o->optimizer, rule))
        fatal("--optimizer %s: workers of %s step by %s, the centre by the elastic force alone; "
              "leave it out",
              o->optimizer, scheme, rule);
}

static void easgd_check(const struct options *o, int workers)
{
    (void)workers;
    check_rule(o, "easgd", "sgd");
}

static void eamsgd_check(const struct options *o, int workers)
{
    (void)workers;
    check_rule(o, "eamsgd", "nesterov");
}

static void easgd_work(struct node *n)
{
    work(n, node_local_optimizer(n, "sgd", false));
}

static void eamsgd_work(struct node *n)
{
    work(n, node_local_optimizer(n, "nesterov", true));
}

const struct scheme scheme_easgd = {
    .name = "easgd",
    .rule = "local steps, and an elastic force between each worker and a centre",
    .paper = "Zhang et al. 2015, arXiv:1412.6651",
    .flags = REPLAYS | PUSHES | COMPRESSES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "local gradients",
    .options = &option_set,
    .check = easgd_check,
    .state = (const char *const[]){"worker.weights", NULL},
    .work = easgd_work,
    .serve = serve,
};

const struct scheme scheme_eamsgd = {
    .name = "eamsgd",
    .rule = "easgd with Nesterov's momentum at the workers",
    .paper = "Zhang et al. 2015, arXiv:1412.6651",
    .flags = REPLAYS | PUSHES | COMPRESSES,
    .messages = "a push, a pull",
    .floats = "2 n every H mini-batches",
    .staleness = "local gradients",
    .options = &option_set,
    .check = eamsgd_check,
    .state = (const char *const[]){"worker.weights", "worker.optimizer", NULL},
    .work = eamsgd_work,
    .serve = serve,
};
