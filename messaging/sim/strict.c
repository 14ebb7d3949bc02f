/* What a scheme must not depend on ends the simulated run, with rank, peer, tag and version;
 * sim.c's header lists it. */
#include "messaging/sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/alloc.h"

enum { LOOKS = 1 << 24, NAMED = 8 };

/* For the reports: what kind of request, with whom, which message. */
const char *sim_describe(const struct sim *sim, const struct request *request, char text[200])
{
    const struct header *header = &request->header;
    int peer = request->sent ? header->to : header->from;
    char who[32] = "any rank", which[80] = "";
    if (!request->lane)
        return "a meeting";
    if (peer != NET_ANY)
        snprintf(who, sizeof who, "rank %d", peer);
    if (request->sent || request->done)
        snprintf(which, sizeof which, ", version %lld, %llu bytes", (long long)header->version,
                 (unsigned long long)header->bytes);
    snprintf(text, 200, "a %s %s (tag %d%s)%s", request->sent ? "send to" : "receive from", who,
             header->tag, which,
             request->done                                  ? ", done but not released"
             : peer != NET_ANY && sim->ranks[peer].returned ? ", which has returned"
                                                            : "");
    return text;
}

/* Looking again and again while time does not advance would never end: nothing can arrive. */
void sim_count_look(struct rank *rank)
{
    STRICT(++rank->looks < LOOKS, rank->sim,
           "rank %d looked for messages %d times and let no time pass: wait for one, with a "
           "deadline, or net_advance() between the looks",
           rank->net.rank, LOOKS);
}

void sim_verify(const struct sim *sim, const struct request *message)
{
    char text[200];
    STRICT(sim->options.lax || XXH3_64bits(message->data, message->header.bytes) == message->sum,
           sim, "rank %d: %s: its payload was changed before it was read and released",
           message->header.from, sim_describe(sim, message, text));
}

static bool in_block(const struct block *block, const void *data, size_t bytes)
{
    size_t offset = (size_t)((const char *)data - block->data);
    return offset <= block->bytes && bytes <= block->bytes - offset;
}

/* The block of this rank's memory that holds these bytes, NULL: none. A rank has few. */
struct block *sim_block_of(struct rank *rank, const void *data, size_t bytes)
{
    for (struct link *link = rank->blocks.next; link != &rank->blocks; link = link->next)
        if (in_block(container_of(struct block, link, link), data, bytes))
            return container_of(struct block, link, link);
    return NULL;
}

void *sim_alloc(struct net *net, size_t bytes)
{
    struct rank *rank = net->self;
    struct block *block = xcalloc(1, sizeof *block + bytes);
    block->bytes = bytes;
    list_append(&rank->blocks, &block->link);
    return block->data;
}

void sim_free(struct net *net, void *data)
{
    struct rank *rank = net->self;
    struct block *block = sim_block_of(rank, data, 0);
    char text[200];
    STRICT(block && block->data == data, rank->sim,
           "rank %d frees memory that is not of net_alloc()", net->rank);
    for (struct link *link = rank->open.next; link != &rank->open; link = link->next) {
        const struct request *request = container_of(const struct request, open, link);
        STRICT(!request->sent || request->done || !in_block(block, request->data, 0), rank->sim,
               "rank %d frees memory that %s still needs", net->rank,
               sim_describe(rank->sim, request, text));
    }
    list_remove(&block->link);
    xfree(block);
}

void sim_check_returned(const struct rank *rank)
{
    char text[200];
    const struct link *open = list_first(&rank->open);
    int count = 0;
    for (const struct link *link = open; link && link != &rank->open; link = link->next)
        count++;
    STRICT(!open, rank->sim, "rank %d returns and leaves %d request%s open, first %s",
           rank->net.rank, count, count == 1 ? "" : "s",
           sim_describe(rank->sim, container_of(const struct request, open, open), text));
}

/* A message that nobody received; NULL: none. */
static const struct request *unread_message(const struct sim *sim)
{
    for (size_t i = 0; i < sim->lane_room; i++) {
        const struct lane *lane = sim->lanes[i].lane;
        if (lane && lane->any != lane && list_first(&lane->messages))
            return container_of(const struct request, queued, list_first(&lane->messages));
    }
    return NULL;
}

/* Nothing will happen any more: all ranks must have returned and all messages have been read. */
void sim_check_end(const struct sim *sim)
{
    char line[1600] = "", text[200];
    int waiting = 0;
    FILE *report = fmemopen(line, sizeof line - 1, "w");
    CHECK(report, "no memory for a report");
    for (int i = 0; i < sim->options.ranks; i++) {
        const struct rank *rank = &sim->ranks[i];
        if (rank->returned || ++waiting > NAMED)
            continue;
        int first = 0;
        while (first < rank->wait.listed && !rank->wait.list[first])
            first++;
        fprintf(report, "; rank %d for %s", i,
                first < rank->wait.listed ? sim_describe(sim, rank->wait.list[first], text)
                                          : "nothing");
        if (rank->wait.listed > first + 1)
            fprintf(report, " or one of %d more", rank->wait.listed - first - 1);
    }
    if (waiting > NAMED)
        fprintf(report, "; and so on");
    const struct request *unread = unread_message(sim);
    if (unread)
        fprintf(report, "; %zu messages never read, one of them from rank %d: %s", sim->unread,
                unread->header.from, sim_describe(sim, unread, text));
    fclose(report);
    STRICT(!waiting, sim, "deadlock, %d of %d ranks wait without end%s", waiting,
           sim->options.ranks, line);
    STRICT(!unread, sim, "the ranks have returned%s", line);
}
