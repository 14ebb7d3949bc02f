/* The inside of the simulated world, for the files sim*.c: its ranks, requests and memory, and what
 * makes it strict.
 *
 * Everything hangs on one struct sim; sim_run() opens and closes it. A rank's code runs as a
 * coroutine: what it calls may stop it in the middle (sim_pause()), and another event's code, or
 * another rank's, runs then. */
#ifndef MESSAGING_SIM_SIM_H
#define MESSAGING_SIM_SIM_H

#include "base/event_queue.h"
#include "base/check.h"
#include "base/coroutine.h"
#include "base/list.h"
#include "messaging/links.h"
#include "messaging/messaging.h"

/* Where a message passes, in order. Each is a port, but for FLIGHT, which is latency and jitter,
 * and THERE, the end. */
enum stage { OUT, HOST_OUT, LINK, FLIGHT, HOST_IN, IN, THERE };

/* One direction of a port. */
struct port {
    double bandwidth;
    double heads_s, free_s; /* when the next head, and the next payload, may start */
};

/* The way from one rank to another. */
struct route {
    struct port *port[THERE]; /* NULL: that stage takes no time */
    double latency_s, jitter_s;
    double copy_bandwidth; /* within a host: of a receive into a buffer; 0: takes no time */
};

/* What is sent to one rank by one (or any) with one tag. The lane of any lists all mail of that
 * tag, in order of arrival. */
struct lane {
    uint64_t key;
    struct lane *any;
    /* receives without a mail, oldest first; messages without a receive */
    struct link posted, messages;
    struct route route;
    double reached_s[THERE +
                     1]; /* when the last message reaches each stage: the next is there no sooner */
};

struct host {
    struct port out, in;
    char name[16];
};

/* Memory to send from, in its rank's list. */
struct block {
    struct link link;
    size_t bytes;
    _Alignas(64) char data[];
};

struct request {
    const struct net_world *world; /* first: messaging/messaging.c looks here */
    struct rank *owner;            /* NULL once dropped; what a wait asks for lies in one line */
    bool sent, done;
    struct event event; /* of a message: it is on its way */
    struct lane *lane;
    struct link queued, any, open; /* in lane->posted or ->messages; in lane->any->messages; in
                                      owner->open, or among the spare */
    struct request *reference;     /* a receive's: the message whose payload it borrows */
    const void *data;              /* where the payload lies */
    void *into;
    size_t capacity;
    uint64_t sum, posted; /* of the payload; order among receives */
    uint64_t number;      /* of a message: among its sender's */
    enum stage stage;     /* of a message: the next one */
    double span_s;        /* of a message: between its first and its last byte, where it is */
    size_t carried;       /* of a message: bytes that are under way with it, its head's too */
    size_t left, ready;   /* while it grows: bytes that no part has taken along; from where on they
                             are final */
    bool grows, part; /* begun and not sealed; ready bytes of such a one, on their way before it */
    double owed_s;    /* of a receive: copying that its owner has not spent yet */
    struct header header;
};

struct rank {
    struct net net;
    _Alignas(64) struct event
        event; /* to be resumed; what this asks for behind each part lies in the same line */
    const double *part; /* what it spends, part by part */
    int parts, passed;
    bool news; /* a request of its was done since it spent parts */
    bool returned;
    struct sim *sim;
    struct request *const *list; /* what it waits for: so many, 0 while it does not wait; the lowest
                                    that is done, listed: none */
    int listed, found;
    struct port out, in;
    struct link open, blocks; /* requests not dropped; memory not given back */
    uint64_t looks, sends;
};

struct sim {
    struct event_queue events;
    struct world_options options;
    void (*body)(struct net *, void *);
    void *argument;
    struct coroutines *coroutines;
    struct rank *ranks;
    struct links links;
    struct host *hosts;
    struct port *pairs;  /* of links.pair[] */
    struct lane **lanes; /* open addressing, a power of two, at most half full */
    size_t lane_count, lane_room;
    struct link spare; /* dropped requests */
    size_t unread;
    uint64_t posted;
};

/* Ends the run (EXIT_WORLD) unless `condition` holds; says when, in simulated time. */
#define STRICT(condition, sim, format, ...)                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(EXIT_WORLD, "simulated, at %.9g s: " format, (sim)->events.now_s, __VA_ARGS__);    \
    } while (0)

void sim_pause(struct rank *rank); /* the rank's coroutine stops until its event comes */
/* done; an owner who waits for it runs next, still at this time */
void sim_complete(struct sim *sim, struct request *request);

/* sim_links.c */
enum {
    /* kinds of events: a rank's, a message's, a message's last byte's */
    RESUME,
    MOVE,
    DELIVER
};
/* after its options and ranks; fatal when they make no sense */
void sim_links_open(struct sim *sim);
void sim_links_close(struct sim *sim);
struct route sim_route(struct sim *sim, int from, int to);
bool sim_takes_time(const struct route *route); /* for more bytes more of it */
/* latency and slowest port, nobody else under way */
double sim_alone_s(struct sim *sim, int from, int to, size_t bytes);
void sim_move(struct sim *sim,
              struct request
                  *message); /* it is where its stage begins: puts down the event that comes next */
int sim_host_of(const struct sim *sim, int rank); /* number of its host */

/* sim_strict.c */
/* for the reports */
const char *sim_describe(const struct sim *sim, const struct request *request, char text[200]);
void sim_count_look(struct rank *rank); /* a look that lets no time pass */
/* its payload is as it was sent */
void sim_verify(const struct sim *sim, const struct request *message);
/* the block that holds these bytes, NULL: none */
struct block *sim_block_of(struct rank *rank, const void *data, size_t bytes);
void *sim_alloc(struct net *net, size_t bytes);
void sim_free(struct net *net, void *data);
void sim_check_returned(const struct rank *rank); /* no request is left open */
void sim_check_end(const struct sim *sim); /* nothing will happen any more: all have returned, every
                                              mail was read */

/* sim_region.c */
struct rma_window *sim_window_open(struct net *net, int owner, void *block, size_t bytes);
void *sim_window_data(struct rma_window *region);
void sim_window_get(struct rma_window *region, void *into, size_t offset, size_t bytes);
void sim_window_add(struct rma_window *region, const float *from, int64_t offset, int64_t count);
void sim_window_close(struct rma_window *region);

#endif
