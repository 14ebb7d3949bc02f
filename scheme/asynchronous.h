/* What asynchronous schemes share: learning rates by the age of a gradient or the speed of its
 * worker, and momentum of each worker's own at the server. */
#ifndef SCHEME_ASYNCHRONOUS_H
#define SCHEME_ASYNCHRONOUS_H

#include "base/options.h"
#include "parameter_server/parameter_server.h"

/* --- --stale-lr --- */

#define STALE_LR "plain|inverse|adaptive|rescaled"

/* Where gradients are scaled in place of a rate: fatal when the optimizer would undo that. */
void stale_lr_check(const char *kind, const struct options *o);

/* Is a push to be scaled in place of its rate? A shared momentum carries a gradient on, as it was
 * given, at the rates of later pushes. So rescaled, which is about a gradient's whole weight,
 * scales the gradient there. inverse and adaptive are about steps: the whole step has their rate.
 */
bool stale_lr_scales_gradients(const char *kind, const char *server_momentum,
                               const struct options *o);

/* Fatal where rescaled could not weigh workers alike: shared moments carry gradients on, too, and
 * undo what scales them; --clip would undo it, as well. */
void stale_lr_check_shared(const char *kind, const char *server_momentum, const struct options *o);

struct stale_lr;

struct stale_lr *stale_lr_open(struct node *n, const char *kind); /* `kind`: one of STALE_LR */
void stale_lr_close(struct stale_lr *s);

/* For each push, once, in their order: its rate / the schedule's. s: its staleness.
 *   inverse    1 / max(1, s): Zhang, Gupta, Lian, Liu 2016, arXiv:1511.05950, equation 6
 *   adaptive   W / max(W, s), delay-adaptive asgd: Mishchenko, Bach, Even, Woodworth 2022,
 *              arXiv:2206.07638
 *   rescaled   tau_i / mean of tau, Rescaled asgd, arXiv:2605.13434: over a cycle every worker has
 *              the same weight, however fast it is. tau_i, the time between two pushes of worker i,
 *              is counted in pushes of all, which a replay repeats, and is the mean since its first
 *              push. The mean is over the workers that are there and have pushed twice; until a
 *              worker has, its factor is 1. So at equal speeds all factors are 1 */
double stale_lr_at(struct stale_lr *s, const struct push *a);
void stale_lr_departed(struct stale_lr *s, int worker);

/* --- --server-momentum --- */

/* The row of the option; `at`: where the struct has the const char * */
#define SERVER_MOMENTUM(at)                                                                        \
    {                                                                                              \
        .name = "server-momentum", .type = OPTION_CHOICE, .offset = at, .preset = "shared",        \
        .choices = "shared|worker",                                                                \
        .help = "what the optimizer remembers: one state for all pushes, or one for each worker's" \
    }

/* Fatal where `worker` means nothing. */
void server_momentum_check(const char *value, const struct options *o);
/* What is pushed meets that worker's own optimizer, where `value` says so. Cost: the rule's state
 * of the slice, W times. Multi-ASGD of Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612. */
void server_momentum_open(const char *value, struct ps_server *ps);

#endif
