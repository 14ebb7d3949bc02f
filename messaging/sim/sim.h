/* The inside of the simulated world, for the files of messaging/sim/: its ranks, requests and
 * memory, and what makes it strict.
 *
 * Everything hangs on one struct sim; sim_run() opens and closes it. A rank's code runs as a
 * coroutine: what it calls may stop it in the middle (sim_pause()), and another event's code, or
 * another rank's, runs then. */
#ifndef MESSAGING_SIM_SIM_H
#define MESSAGING_SIM_SIM_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/coroutine.h"
#include "base/event_queue.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/slabs.h"
#include "messaging/calls.h"
#include "messaging/links.h"

/* Where a message passes: ports before its flight, which is latency and jitter, and after it. */
enum stage { OUT, HOST_OUT, LINK, HOST_IN, IN, STAGES };

struct link_port {               /* one direction of a rank's, a host's or a pair's link */
    double bandwidth;            /* as it is now, */
    double whole;                /* and where nothing slows it */
    const struct net_link *link; /* of a rank's port; NULL */
    double heads_s;              /* headers alone have it until then */
    double counted_s;            /* when the clocks of its parts were set */
    int lanes;                   /* that have bytes here */
    struct port_part *parts;     /* the one whose lanes can take least first */
    struct port_part *next;      /* the one whose message is through next ... */
    struct event event;          /* ... then; NULL: then its bandwidth is another one */
};

struct port_part { /* the lanes at a port that can take equally much of it */
    struct link_port *port;
    struct port_part *after;
    double most;      /* bytes per second that a lane can take: the narrowest port on its way */
    double bandwidth; /* each has bandwidth / among */
    int among, lanes;
    /* Messages by the bytes that their lane will have got when they are through. Its clock counts
     * the bytes that each lane has got since there was last none. */
    struct event_queue queue;
};

struct route {                      /* the way from one rank to another */
    struct port_part *part[STAGES]; /* NULL: that stage takes no time */
    double latency_s, jitter_s;
    double copy_bandwidth; /* within a host: of a receive into a buffer; 0: takes no time */
};

struct turn {       /* of a lane at a port */
    double through; /* on the clock of the queue: its last message is */
    int messages;   /* that have bytes here */
};

/* All that one rank (or any) sends to one rank with one tag. The lane of any lists all messages of
 * that tag, in order of arrival. One without users has nothing under way, and so no state: it may
 * be dropped and made again. */
struct lane {
    struct lane *any;
    int users;             /* requests, and the lanes whose `any` it is */
    struct link idle;      /* in sim->idle, when it was dropped */
    struct link posted;    /* receives without a message, oldest first */
    struct link messages;  /* messages without a receive */
    struct link under_way; /* messages on the links, in the order they were sent */
    struct route route;
    struct turn turn[STAGES];
    double arrives_s; /* the last message's first byte; the next one's is there no sooner */
};

struct lane_slot {
    uint64_t key;
    struct lane *lane; /* NULL: empty */
};

struct host {
    struct link_port out, in;
    char name[16];
};

struct block { /* memory to send from, in its rank's list */
    struct link link;
    size_t bytes;
    _Alignas(64) char data[];
};

struct transit {     /* a message under way */
    size_t bytes;    /* that travel with it, its header's too */
    double flight_s; /* latency and jitter */
    double last_s;   /* its last byte is there no sooner */
    int ports;       /* that have bytes of it */
    bool arrived;    /* its first byte is at the receiver's ports */
    bool there;      /* its last byte is, too */
};

struct early {    /* a send that was begun before its payload was ready */
    size_t left;  /* bytes that no part has taken along */
    size_t ready; /* from where on they are final */
    bool open;    /* begun and not committed */
    bool part;    /* itself only ready bytes of such a one */
    bool access;  /* bytes of a window: no latency, and nobody receives them */
};

struct request {
    const struct net_calls *calls; /* first: see calls.h */
    struct rank *owner;            /* NULL once released; what a wait asks for lies in one line */
    bool sent, done;
    struct event event; /* of a message: it is on its way */
    struct lane *lane;
    struct link queued;        /* in lane->posted, lane->under_way or lane->messages */
    struct link any;           /* in lane->any->messages */
    struct link open;          /* in owner->open, or among the spare */
    struct request *reference; /* of a receive: the message whose payload it borrows */
    const void *data;          /* where the payload lies */
    void *into;
    size_t capacity;
    uint64_t sum;     /* of the payload */
    struct link same; /* messages under way with this very payload: they share the sum */
    uint64_t posted;  /* order among receives */
    uint64_t number;  /* of a message: among its sender's */
    struct transit transit;
    struct early early;
    double owed_s;      /* of a receive: copying that its owner has not let pass yet */
    double delivered_s; /* of a message; INFINITY: it is on its way */
    struct header header;
    bool has_ends;
    struct event
        end[]; /* [STAGES] if it has: of bytes at that stage's port; its kind is the stage */
};

/* Time that a rank lets pass, part by part. One event stands for the ends of all parts: it is put
 * down for the last one, and moved to the next one when a request is done. */
struct parts {
    const double *part;
    int parts, passed; /* passed: when the event comes */
    double began_s;
    uint64_t order; /* among events, of all ends of its parts */
    bool news;      /* a request of its was done since the last call returned */
};

struct waiting { /* for one of `listed` requests; 0: the rank does not wait */
    struct request *const *list;
    int listed;
    int found; /* the lowest that is done; `listed`: none */
};

struct outage {              /* the last one */
    double since_s, until_s; /* INFINITY: for good; 0, 0: there was none */
};

struct rank {
    struct net net;
    /* To be resumed; what is asked for after each part lies in the same cache line. */
    _Alignas(64) struct event event;
    struct parts advance;
    bool returned;
    struct sim *sim;
    struct waiting wait;
    struct link_port out, in;
    struct link open, blocks; /* requests not released; memory not freed */
    struct request *latest;   /* message under way with a payload, the last one sent; or NULL */
    uint64_t looks, sends;
    struct outage stopped, cut; /* itself; its link */
};

struct meeting {     /* the next one */
    int first, here; /* of the ranks from `first` on, so many are here */
    /* [ranks], in the order of ranks */
    struct request **request;
    void **given;
    double *at_s;
};

struct hops {                  /* from each rank to the next one */
    double *flight_s, *byte_s; /* of a message, and for each of its bytes */
    double *come_s;            /* scratch */
};

struct sim_watch { /* watch.c: that the process goes on */
    bool runs;
    pthread_t thread;
    struct latch stop;
    double deadline_s;
    _Atomic uint64_t beats;           /* events, and steps of ranks */
    _Atomic(const struct net *) busy; /* whose step was the last one, if it is busy; NULL */
};

struct sim {
    struct event_queue events;
    struct world_options options;
    void (*body)(struct net *, void *);
    void *argument;
    struct coroutines *coroutines;
    struct rank *ranks;
    bool *absent; /* [ranks] net_set_absent()'s, of any rank */
    struct links links;
    struct host *hosts;
    int host_count;
    struct link_port *pairs; /* of links.pair[] */
    struct lane_slot *lanes; /* open addressing, a power of two, at most half full */
    size_t lane_count, lane_room;
    struct link idle;     /* lanes that were dropped */
    struct link spare[2]; /* released requests, without and with ends */
    struct slabs slabs;   /* where requests and lanes lie */
    size_t unread;
    uint64_t posted;
    uint64_t expired; /* waits that ended by their time since a message was sent */
    struct meeting meeting;
    struct hops *hops; /* model.c: NULL: not asked for yet */
    struct sim_watch watch;
};

/* Ends the run (EXIT_WORLD) unless `condition` holds; says when, in simulated time. */
#define STRICT(condition, sim, format, ...)                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(EXIT_WORLD, "simulated, at %.9g s: " format, (sim)->events.now_s, __VA_ARGS__);    \
    } while (0)

/* sim.c */
void sim_hear(struct sim *sim, struct rank *rank); /* a request of its was done */
void sim_pause(struct rank *rank); /* the rank's coroutine stops until its event comes */
/* What the rank lets pass takes so much longer (INFINITY: nothing comes of it); nothing, if it
 * waits. */
void sim_postpone(struct rank *rank, double by_s);

/* lanes.c */
void sim_lanes_open(struct sim *sim);
void sim_lanes_close(struct sim *sim);
struct lane *sim_lane(struct sim *sim, int to, int from, int tag); /* made when there is none */

/* messages.c: the calls of messaging.h, and */
void sim_requests_open(struct sim *sim);
/* lane NULL: of no message; has_ends: of one with payload */
struct request *sim_request(struct rank *rank, struct lane *lane, bool has_ends);
/* The request is done; an owner that waits for it runs next, still at this time. */
void sim_complete(struct sim *sim, struct request *request);
/* The last byte of a message is there. */
void sim_deliver(struct sim *sim, struct request *message);
/* The payload that this receive borrows, if any, is its sender's again. */
void sim_release_payload(struct sim *sim, struct request *receive);
struct request *sim_send(struct net *net, int to, const struct header *header, const void *payload,
                         size_t bytes);
struct request *sim_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes);
void sim_send_ready(struct net *net, struct request *message, size_t from);
void sim_send_commit(struct net *net, struct request *message, const struct header *header);
/* Bytes of a window pass the ports from rank `from` to rank `to`, one of which is this one; returns
 * when they have. */
void sim_access(struct net *net, int from, int to, size_t bytes);
struct request *sim_recv(struct net *net, int from, int tag, void *into, size_t capacity);
const struct header *sim_header(const struct request *request);
const void *sim_data(const struct request *request);
struct net_passage sim_passage(struct net *net, const struct request *request);
void sim_release(struct net *net, struct request *request);

/* ports.c */
void sim_port_open(struct link_port *port, double bandwidth);
void sim_port_close(struct link_port *port);
/* of lanes that can take `most` bytes per second; made when there is none */
struct port_part *sim_port_part(struct link_port *port, double most);
/* A header alone is at the port; returns when it is through. */
double sim_port_head(struct sim *sim, struct link_port *port, size_t bytes);
/* A payload is at the port; sim_passed() will be called. */
void sim_port_join(struct sim *sim, struct port_part *part, struct request *message,
                   enum stage stage);
void sim_port_renew(struct sim *sim, struct link_port *port); /* its bandwidth may have changed */
void sim_port_pass(struct sim *sim, struct link_port *port);  /* its event has come */

/* links.c */
enum {
    RESUME, /* kinds of events: a rank goes on, */
    MET,    /* goes on from a meeting, */
    PASS,   /* a message is through a port, */
    ARRIVE, /* its first byte is at the receiver's ports, */
    FINISH, /* its last byte is there, */
    STOP,   /* a rank stops, */
    CUT     /* its link is down */
};
/* after its options and ranks; fatal when they make no sense */
void sim_links_open(struct sim *sim);
void sim_links_close(struct sim *sim);
struct route sim_route(struct sim *sim, int from, int to);
bool sim_takes_time(const struct route *route); /* for more bytes more of it */
/* The message sets out; sim_deliver() will be called. */
void sim_set_out(struct sim *sim, struct request *message);
/* The message is through the port of that stage. */
void sim_passed(struct sim *sim, struct request *message, enum stage stage);
/* An event of links.c or ports.c has come. */
void sim_links_event(struct sim *sim, struct event *event);
int sim_host_of(const struct sim *sim, int rank); /* number of its host */

/* faults.c */
void sim_stop(struct net *net, double at_s, double for_s);
void sim_cut(struct net *net, double at_s, double for_s);
void sim_outage_event(struct sim *sim, struct event *event); /* STOP or CUT has come */
bool sim_is_stopped(const struct sim *sim, const struct rank *rank);
bool sim_is_dead(const struct rank *rank);
bool sim_is_lost(const struct sim *sim, int rank); /* dead or absent: nobody waits for it */
void sim_set_absent(struct net *net, int rank, bool absent);
void sim_end_lost(struct sim *sim); /* rank 0 has returned: who is stopped or absent is ended */
double sim_cut_s(const struct sim *sim, int from, int to); /* for how long that link is down yet */
double sim_since_heard(struct net *net, int rank);

/* strict.c */
/* for the reports */
const char *sim_describe(const struct sim *sim, const struct request *request, char text[200]);
uint64_t sim_sum(const struct sim *sim, const struct request *message); /* of its payload */
void sim_count_look(struct rank *rank);    /* a look that lets no time pass */
void sim_count_expired(struct rank *rank); /* a wait that has ended by its time */
/* Its payload is as it was sent. */
void sim_verify(const struct sim *sim, const struct request *message);
/* the block that holds these bytes, NULL: none */
struct block *sim_block_of(struct rank *rank, const void *data, size_t bytes);
void *sim_alloc(struct net *net, size_t bytes);
void sim_free(struct net *net, void *data);
void sim_check_returned(const struct rank *rank); /* no request is left open */
/* Nothing will happen any more: all have returned, every message was read. */
void sim_check_end(const struct sim *sim);

/* course.c */
void sim_visit_memory(struct net *net, void (*visit)(void *self, void *block, size_t bytes),
                      void *self);
void sim_memory_replaced(struct net *net);
uint64_t sim_course(struct net *net);

/* watch.c */
void sim_watch_begin(struct sim *sim); /* nothing without a deadline */
void sim_watch_end(struct sim *sim);
void sim_step(struct net *net);
static inline void sim_beat(struct sim_watch *w) /* by the program's thread alone */
{
    uint64_t beats = atomic_load_explicit(&w->beats, memory_order_relaxed);
    atomic_store_explicit(&w->beats, beats + 1, memory_order_relaxed);
}

/* meeting.c, model.c */
struct request *sim_meet(struct net *net, int first, void *given,
                         void (*together)(void *self, void *const *given, double *at_s),
                         void *self);
void sim_meetings_close(struct sim *sim);
void sim_model_close(struct sim *sim);
void sim_model_exchange(struct net *net, const struct net_exchange *e, double *at_s);
void sim_model_shift(struct net *net, const struct net_exchange *e, double *at_s, double *free_s);

/* rma_window.c */
struct rma_window *sim_window_open(struct net *net, int owner, void *block, size_t bytes);
void *sim_window_data(struct rma_window *window);
void sim_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes);
void sim_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count);
void sim_window_close(struct rma_window *window);

#endif
