/* What a scheme must not depend on ends the simulated run, with rank, peer, tag and version;
 * sim.c's header lists it. */
#include "messaging/sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/journal.h"

enum { LOOKS = 1 << 24, EXPIRED_EACH = 1 << 10, EXPIRED_LEAST = 1 << 18, NAMED = 8 };

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

uint64_t sim_sum(const struct sim *sim, const struct request *message)
{
    bool sums = !sim->options.lax && !journal_forwards(sim->options.journal);
    return sums ? XXH3_64bits(message->data, message->header.bytes) : 0;
}

/* A rank that looks up now and then, and neither computes nor sleeps nor is frozen. */
static bool only_looks(const void *self, const struct event *event)
{
    const struct rank *rank = container_of(const struct rank, event, event);
    return event->kind == RESUME && rank->wait.listed && rank->net.activity.pace != NET_SLEEPS &&
           !sim_is_stopped(self, rank);
}

/* Waits that look up at times would hide that nothing will come any more. After many of them it is
 * asked whether anything is put down but such looks: computing, a message, the end of an outage. */
void sim_count_expired(struct rank *rank)
{
    struct sim *sim = rank->sim;
    uint64_t most = EXPIRED_EACH * (uint64_t)sim->options.ranks;
    if (++sim->expired < (most > EXPIRED_LEAST ? most : EXPIRED_LEAST))
        return;
    STRICT(!event_queue_all(&sim->events, only_looks, sim), sim,
           "deadlock, rank %d waits, too: %llu waits ended by their time, and no message was sent",
           rank->net.rank, (unsigned long long)sim->expired);
    sim->expired = 0;
}

void sim_verify(const struct sim *sim, const struct request *message)
{
    char text[200];
    STRICT(sim_sum(sim, message) == message->sum, sim,
           "rank %d: %s: its payload was changed before it was read and released",
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

/* A send to a rank that is lost: it may never be read. */
static bool is_excused(const struct sim *sim, const struct request *request)
{
    return request->sent && !request->done && sim_is_lost(sim, request->header.to);
}

/* What a rank that is lost may still read stays until the world's end. */
void sim_free(struct net *net, void *data)
{
    struct rank *rank = net->self;
    struct block *block = sim_block_of(rank, data, 0);
    char text[200];
    bool stays = false;
    STRICT(block && block->data == data, rank->sim,
           "rank %d frees memory that is not of net_alloc()", net->rank);
    for (struct link *link = rank->open.next; link != &rank->open; link = link->next) {
        const struct request *request = container_of(const struct request, open, link);
        if (!request->sent || request->done || !in_block(block, request->data, 0))
            continue;
        STRICT(is_excused(rank->sim, request), rank->sim,
               "rank %d frees memory that %s still needs", net->rank,
               sim_describe(rank->sim, request, text));
        stays = true;
    }
    if (stays)
        return;
    list_remove(&block->link);
    xfree(block);
}

void sim_check_returned(const struct rank *rank)
{
    char text[200];
    const struct request *first = NULL;
    int count = 0;
    for (const struct link *link = rank->open.next; link != &rank->open; link = link->next) {
        const struct request *open = container_of(const struct request, open, link);
        first = first || is_excused(rank->sim, open) ? first : open;
        count += !is_excused(rank->sim, open);
    }
    STRICT(!first, rank->sim, "rank %d returns and leaves %d request%s open, first %s",
           rank->net.rank, count, count == 1 ? "" : "s", sim_describe(rank->sim, first, text));
}

/* A message that nobody received, of ranks that are not lost; NULL: none. */
static const struct request *unread_message(const struct sim *sim)
{
    for (size_t i = 0; i < sim->lane_room; i++) {
        const struct lane *lane = sim->lanes[i].lane;
        if (!lane || lane->any == lane || !list_first(&lane->messages))
            continue;
        const struct request *first =
            container_of(const struct request, queued, list_first(&lane->messages));
        if (!sim_is_lost(sim, first->header.from) && !sim_is_lost(sim, first->header.to))
            return first;
    }
    return NULL;
}

/* Ranks wait without end because others have died, or rank 0 has: the first of these is named. */
static void check_dead(const struct sim *sim, int waiting, const char *line)
{
    for (int i = 0; i < sim->options.ranks && (waiting || i == 0); i++)
        if (sim_is_dead(&sim->ranks[i]))
            die(EXIT_SILENT,
                "simulated, at %.9g s: rank %d on %s has died, and %d of %d ranks wait without "
                "end%s",
                sim->events.now_s, i, sim->hosts[sim_host_of(sim, i)].name, waiting,
                sim->options.ranks, line);
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
        if (rank->returned || sim_is_dead(rank) || ++waiting > NAMED)
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
    check_dead(sim, waiting, line);
    STRICT(!waiting, sim, "deadlock, %d of %d ranks wait without end%s", waiting,
           sim->options.ranks, line);
    STRICT(!unread, sim, "the ranks have returned%s", line);
}
