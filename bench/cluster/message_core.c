/* What a byte between hosts takes from the cores of its two hosts: copies, protocol, interrupts.
 *
 * A rank on each of two hosts keeps all of its cores busy with threads that count what they do,
 * with and without vectors under way in both directions, in turn. What they count less in a second
 * of core time is what the messages took, whoever did that work: this rank's main thread, or the
 * system in its time. Ranks sleep while they wait, as in training. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "bench/cluster/ranks.h"

enum { TURNS = 7, MOST_THREADS = 256 };

static const double turn_s = 0.3;

struct counter {
    pthread_t thread;
    _Atomic int64_t rounds;
    const atomic_bool *over;
    const struct core_set *cores;
};

struct spell { /* of counting: core time of this process, the main thread's too */
    double cpu_s, rounds;
};

static void *count(void *self)
{
    struct counter *c = self;
    volatile double sink = 1;
    /* the rank itself may be pinned to one */
    sched_setaffinity(0, sizeof c->cores->word, (const cpu_set_t *)c->cores->word);
    while (!atomic_load_explicit(c->over, memory_order_relaxed)) {
        double x = sink;
        for (int i = 0; i < 20000; i++)
            x = x * 0.999999 + 1e-6;
        sink = x;
        atomic_fetch_add_explicit(&c->rounds, 1, memory_order_relaxed);
    }
    return NULL;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double rounds(struct counter *list, int threads)
{
    double sum = 0;
    for (int i = 0; i < threads; i++)
        sum += (double)list[i].rounds;
    return sum;
}

/* Both ways at once, so many times. */
static void exchange(struct net *net, int peer, float *vector, float *into, int times)
{
    for (int i = 0; i < times; i++) {
        struct request *come = net_recv(net, peer, TAG_VECTOR, into, VECTOR_BYTES);
        give(net, peer, vector);
        net_wait(net, &come, 1, INFINITY);
        net_release(net, come);
    }
}

/* Counts while vectors are exchanged, or while the rank waits as long for nothing. */
static struct spell spell(struct net *net, int peer, struct counter *list, int threads,
                          float *vector, float *into, int times)
{
    struct request *never = NULL;
    tell(net, peer, 0); /* both begin together */
    hear(net, peer);
    struct spell s = {cpu_s(), rounds(list, threads)};
    if (times)
        exchange(net, peer, vector, into, times);
    else
        net_wait(net, &never, 1, net_now(net) + turn_s);
    return (struct spell){cpu_s() - s.cpu_s, rounds(list, threads) - s.rounds};
}

static void add(struct spell *sum, struct spell s)
{
    sum->cpu_s += s.cpu_s;
    sum->rounds += s.rounds;
}

static void measure_pair(struct net *net, struct cluster *c, int peer, float *own, float *vector)
{
    atomic_bool over = false;
    int threads = c->host_cores < MOST_THREADS ? c->host_cores : MOST_THREADS;
    int times = (int)fmax(1, turn_s * c->bandwidth[BETWEEN] / VECTOR_BYTES);
    struct counter *list = xcalloc((size_t)threads, sizeof *list);
    struct spell quiet = {0}, busy = {0};
    tell(net, peer, times); /* rank 0 has measured the bandwidth */
    int theirs = (int)hear(net, peer);
    times = net->rank == 0 ? times : theirs;
    for (int i = 0; i < threads; i++) {
        list[i].over = &over;
        list[i].cores = &c->cores;
        CHECK(!pthread_create(&list[i].thread, NULL, count, &list[i]), "no thread to count");
    }
    for (int i = 0; i < TURNS; i++) {
        add(&quiet, spell(net, peer, list, threads, vector, own, 0));
        add(&busy, spell(net, peer, list, threads, vector, own, times));
    }
    over = true;
    for (int i = 0; i < threads; i++)
        pthread_join(list[i].thread, NULL);
    xfree(list);
    double counting_s = busy.rounds * quiet.cpu_s / quiet.rounds;
    c->message_core_s = fmax(busy.cpu_s - counting_s, 0) / (2.0 * VECTOR_BYTES * times * TURNS);
}

void measure_message_core(struct net *net, struct cluster *c, float *own, float *vector)
{
    if (net->rank == 0)
        measure_pair(net, c, c->remote, own, vector);
    else if (net->rank == c->remote)
        measure_pair(net, c, 0, own, vector);
    net_barrier(net);
}
