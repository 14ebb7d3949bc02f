/* Which message goes to which receive, and which payloads are referenced by whom.
 *
 * Messages of one tag from one rank meet receives in the order they were sent, and are done in that
 * order, whatever overtakes on the way. A receive is done when matching_publish() says so, never in
 * between; released before that, it is as if it had never been posted, and its message waits for
 * the next one. A send is done when its payload has been released: copied where the receive named a
 * buffer, released where it borrowed. One thread at a time may be in here (the caller's lock). */
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

/* As the functions of messaging.h. A message is counted when its header leaves. */
struct request *matching_send(struct matching *m, int to, const struct header *header,
                              const void *payload, size_t bytes);
struct request *matching_send_begin(struct matching *m, int to, int tag, const void *payload,
                                    size_t bytes);
void matching_send_ready(struct matching *m, struct request *r, size_t from);
void matching_send_commit(struct matching *m, struct request *r, const struct header *header);
struct request *matching_recv(struct matching *m, int from, int tag, void *into, size_t capacity);
void matching_release(struct matching *m, struct request *r);

/* MPI's all-reduce: done when the sum is there. */
struct request *matching_sum(struct matching *m, int first, float *vector, int64_t count);

/* MESSAGE, EARLY, READY or RELEASED has come. */
void matching_handle(struct matching *m, int from, const struct envelope *e);
/* After transport_advance(): looks for payloads that are complete. */
void matching_check_complete(struct matching *m);
void matching_publish(struct matching *m); /* receives whose turn it is are done now */

bool matching_done(const struct request *r);
int matching_references(const struct matching *m); /* payloads that receivers still need */
const struct header *matching_header(const struct request *r);
const void *matching_data(const struct request *r);
struct net_passage matching_passage(const struct matching *m, const struct request *r);

#endif
