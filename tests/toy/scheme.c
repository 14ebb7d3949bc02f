/* A scheme for tests/toy_members.sh: ssgd with its updates scaled by an option of its own. */
#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct toy_options {
    double scale;
};

static const struct option_row rows[] = {{.name = "toy-scale",
                                          .type = OPTION_REAL,
                                          .offset = offsetof(struct toy_options, scale),
                                          .preset = "1",
                                          .placeholder = "X",
                                          .help = "factor of each update",
                                          .most = 10},
                                         {0}};

static const struct option_set option_set = {.title = "Scheme toyscheme",
                                             .owner = "--scheme toyscheme",
                                             .rows = rows,
                                             .size = sizeof(struct toy_options)};

static void work(struct node *n)
{
    ps_work(n);
}

static void serve(struct node *n)
{
    const struct toy_options *o = options_of(n->context->options, &option_set);
    struct ps_server *ps = ps_server_open(n);
    int workers = n->context->workers;
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        for (int i = 0; i < workers; i++)
            scale[i] = o->scale / ((double)ps_present(ps) * n->context->minibatches);
        ps_step(ps, scale);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

const struct scheme scheme_toyscheme = {
    .name = "toyscheme",
    .rule = "ssgd, each update scaled",
    .paper = "none",
    .flags = SYNC | BOUNDED | PUSHES | COMPRESSES,
    .messages = "W pushes, W pulls",
    .floats = "2 n",
    .staleness = "0",
    .options = &option_set,
    .work = work,
    .serve = serve,
};
