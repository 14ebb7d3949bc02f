/* What a rank notes of what it does, for --trace. Private to node/. All do nothing without it, at
 * the cost of a look at a pointer.
 *
 * A change of account (account.c) charges the counters and notes a span, from one reading of the
 * clock. So the spans of a rank add to its counters. */
#ifndef NODE_TRACE_H
#define NODE_TRACE_H

#include "node/node.h"

struct recorder;

/* Collective, before training begins: clocks of other hosts are compared with rank 0's. */
void trace_open(struct node *n);
void trace_begin(struct node *n); /* the clock starts */
void trace_close(struct node *n);

/* That account was open until net_now() showed now_s. */
void trace_account(struct node *n, enum account account, double now_s);
/* This rank waits now, for that. */
void trace_waits(struct node *n, const char *what, int peer);
/* Of the account `from` the time between these, or its newest seconds, went to `to`. */
void trace_moved(struct node *n, enum account from, enum account to, double since_s,
                 double until_s);
void trace_moved_newest(struct node *n, enum account from, enum account to, double seconds);
/* The training clock stood still. */
void trace_stopped(struct node *n, double began_s, double seconds);

/* A mini-batch begins now, which other spans lie in: net_now(). It ends now, done or dropped. */
double trace_minibatch_begins(struct node *n);
void trace_minibatch(struct node *n, double began_s, enum node_flow flow, int worker,
                     int64_t index);

void trace_dropped(struct node *n, double seconds); /* of computing, of finished mini-batches */

/* The run is over: to rank 0. */
void trace_send(struct node *n);
void trace_take(struct node *n, int rank); /* of one that has sent its counters */
/* Rank 0: writes what has come. Of simulated ranks all is there. */
void trace_write(struct node *n);

#endif
