/* DiLoCo: local SGD whose server steps with momentum along the workers' mean move.
 *
 *   w_i <- optimizer(w_i, g(w_i)), H times;   D = (1 / W) sum_i (w - w_i)
 *   v <- mu v + D;   w <- w - a (D + mu v)
 *
 * a: --outer-lr, mu: --outer-momentum, H: --local-steps. With a = 1, mu = 0 the scheme is localsgd,
 * bit for bit. --workers 1 is the control that the outer step alone explains. Workers' optimizers
 * keep their state, which nobody averages. Cost: n floats up and n down every H mini-batches, and n
 * floats of momentum at the server. Staleness 0.
 * Douillard et al. 2023, arXiv:2311.08105, algorithm 1. There H is about 500 and the inner rule
 * AdamW; take --local-steps and --optimizer. */
#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/localsgd.h"

struct diloco_options {
    int64_t local_steps; /* mini-batches */
    double outer_lr, outer_momentum;
};

#define AT(field) offsetof(struct diloco_options, field)

static const struct option_row rows[] = {
    LOCAL_STEPS(AT(local_steps)), OUTER_LR(AT(outer_lr)), OUTER_MOMENTUM(AT(outer_momentum)), {0}};

static const struct option_set option_set = {.title = "Scheme diloco",
                                             .owner = "--scheme diloco",
                                             .rows = rows,
                                             .size = sizeof(struct diloco_options)};

static void work(struct node *n)
{
    const struct diloco_options *o = options_of(n->context->options, &option_set);
    localsgd_work(n, o->local_steps, 0);
}

static void serve(struct node *n)
{
    const struct diloco_options *o = options_of(n->context->options, &option_set);
    int workers = n->context->workers;
    struct ps_server *ps = ps_server_open_rule(
        n, &(struct optimizer_options){.rule = "nesterov", .momentum = o->outer_momentum});
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        int present = ps_present(ps);
        for (int i = 0; i < workers; i++)
            scale[i] = -1.0 / present; /* w_i - w is pushed */
        ps_step_at(ps, scale, o->outer_lr);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_diloco = {
    .name = "diloco",
    .rule = "localsgd, whose server steps with momentum along the mean of the workers' moves",
    .paper = "Douillard et al. 2023, arXiv:2311.08105",
    .deviations =
        "by default H is 8 and the inner rule SGD, where the paper has about 500 and AdamW",
    .flags = SYNC | BOUNDED | PUSHES | COMPRESSES | LOCKSTEP,
    .messages = "W pushes, W pulls",
    .floats = "2 n every H mini-batches",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.optimizer", NULL},
    .work = work,
    .serve = serve,
};
