/* All that a scheme knows of the outside world: messages, time, and how to wait.
 *
 * A rank lives in one of two worlds (worlds[], below). A message is a header of fixed size, copied
 * when it is sent, and a payload, borrowed until the send's request is done. Payloads are sent from
 * memory of net_alloc() only. A receive names a buffer, or borrows the payload where it lies: on
 * one host that is the sender's own memory, and nothing is copied. net_release() gives it back;
 * only then is the sender's request done. Two messages of one tag from one rank arrive in the order
 * in which they were sent; nothing else is ordered. Nobody sends to itself.
 *
 * What no world could carry out (no such rank or tag, a payload too long) ends the program with
 * EXIT_WORLD and names the message. A rank is used by one thread. */
#ifndef MESSAGING_MESSAGING_H
#define MESSAGING_MESSAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "messaging/links.h"

enum { NET_ANY = -1, HEADER_BODY = 64 /* bytes */ };

struct header {
    int32_t from, to;       /* ranks; set by the world */
    int32_t tag;            /* 0 .. 62; what it is */
    int32_t flags;          /* the tag's business */
    int64_t version;        /* of the weights that the sender worked on, or sends */
    int64_t count;          /* one number, for a message that needs no body */
    char body[HEADER_BODY]; /* a struct of the tag's own: header_pack(), header_unpack() */
    double sent_s;          /* set by the world: the sender's net_now() */
    uint64_t bytes;         /* of the payload; set by the world */
};

/* Copy the struct `message` into the body of `header` (a pointer), or out of it. Sender and
 * receiver must name the same type; the rest of the body stays as it is. */
#define header_pack(header, message)                                                               \
    do {                                                                                           \
        _Static_assert(sizeof(message) <= HEADER_BODY, "longer than the body of a header");        \
        memcpy((header)->body, &(message), sizeof(message));                                       \
    } while (0)
#define header_unpack(header, message)                                                             \
    do {                                                                                           \
        _Static_assert(sizeof(message) <= HEADER_BODY, "longer than the body of a header");        \
        memcpy(&(message), (header)->body, sizeof(message));                                       \
    } while (0)

struct request; /* a send or a receive under way; the world's own */

struct rma_window { /* memory of one rank that the others reach; the world's own fields follow */
    struct net *net;
    int owner;
    size_t bytes;
};

struct crowd { /* a host whose ranks outnumber its cores */
    const char *host;
    int ranks, cores;
};

/* What slows the link of a simulated rank to other hosts now and then. NULL: nothing does. */
struct net_link {
    void *owner;
    /* A payload with that tag sets out, from this rank or to it: seconds by which it is late. */
    double (*on_payload)(void *owner, int tag);
    /* What the link's bandwidth is divided by now, and for how long at least. */
    double (*divisor)(void *owner, double *for_s);
    /* A message of this rank's sets out, on any link: seconds by which it is late. */
    double (*on_message)(void *owner, const struct header *header);
};

/* What a rank does: how the others judge it, and what they name it by. */
enum net_pace {
    NET_STEPS,  /* it computes, and gives many steps within a deadline */
    NET_SLEEPS, /* until a time that will come */
    NET_WAITS,  /* for other ranks: the blame is theirs */
    NET_BUSY    /* it is in a call that cannot say how far it is: a disk, a library */
};

struct net_activity {
    enum net_pace pace;
    char what[32];      /* "mini-batch", "evaluation"; NET_WAITS: what for */
    int64_t number, of; /* mini-batch 12; evaluation 3 of 79; 0: there is none */
};

struct net_vitals {               /* signs that another rank gives */
    double silent_s;              /* since its last heartbeat; INFINITY: it is known to be dead */
    double still_s;               /* without a step, at least; its heart may beat meanwhile */
    int64_t process;              /* its number on its host; 0: it is none */
    struct net_activity activity; /* the last one known */
};

/* Who watches the requests of a rank, for a trace: each time that net_wait() returned one, and
 * before it is released. */
struct net_observer {
    void *owner;
    void (*returned)(void *owner, const struct request *request);
    void (*released)(void *owner, const struct request *request);
};

struct net {                       /* one rank */
    const char *world;             /* its name */
    const struct net_calls *calls; /* the functions below as this world has them */
    void *self;                    /* the world's own */
    int rank, ranks;
    int local_rank;     /* its number among the ranks of its host: 0, 1, .. */
    int cores;          /* of the host that fall to this rank, at least 1 */
    struct crowd crowd; /* rank 0: the first such host; of none: NULL */
    bool gpu_aware;     /* net_sum() takes memory of a GPU, too */
    bool virtual_time;  /* time is a number: computing must be accounted for by net_advance() */
    double deadline_s;  /* a rank that gives no sign for so long is lost; INFINITY: none is */
    struct net_activity activity; /* net_act()'s */
    const bool *absent;           /* [ranks] net_set_absent()'s; NULL: none is */
    size_t piece;                 /* bytes in which payloads move, where that takes time */
    struct net_link link;
    const struct net_observer *observer; /* NULL: nobody watches */
    /* Headers and payloads of this rank, counted by the world. */
    int64_t sent_bytes, received_bytes, sent_messages, received_messages;
    int64_t moved_bytes; /* simulated: payloads to and from other hosts */

    /* Called with each block of net_alloc(): after it was made, and before it is freed. NULL: no
     * device copies from it. */
    void (*register_memory)(void *owner, void *block, size_t bytes);
    void (*unregister_memory)(void *owner, void *block);
    void *memory_owner;
};

/* Sends `header` and `bytes` of payload (NULL and 0: the header alone) to rank `to`. Returns the
 * request to wait for and release; NULL when there is nothing to wait for (a header alone). */
struct request *net_send(struct net *net, int to, const struct header *header, const void *payload,
                         size_t bytes);

/* The same for a payload that becomes ready from its end down, as a gradient does in backward.
 * begin; then ready, any number of times: its bytes from `from` on are final (`from` never rises);
 * then commit with its header: all are. To others it is a message sent by the commit; but between
 * hosts the pieces that are ready move before. What is not ready yet may be written to. */
struct request *net_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes);
void net_send_ready(struct net *net, struct request *request, size_t from);
void net_send_commit(struct net *net, struct request *request, const struct header *header);

/* Posts a receive of the next message with `tag` from rank `from` (or NET_ANY): into the `capacity`
 * bytes at `into`, or, with NULL, borrowed: see net_data(). */
struct request *net_recv(struct net *net, int from, int tag, void *into, size_t capacity);

/* Waits until a request of the list is done or the clock shows until_s. Returns its index (the
 * lowest one), or -1 when the time is up. NULLs are skipped. until_s: 0 only looks, INFINITY waits
 * without limit. Messages move on meanwhile. */
int net_wait(struct net *net, struct request *const *list, int count, double until_s);

/* Of a receive that is done: its header, and where its payload lies until net_release(). */
const struct header *net_header(const struct request *request);
const void *net_data(const struct request *request);

/* When what a request stands for was on its way, of net_now(). A receive that is done: from when
 * its message was sent. A send: until its payload was at the receiver, INFINITY as long as it is
 * not known to be; in the real world until its last piece was handed over, and within a host it
 * lies there at once. Others: never. */
struct net_passage {
    double begun_s, ended_s;
};

struct net_passage net_passage(struct net *net, const struct request *request);

/* The sender's whole block that holds a borrowed payload, if it stays readable here until the
 * world's end (ranks of one host); else NULL. */
const void *net_block(struct net *net, const struct request *request, size_t *bytes);

/* Ends a request: a borrowed payload goes back; a receive without a message is cancelled; a send
 * must be done. NULL is fine. */
void net_release(struct net *net, struct request *request);

double net_now(struct net *net);                   /* seconds since the world's start */
void net_advance(struct net *net, double seconds); /* lets time pass; messages move on */

/* Lets `count` times pass, one after the other, and returns how many did: it ends early, after at
 * least one, when a request of this rank was done since the last such call had returned. */
int net_advance_parts(struct net *net, const double *seconds, int count);

/* Lets messages move on, and is a heartbeat. Cheap: call it often while computing. */
void net_poll(struct net *net);

/* Memory to send from, zeroed, 64-byte aligned; the ranks of one host read it in place. */
void *net_alloc(struct net *net, size_t bytes);
void net_free(struct net *net, void *block);

const char *net_host(struct net *net, int rank); /* where it runs */

/* ---- who is lost
 *
 * A rank's heart beats by a thread of its own, once a second, whatever the rank does. So it stops
 * only with the whole process. A step is the program's: it says that the rank itself goes on. */

/* Seconds since that rank's last heartbeat; INFINITY when it is known to be dead. */
double net_since_heard(struct net *net, int rank);
struct net_vitals net_vitals(struct net *net, int rank);

/* From now on this rank does that, which is a step. Returns what it did, to go back to. */
struct net_activity net_act(struct net *net, struct net_activity activity);
void net_step(struct net *net); /* it goes on with that. Costs a look at the clock */

enum {
    NET_BUSY_DEADLINES = 10, /* for so many deadlines a busy rank is believed */
    NET_WHY = 240            /* bytes for words about a rank */
};

/* Is that rank lost? `why` says it in words ("rank 2 on node4 sent no heartbeat for 61 s (process
 * 4711, mini-batch 12)"). Lost is who is dead, whose heart has not beaten for a deadline, who
 * computes and gave no step for a deadline, and who is busy for ten. All but rank 0 give each
 * `grace_s` more: rank 0 speaks first, and says what is kept. */
bool net_is_lost(struct net *net, int rank, char why[NET_WHY]);

/* Does no rank go on? All wait, and have done nothing else for a deadline. Those that are dead or
 * where left_out[rank] (NULL: none) do not count. `why` names what the first of them wait for. */
bool net_is_stuck(struct net *net, const bool *left_out, char why[2 * NET_WHY]);

/* Waits for a request that rank `from` has to satisfy, and releases nothing. When that rank is
 * lost, or nobody goes on, the run ends (EXIT_SILENT); `what` says what was waited for. */
void net_await(struct net *net, struct request *request, int from, const char *what);

/* That rank is not waited for any more, not even at the world's end: if it has not come back by
 * then, it is ended with the run. `absent` false: it has come back. */
void net_set_absent(struct net *net, int rank, bool absent);

/* All wait for all; a star over rank 0, two headers per rank. Tag 63 is reserved for it, and for
 * the opening of windows. */
void net_barrier(struct net *net);

/* Memory of one rank that all others read and write without asking and without any order (Niu et
 * al. 2011: Hogwild). Opening and closing are collective, in one order. `block`: the owner's, of
 * net_alloc(); NULL elsewhere. */
struct rma_window *net_window_open(struct net *net, int owner, void *block, size_t bytes);
void net_window_close(struct rma_window *window);

/* Where this rank loads and stores it directly; NULL on another host. A float is read and written
 * whole; when two ranks change one float at a time, one change may be lost. */
void *net_window_data(struct rma_window *window);

/* Copies `bytes` from `offset` (bytes) on; what others write meanwhile may be seen in part. */
void net_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes);

/* Adds `count` floats from `offset` (floats) on, each atomically among all net_window_add(); done
 * at the owner on return. From another host the owner takes part: it must wait, compute or
 * net_poll(). Zeros cost least. */
void net_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count);

/* Begins a sum over the ranks `first` and up, in place, by the library's own all-reduce, if the
 * world has one; called by all of these ranks, one at a time. The vector is the world's until the
 * request is done; where net->gpu_aware it may lie on a GPU. */
bool net_can_sum(const struct net *net);
struct request *net_sum(struct net *net, int first, float *vector, int64_t count);

/* ---- in virtual time alone
 *
 * Many messages at once, at the time that they would take: a thousand ranks that exchange a vector
 * send millions of messages. Here they meet instead, what they would have computed is computed
 * once, and each goes on when it would have. */

bool net_can_meet(const struct net *net);

/* The ranks `first` and up meet, in one order. When the last one has called, its `together` runs:
 * given[] is what each gave, at_s[] when each called; it sets at_s[] to when each goes on, not
 * before now. Then that rank's request is done, and it may call again. */
struct request *net_meet(struct net *net, int first, void *given,
                         void (*together)(void *self, void *const *given, double *at_s),
                         void *self);

struct net_exchange { /* among the ranks `first` and up */
    int first;
    const size_t *from_bytes, *to_bytes; /* [ranks - first] */
    /* [ranks - first] from then on each sends to_bytes[sender] to each other one, too; NULL: no */
    const double *answers_s;
};

/* Each sends each other one a message at at_s[], with from_bytes[sender] + to_bytes[receiver] of
 * payload (0: a header alone). Sets at_s[] to when each has got all of its messages. Links are as
 * elsewhere; that the messages of many meet each other is taken as one flow a port. */
void net_model_exchange(struct net *net, const struct net_exchange *e, double *at_s);

/* Each sends the next one a message at at_s[], the last one the first, with from_bytes[sender] of
 * payload. Sets at_s[] to when each has got its message. Nothing else is under way but what an
 * earlier shift left at the senders' ports, which are free at free_s[]. */
void net_model_shift(struct net *net, const struct net_exchange *e, double *at_s, double *free_s);

/* A run that is gone through again up to some point has blocks and messages as it had them then,
 * and what lay in the blocks can be put there. */

/* Calls visit(self, block, bytes) for each block that this rank has of net_alloc(), in the order in
 * which they were made. */
void net_visit_memory(struct net *net, void (*visit)(void *self, void *block, size_t bytes),
                      void *self);
/* Other bytes were put into the blocks of all ranks, payloads that are under way among them. */
void net_memory_replaced(struct net *net);
/* Of what has happened so far, to all ranks, but for the bytes of payloads: equal in two runs if
 * they took one course. */
uint64_t net_course(struct net *net);

/* ---- in virtual time alone: what befalls this rank
 *
 * At a time that lies behind it happens as soon as this rank waits or lets time pass. Two at once
 * are one that lasts until the later end. */

bool net_can_fail(const struct net *net);

/* When net_now() shows at_s this rank stops for for_s seconds, whatever it does then; INFINITY: it
 * is dead. What it computes is done so much later. The messages that it has sent arrive. Who is
 * stopped when rank 0 returns stays so. */
void net_stop(struct net *net, double at_s, double for_s);

/* When net_now() shows at_s this rank's link to other hosts is down for for_s seconds (finite).
 * What sets out meanwhile, from it or to it, sets out at the end; what is on its way arrives. No
 * heartbeat passes. */
void net_cut(struct net *net, double at_s, double for_s);

/* ---- worlds: messaging/worlds.h */
#include "messaging/worlds.h"

#endif
