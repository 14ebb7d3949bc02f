/* What a world implements: one function for each of messaging.h. Private to messaging/.
 *
 * messaging.c checks the arguments before it calls. A request's first member is a pointer to this
 * table, so that net_header() and net_data() need no rank. */
#ifndef MESSAGING_CALLS_H
#define MESSAGING_CALLS_H

#include "messaging/messaging.h"

enum { NET_TAGS = 64, TAG_WORLD = NET_TAGS - 1 }; /* TAG_WORLD: of the barrier and windows */

struct net_window_calls {
    struct rma_window *(*open)(struct net *, int owner, void *block, size_t bytes);
    void *(*data)(struct rma_window *);
    void (*get)(struct rma_window *, void *into, size_t offset, size_t bytes);
    void (*add)(struct rma_window *, const float *from, int64_t offset, int64_t count);
    void (*close)(struct rma_window *);
};

struct net_watch_calls { /* who is there, and goes on */
    double (*since_heard)(struct net *, int rank);
    struct net_vitals (*vitals)(struct net *, int rank); /* NULL: since_heard() is all */
    void (*step)(struct net *); /* net->activity is new, or goes on; NULL: nobody looks */
    void (*set_absent)(struct net *, int rank, bool absent); /* NULL: nobody waits at the end */
};

struct net_model_calls { /* in virtual time alone */
    struct request *(*meet)(struct net *, int first, void *given,
                            void (*together)(void *self, void *const *given, double *at_s),
                            void *self);
    void (*exchange)(struct net *, const struct net_exchange *, double *at_s);
    void (*shift)(struct net *, const struct net_exchange *, double *at_s, double *free_s);
    void (*visit_memory)(struct net *, void (*visit)(void *self, void *block, size_t bytes),
                         void *self);
    void (*memory_replaced)(struct net *);
    uint64_t (*course)(struct net *);
};

struct net_fault_calls { /* in virtual time alone */
    void (*stop)(struct net *, double at_s, double for_s);
    void (*cut)(struct net *, double at_s, double for_s);
};

struct net_calls {
    struct request *(*send)(struct net *, int to, const struct header *header, const void *payload,
                            size_t bytes);
    struct request *(*send_begin)(struct net *, int to, int tag, const void *payload, size_t bytes);
    void (*send_ready)(struct net *, struct request *, size_t from);
    void (*send_commit)(struct net *, struct request *, const struct header *header);
    struct request *(*recv)(struct net *, int from, int tag, void *into, size_t capacity);
    int (*wait)(struct net *, struct request *const *list, int count, double until_s);
    const struct header *(*header)(const struct request *);
    const void *(*data)(const struct request *);
    struct net_passage (*passage)(struct net *, const struct request *);
    const void *(*block)(struct net *, const struct request *,
                         size_t *bytes); /* NULL: none stays */
    void (*release)(struct net *, struct request *);
    double (*now)(struct net *);
    void (*advance)(struct net *, double seconds);
    /* NULL: one part at a time */
    int (*advance_parts)(struct net *, const double *seconds, int count);
    void (*poll)(struct net *);
    void *(*alloc)(struct net *, size_t bytes);
    void (*free)(struct net *, void *);
    struct net_watch_calls watch;
    const char *(*host)(struct net *, int rank);
    struct net_window_calls window;
    /* NULL: this world has none */
    struct request *(*sum)(struct net *, int first, float *vector, int64_t count);
    const struct net_model_calls *model;  /* NULL: this world has none */
    const struct net_fault_calls *faults; /* NULL: this world has none */
};

/* vitals.c: is a rank with these vitals lost, as this one judges? */
bool net_vitals_are_lost(const struct net *net, const struct net_vitals *v);

#endif
