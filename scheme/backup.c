/* Synchronous SGD with backup workers: the first W - b gradients of a version make the update,
 * later ones are dropped.
 *
 *   w(v+1) = w(v) - lr (1 / N B) sum of the first N = W - b workers' gradients at w(v)
 *
 * A late push is known by its version. It is dropped when it comes, and its worker gets the newest
 * weights at once. With --backup-workers 0 the scheme is ssgd, bit for bit. Cost as ssgd. Staleness
 * 0. Chen, Pan, Monga, Bengio, Jozefowicz 2016, arXiv:1604.00981, section 2.1 and algorithms 3 and
 * 4. Deviations: rank 0 chooses the gradients for all servers, where each of the paper's chooses
 * for itself; the paper evaluates a moving average of the weights. */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct backup_options {
    int64_t backup_workers;
};

#define AT(field) offsetof(struct backup_options, field)

static const struct option_row rows[] = {
    {.name = "backup-workers",
     .type = OPTION_INT,
     .offset = AT(backup_workers),
     .preset = "1",
     .placeholder = "B",
     .help = "so many of the slowest gradients are not waited for",
     .old = "backups",
     .most = 100000},
    {0}};

static const struct option_set option_set = {.title = "Scheme backup",
                                             .owner = "--scheme backup",
                                             .rows = rows,
                                             .size = sizeof(struct backup_options)};

static void check(const struct options *o, int workers)
{
    const struct backup_options *own = options_of(o, &option_set);
    if (own->backup_workers >= workers)
        fatal("--backup-workers %lld leaves none of %d workers to wait for; take at most %d",
              (long long)own->backup_workers, workers, workers - 1);
}

static void work(struct node *n)
{
    ps_work(n);
}

/* One update from the `count` pushes that have a weight in scale[workers]. */
static void update(struct ps_server *ps, const struct run_context *c, double *scale, int count)
{
    for (int i = 0; i < c->workers; i++)
        scale[i] /= (double)count * c->minibatches;
    ps_step(ps, scale);
    ps_reply_all(ps);
    memset(scale, 0, (size_t)c->workers * sizeof *scale);
}

static void serve(struct node *n)
{
    const struct backup_options *o = options_of(n->context->options, &option_set);
    int wanted = n->context->workers - (int)o->backup_workers, count = 0;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale);
    n->races = true;
    ps_go_on_without(ps);
    ps_agree_on_order(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (a->staleness > 0) {
            ps_discard(ps, worker);
            ps_reply(ps, worker);
            continue;
        }
        scale[worker] = !a->departed;
        count += !a->departed;
        if (count && (count >= wanted || count >= ps_present(ps))) {
            update(ps, n->context, scale, count);
            count = 0;
        }
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_backup = {
    .name = "backup",
    .rule = "ssgd of the first W - b workers, late gradients are dropped",
    .paper = "Chen et al. 2016, arXiv:1604.00981",
    .deviations = "rank 0 chooses the gradients for all servers, where each of the paper's chooses "
                  "for itself; a late worker gets the newest weights at once; the paper evaluates "
                  "a moving average of the weights",
    .flags = BOUNDED | REPLAYS | PUSHES | COMPRESSES | LOCKSTEP | SURVIVES,
    .messages = "W pushes, W pulls",
    .floats = "2 n",
    .staleness = "0",
    .options = &option_set,
    .check = check,
    .work = work,
    .serve = serve,
};
