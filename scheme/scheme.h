/* The schemes: who sends what to allocation_listener, and when. One file in scheme/ and one line
 * here make a new one.
 *
 * work() runs on a worker, serve() on a server (NULL: the scheme needs none and runs in one
 * process). The flags say what the tests may assume: SYNC the result doesn't depend on delays;
 * EXACT it equals serial SGD on the joint batch to rounding; BOUNDED no gradient is staler than
 * `bound`; DECENTRAL no server holds the weights, rank 0 only watches, and every worker is needed
 * in every update; REPLAYS the order of arrivals makes the run: --record, --replay. */
#ifndef SCHEME_SCHEME_H
#define SCHEME_SCHEME_H

#include "node/node.h"

enum scheme_flags { SYNC = 1, EXACT = 2, BOUNDED = 4, DECENTRAL = 8, REPLAYS = 16 };

/* name, flags, bound on the staleness, messages with a vector an update, floats that a worker sends
 * and receives an update (n: of the weights, W: workers, H: local steps), staleness, rule, paper.
 * --help and the README's table are made from it. */
#define SCHEMES(X)                                                                                 \
    X(serial, SYNC | EXACT | BOUNDED, 0, "none", "0", "0",                                         \
      "one process walks through all workers' batches: w -= rate x mean gradient",                 \
      "Robbins, Monro 1951")                                                                       \
    X(ssgd, SYNC | EXACT | BOUNDED, 0, "W pushes, W pulls", "2 n", "0",                            \
      "every worker a batch, the server waits for all: w -= rate x mean gradient",                 \
      "Chen et al. 2016, arXiv:1604.00981")                                                        \
    X(nbssgd, BOUNDED, 0, "W pushes, W pulls, W - 1 signals", "2 n", "0",                          \
      "the first to finish its batch signals, all push what they have: w -= rate x mean gradient", \
      "He, Dube 2022, arXiv:2211.00889")                                                           \
    X(asgd, REPLAYS, 0, "a push, a pull", "2 n", "about W - 1, unbounded",                         \
      "every push makes an update at once", "Zhang et al. 2016, arXiv:1511.05950")                 \
    X(dcasgd, REPLAYS, 0, "a push, a pull", "2 n", "about W - 1, compensated",                     \
      "asgd, stale gradients corrected by how far the weights have moved",                         \
      "Zheng et al. 2017, arXiv:1609.08326")                                                       \
    X(downpour, REPLAYS, 0, "a push; a pull every n_fetch batches", "n + n n_push / n_fetch",      \
      "unbounded", "workers move on their own, push every n_push batches, fetch every n_fetch",    \
      "Dean et al. 2012")                                                                          \
    X(hogwild, 0, 0, "none: loads and stores", "0 on one host", "about W - 1, unbounded",          \
      "all write the same weights without any lock", "Niu et al. 2011, arXiv:1106.5730")           \
    X(ssp, REPLAYS, 0, "a push, at most a pull", "n to 2 n", "at most s batches",                  \
      "every push an update; nobody is more than s batches ahead of the slowest",                  \
      "Ho et al. 2013")                                                                            \
    X(backup, BOUNDED | REPLAYS, 0, "W pushes, W pulls", "2 n", "0",                               \
      "ssgd of the first W - b workers, late gradients are dropped",                               \
      "Chen et al. 2016, arXiv:1604.00981")                                                        \
    X(rennala, BOUNDED, 0, "S pushes, W heads that ask, W pulls", "n a mini-batch + n", "0",       \
      "an update from the first S mini-batches at its version, from whomever",                     \
      "Tyurin, Richtarik 2023, arXiv:2305.12387")                                                  \
    X(anytime, BOUNDED, 0, "W pushes, W pulls", "2 n", "0",                                        \
      "every worker computes for the same time and gives what it has finished",                    \
      "Ferdinand et al. 2019, arXiv:2006.05752")                                                   \
    X(localsgd, SYNC | BOUNDED, 0, "W pushes, W pulls", "2 n every H mini-batches", "0",           \
      "H local steps, then the mean of all weights", "Stich 2019, arXiv:1805.09767")               \
    X(easgd, REPLAYS, 0, "a push, a pull", "2 n every H mini-batches", "local gradients",          \
      "local steps, and an elastic force between each worker and a centre",                        \
      "Zhang et al. 2015, arXiv:1412.6651")                                                        \
    X(eamsgd, REPLAYS, 0, "a push, a pull", "2 n every H mini-batches", "local gradients",         \
      "easgd with Nesterov's momentum at the workers", "Zhang et al. 2015, arXiv:1412.6651")       \
    X(allreduce, SYNC | EXACT | BOUNDED | DECENTRAL, 0, "2 W (W - 1) slices", "4 n (W - 1) / W",   \
      "0", "workers sum their gradients among themselves, without a server",                       \
      "Goyal et al. 2017, arXiv:1706.02677")                                                       \
    X(eager, DECENTRAL, 0, "2 W (W - 1) slices, W - 1 signals", "4 n (W - 1) / W",                 \
      "mostly 0 or 1, unbounded",                                                                  \
      "all-reduce as soon as one has finished, late gradients go into the next",                   \
      "Li et al. 2020, arXiv:1908.04207")

struct scheme {
    const char *name;
    unsigned flags;
    int bound;
    const char *messages, *floats, *staleness, *rule, *paper;
    void (*work)(struct node *n);
    void (*serve)(struct node *n);
};

#define SCHEME_DECLARE(name, ...)                                                                  \
    void name##_work(struct node *n);                                                              \
    void name##_serve(struct node *n);
SCHEMES(SCHEME_DECLARE)
#undef SCHEME_DECLARE

extern const struct scheme schemes[]; /* ends with a NULL name */

const struct scheme *scheme_find(const char *name); /* fatal when unknown, naming the nearest */

#endif
