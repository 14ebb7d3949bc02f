/* The links of a simulated cluster, as values: what a message between two ranks meets on its way.
 *
 * Ranks are on hosts in order, `ranks_per_host` on each. Between hosts a message passes the
 * sender's port, its host's, the link, the receiver's host's and the receiver's. Each has a
 * bandwidth of its own in each direction, which the messages there share; the slowest counts.
 * Within a host a payload stays where it lies: whoever borrows it has it after the latency; whoever
 * receives it into a buffer copies it, at within.bandwidth, in its own time. Bandwidths are bytes
 * per second, 0: no limit. What slows a rank's link now and then is in struct net's link. */
#ifndef MESSAGING_LINKS_H
#define MESSAGING_LINKS_H

struct link_kind {
    double latency_s;
    double jitter_s; /* a message is later by a keyed random part of this */
    double bandwidth;
};

struct link_rank { /* a rank whose port is not as the others' */
    int rank;
    double bandwidth;
};

struct link_pair { /* one link, in one direction; its bandwidth is its own, beside those of the
                      ports at its ends */
    int from, to;
    struct link_kind kind;
};

struct links {
    struct link_kind between,
        within;            /* hosts; within one. between.bandwidth is that of each rank's port */
    int ranks_per_host;    /* at least 1 */
    double host_bandwidth; /* of the port that a host's ranks share */
    const struct link_rank *rank; /* exceptions, borrowed; the last one named counts, ranks that a
                                     run does not have are passed over */
    const struct link_pair *pair;
    int rank_count, pair_count;
};

#endif
