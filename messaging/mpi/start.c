/* The start of a rank's world: who shares its host, which cores it takes, when time begins. */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

static int pretended_hosts(void)
{
    const char *text = getenv("NBSGD_HOSTS");
    if (!text || !*text)
        return 1;
    char *end;
    long hosts = strtol(text, &end, 10);
    if (*end || hosts < 1 || hosts > 1 << 20)
        fatal("NBSGD_HOSTS=%s is no number of hosts; unset it, or give 1 or more (rank r then "
              "lives on pretended host r %% n)",
              text);
    return (int)hosts;
}

/* Who shares memory with us: the same host by name, and each has opened the other's file. */
static void find_local_ranks(struct process *p)
{
    int rank = p->net.rank, ranks = p->net.ranks, hosts = pretended_hosts();
    struct endpoint *own = xcalloc(1, sizeof *own);
    p->segment = segment_open(rank, ranks, &own->segment);
    gethostname(own->host, 64); /* Linux has no longer ones; name_hosts() needs room after it */
    own->cores = core_set_own();
    own->available = cores_available();
    p->endpoint = xcalloc((size_t)ranks, sizeof *p->endpoint);
    transport_gather(p->transport, own, p->endpoint, sizeof *own);
    bool *met = xcalloc((size_t)ranks, sizeof *met), *found = xcalloc((size_t)ranks, sizeof *found);
    for (int i = 0; i < ranks; i++)
        met[i] = i != rank && !strcmp(p->endpoint[i].host, own->host) &&
                 segment_meet(p->segment, i, &p->endpoint[i].segment);
    transport_exchange(p->transport, met, found);
    p->local = xcalloc((size_t)ranks, sizeof *p->local);
    p->remote = xcalloc((size_t)ranks, sizeof *p->remote);
    for (int i = 0; i < ranks; i++) {
        p->local[i] = met[i] && found[i] && i % hosts == rank % hosts;
        p->remote[i] = i != rank && !p->local[i];
        p->remote_count += p->remote[i];
    }
    segment_set_local(p->segment, p->local);
    xfree(met);
    xfree(found);
    xfree(own);
}

struct share {         /* of a rank in its host's cores */
    int before, ranks; /* ranks of the host: those before this one; all */
    int cores;         /* that all of them have together */
    bool alike;        /* each may use the same ones */
};

/* Of that rank, among those of the list, which are all of its host. */
static struct share share_of(const struct process *p, int rank, const int *list, int count)
{
    const struct endpoint *own = &p->endpoint[rank];
    struct core_set all = own->cores;
    struct share s = {.ranks = count, .cores = own->available, .alike = true};
    for (int i = 0; i < count; i++) {
        const struct endpoint *other = &p->endpoint[list[i]];
        s.before += list[i] < rank;
        s.alike = s.alike && core_set_equal(&other->cores, &own->cores);
        all = core_set_union(&all, &other->cores);
    }
    /* Cores of one's own: a quota may still be shared. */
    if (!s.alike && s.cores == core_set_count(&own->cores))
        s.cores = core_set_count(&all);
    return s;
}

static struct share own_share(const struct process *p)
{
    int *list = xcalloc((size_t)p->net.ranks, sizeof *list), count = 0;
    for (int i = 0; i < p->net.ranks; i++)
        if (!strcmp(p->endpoint[i].host, p->endpoint[p->net.rank].host))
            list[count++] = i;
    const struct share s = share_of(p, p->net.rank, list, count);
    xfree(list);
    return s;
}

/* Gives each rank of the host its own cores where there are enough, and the launcher has not done
 * so. */
static void find_cores(struct process *p, const struct world_options *options)
{
    const struct share own = own_share(p);
    int each = own.alike ? own.cores / own.ranks : p->endpoint[p->net.rank].available;
    p->net.cores = each > 0 ? each : 1;
    p->net.local_rank = own.before;
    int threads = options->threads > 0 ? options->threads : p->net.cores;
    p->spin = own.ranks * threads <= own.cores;
    if (options->pin && own.alike && p->spin && !cores_pin(own.before, own.ranks, threads))
        fprintf(stderr,
                "nbsgd: rank %d cannot be pinned to its cores; it runs where the system puts it\n",
                p->net.rank);
}

static int by_host(const void *a, const void *b, void *endpoints)
{
    const struct endpoint *of = endpoints;
    int x = *(const int *)a, y = *(const int *)b, order = strcmp(of[x].host, of[y].host);
    return order ? order : x - y;
}

/* A host whose ranks are more than its cores: of several that of the lowest rank. Rank 0 says it
 * for all. Cost: that of sorting ranks by host. */
static void find_crowd(struct process *p)
{
    int ranks = p->net.rank ? 0 : p->net.ranks, least = ranks;
    int *list = xcalloc((size_t)ranks + 1, sizeof *list);
    for (int i = 0; i < ranks; i++)
        list[i] = i;
    qsort_r(list, (size_t)ranks, sizeof *list, by_host, p->endpoint);
    for (int i = 0, next; i < ranks; i = next) {
        for (next = i + 1; next < ranks; next++)
            if (strcmp(p->endpoint[list[next]].host, p->endpoint[list[i]].host) != 0)
                break;
        const struct share s = share_of(p, list[i], list + i, next - i);
        if (s.ranks <= s.cores || list[i] >= least)
            continue;
        least = list[i];
        p->net.crowd = (struct crowd){p->endpoint[least].host, s.ranks, s.cores};
    }
    xfree(list);
}

/* Only now, since ranks on pretended hosts share cores. */
static void name_hosts(struct process *p)
{
    int hosts = pretended_hosts();
    for (int i = 0; i < p->net.ranks && hosts > 1; i++)
        snprintf(strchr(p->endpoint[i].host, 0), sizeof p->endpoint[i].host - 64, "/%d", i % hosts);
}

/* All clocks show 0 when the last rank has come; on one host they are one clock. */
static void zero_clock(struct process *p)
{
    int64_t *zero = xcalloc((size_t)p->net.ranks, sizeof *zero);
    transport_barrier(p->transport);
    p->clock.zero_ns = clock_ns();
    transport_gather(p->transport, &p->clock.zero_ns, zero, sizeof *zero);
    for (int i = 0; i < p->net.ranks; i++)
        if (p->local[i] && zero[i] < p->clock.zero_ns)
            p->clock.zero_ns = zero[i];
    p->clock.alive_ns = p->clock.beat_ns = clock_ns();
    segment_alive(p->segment, p->clock.alive_ns);
    net_act(&p->net, (struct net_activity){.pace = NET_BUSY, .what = "the start"});
    p->heard_ns = xcalloc((size_t)p->net.ranks, sizeof *p->heard_ns);
    p->signs = xcalloc((size_t)p->net.ranks, sizeof *p->signs);
    p->absent = xcalloc((size_t)p->net.ranks, sizeof *p->absent);
    for (int i = 0; i < p->net.ranks; i++) {
        p->heard_ns[i] = p->clock.alive_ns;
        p->signs[i].noted_ns = p->signs[i].stepped_ns = p->clock.alive_ns;
    }
    /* nobody looks for a heartbeat that has not been given yet */
    transport_barrier(p->transport);
    xfree(zero);
}

void process_start(struct process *p, const struct world_options *options)
{
    find_local_ranks(p);
    find_cores(p, options);
    find_crowd(p);
    name_hosts(p);
    zero_clock(p);
}
