/* Requests and messages of the real world, and the memory that they come from. For matching.c.
 *
 * All come from pools that grow to what a scheme has under way at once: after its first round
 * nothing is allocated. */
#ifndef MESSAGING_MPI_REQUESTS_H
#define MESSAGING_MPI_REQUESTS_H

#include "base/list.h"
#include "messaging/calls.h"
#include "messaging/mpi/transport.h"

enum place {            /* of a message's payload */
             AT_SENDER, /* on another host */
             ARRIVING,
             ARRIVED, /* where `data` points; a message without payload always has */
};

struct buffer { /* memory for a payload of another host that is borrowed */
    void *at;
    size_t bytes;
    bool taken;
};

struct message {
    struct header header;
    enum place place;
    uint32_t reference; /* the sender's number for the payload; 0: nothing to release (any more) */
    int channel;        /* of its pieces: no two live messages share one */
    const void *data;
    struct buffer *buffer; /* ours, where `data` points; else NULL */
    struct moving incoming;
    struct request *receive; /* the one it was matched with */
    struct link link;        /* in the inbox, among the early ones, or in the pool */
};

struct request {
    const struct net_calls *calls; /* first: see calls.h */
    bool sends, in_use;
    bool done;        /* of a receive: published */
    bool open;        /* a send that was begun and is not committed */
    bool released;    /* a send whose payload the receiver needs no more */
    int peer, tag;    /* NET_ANY: any peer */
    uint32_t number;  /* its place in the table */
    struct link link; /* among the posted receives, or in the pool */

    /* a receive */
    void *into;
    size_t capacity; /* a send: bytes of the payload */
    struct message *message;

    /* a send */
    const void *payload;
    size_t ready; /* from here on the payload is final */
    struct moving outgoing;
};

struct pools {
    struct link requests, messages; /* free ones */
    struct request **table; /* all requests, from 1 on: an envelope names a send by number */
    uint32_t numbers, room;
    struct buffer **buffer;
    int buffers, buffer_room;
    int channels; /* given to messages so far */
};

void pools_open(struct pools *p);
void pools_close(struct pools *p); /* requests that are still in use go, too */

struct request *request_new(struct pools *p, const struct net_calls *calls);
void request_free(struct pools *p, struct request *r);
struct request *request_at(const struct pools *p, uint32_t number); /* NULL: none in use */
struct message *message_new(struct pools *p);
void message_free(struct pools *p, struct message *m);

/* The smallest free buffer that is large enough, or a new one. */
struct buffer *buffer_take(struct pools *p, size_t bytes);
void message_give_buffer(struct message *m);

#endif
