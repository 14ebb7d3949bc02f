/* Which message goes to which receive, and who owes allocation_listener: requests, messages that
 * nobody has asked for yet, payloads on reference.
 *
 * Messages of one tag from one rank meet receives in the order they were sent, and are done in that
 * order, whatever overtakes on the way. A receive is done when matching_publish() says so, never in
 * between; dropped before that, it is as if it had never been posted, and its message waits for the
 * next one. A send is done when its payload has been released: copied where the receive named a
 * buffer, dropped where it borrowed. One thread at a time may be in here (the caller's lock). */
#ifndef MESSAGING_MPI_MATCHING_H
#define MESSAGING_MPI_MATCHING_H

#include "messaging/mpi/envelope.h"
#include "messaging/mpi/segment.h"
#include "messaging/mpi/transport.h"

struct matching;

/* local[rank]: reached through the segment, else over the transport. All is borrowed until
 * matching_close(). */
struct matching *matching_open(struct net *net, struct segment *segment,
                               struct transport *transport, const bool *local);
void matching_close(struct matching *m);

/* A message is counted when its head leaves. */
struct request *matching_send(struct matching *m, int to, const struct header *head,
                              const void *payload, size_t bytes);
struct request *matching_begin(struct matching *m, int to, int tag, const void *payload,
                               size_t bytes);
/* NULL: net_send_ready(); else net_send_commit() */
void matching_grow(struct matching *m, struct request *r, size_t from, const struct header *head);
struct request *matching_recv(struct matching *m, int from, int tag, void *into, size_t capacity);
/* MPI's all-reduce: done when the sum is there */
struct request *matching_sum(struct matching *m, int first, float *vector, int64_t count);
void matching_drop(struct matching *m, struct request *r);

/* MESSAGE, EARLY, READY or RELEASED has come */
void matching_hear(struct matching *m, int from, const struct envelope *e);
/* after transport_advance(): looks for payloads that are complete */
void matching_settle(struct matching *m);
void matching_publish(struct matching *m); /* receives whose turn it is are done now */

bool matching_done(const struct request *r);
int matching_loans(const struct matching *m); /* sends that are not done */
const struct header *matching_header(const struct request *r);
const void *matching_data(const struct request *r);

#endif
