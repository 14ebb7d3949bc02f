/* The workers of local SGD, for schemes that differ in what the server makes of their moves. */
#ifndef SCHEME_LOCALSGD_H
#define SCHEME_LOCALSGD_H

#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

/* Rows of options that several of them have, for the field at that offset: int64_t, and doubles. */
#define LOCAL_STEPS(at)                                                                            \
    {                                                                                              \
        .name = "local-steps", .type = OPTION_INT, .offset = at, .preset = "8",                    \
        .placeholder = "H", .help = "mini-batches between exchanges", .least = 1                   \
    }
#define OUTER_LR(at)                                                                               \
    {                                                                                              \
        .name = "outer-lr", .type = OPTION_REAL, .flags = OPTION_ABOVE, .offset = at,              \
        .preset = "0.7", .placeholder = "A", .help = "learning rate of the server's step",         \
        .most = 1e6                                                                                \
    }
#define OUTER_MOMENTUM(at)                                                                         \
    {                                                                                              \
        .name = "outer-momentum", .type = OPTION_REAL, .flags = OPTION_BELOW, .offset = at,        \
        .preset = "0.9", .placeholder = "MU", .help = "Nesterov's momentum of the server's step",  \
        .most = 1                                                                                  \
    }

struct local_worker {
    struct node *n;
    struct ps_client *ps;
    struct optimizer *optimizer; /* its own, which keeps its state */
    float *start;                /* [n->count]; the server's weights, as they were pulled */
};

struct local_worker localsgd_open(struct node *n); /* the first pull is under way */
void localsgd_close(struct local_worker *k);

/* Makes so many steps from the weights that were pulled, each with a mini-batch. */
void localsgd_move(struct local_worker *k, int64_t steps);
void localsgd_push(struct local_worker *k); /* how far they led; then pulls */

/* All of it until training is over: `local_steps` each time, one in the first part `post_local` of
 * the run. */
void localsgd_work(struct node *n, int64_t local_steps, double post_local);

#endif
