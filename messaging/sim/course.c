/* What a simulated run is made of at a moment, beside the stacks of its ranks: blocks of memory,
 * payloads under way, and a number for the course that it has taken.
 *
 * Cost: every payload that is under way is hashed anew, also one that several messages share. */
#include <xxhash.h>

#include "messaging/sim/sim.h"

void sim_visit_memory(struct net *net, void (*visit)(void *self, void *block, size_t bytes),
                      void *self)
{
    struct rank *rank = net->self;
    for (struct link *link = rank->blocks.next; link != &rank->blocks; link = link->next) {
        struct block *block = container_of(struct block, link, link);
        visit(self, block->data, block->bytes);
    }
}

/* What was begun and is not committed gets its sum when it is. */
void sim_memory_replaced(struct net *net)
{
    struct sim *sim = ((struct rank *)net->self)->sim;
    for (int i = 0; i < sim->options.ranks; i++) {
        const struct link *open = &sim->ranks[i].open;
        for (struct link *link = open->next; link != open; link = link->next) {
            struct request *request = container_of(struct request, open, link);
            if (request->sent && request->data && !request->done && !request->early.open)
                request->sum = sim_sum(sim, request);
        }
    }
}

static void add(uint64_t *course, const void *bytes, size_t count)
{
    *course = XXH3_64bits_withSeed(bytes, count, *course);
}

/* When each rank goes on, what it has sent and received, how many events and receives there were,
 * and how many messages wait. */
uint64_t sim_course(struct net *net)
{
    const struct sim *sim = ((struct rank *)net->self)->sim;
    uint64_t course = 0,
             counts[] = {sim->events.orders, sim->events.count, sim->posted, sim->unread};
    add(&course, &sim->events.now_s, sizeof sim->events.now_s);
    add(&course, counts, sizeof counts);
    for (int i = 0; i < sim->options.ranks; i++) {
        const struct rank *rank = &sim->ranks[i];
        const struct net *n = &rank->net;
        int64_t sums[] = {n->sent_bytes,        n->received_bytes,    n->sent_messages,
                          n->received_messages, (int64_t)rank->sends, rank->returned};
        double next_s = rank->event.at ? rank->event.event_time.when_s : -1;
        add(&course, sums, sizeof sums);
        add(&course, &next_s, sizeof next_s);
    }
    return course;
}
