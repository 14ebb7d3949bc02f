/* Vectors by key, sums by hand, and a watcher who compares. */
#include "tests/sum_case.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/options.h"
#include "command/command.h"
#include "tests/scheme_harness.h"

enum { TAG_FOUND = 50, TAG_ENDED };

struct judge { /* of one worker */
    struct node *n;
    const struct sum_case *k;
    float *vector, *expected, **input;
    double *scale, *given, *came; /* given, came: with zeros, of all rounds */
    int wrong;
};

#define WRONG(j, ...)                                                                              \
    do {                                                                                           \
        if ((j)->wrong++ < 3)                                                                      \
            fprintf(stderr, "rank %d, %s: ", (j)->n->rank, (j)->k->method),                        \
                fprintf(stderr, __VA_ARGS__), fputc('\n', stderr);                                 \
    } while (0)

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

/* From -1 to 1. */
static double number_at(int worker, int round, int64_t i)
{
    uint64_t bits = mix(mix((uint64_t)i * 1000003 + (uint64_t)round * 101 + (uint64_t)worker) + 1);
    return (double)(bits >> 40) / (double)(1 << 23) - 1;
}

static double scale_at(const struct sum_case *k, int round)
{
    return k->zeros ? 0.25 : round % 3 == 1 ? 1 : 1.0 / (3 + round);
}

/* How far a sum may be off, in units of the scale: in direct each part is rounded once and the sum
 * once; in the ring partial sums of 1, 2, ... parts, and the sum. */
static double codec_bound(const struct sum_case *k, int workers)
{
    double steps = strcmp(k->chosen ? k->chosen : k->method, "ring") ? 2 : (workers - 1) / 2.0 + 1;
    return workers * steps * k->precision;
}

/* Every worker knows what all have given. */
static void prepare(struct judge *j, int round)
{
    int workers = j->n->context->workers;
    bool is_zero = round >= j->k->rounds - j->k->zeros;
    for (int w = 0; w < workers; w++) {
        for (int64_t i = 0; i < j->k->count; i++)
            j->input[w][i] = is_zero ? 0 : (float)number_at(w, round, i);
        j->scale[w] = scale_at(j->k, round);
    }
    memcpy(j->vector, j->input[j->n->worker], (size_t)j->k->count * sizeof(float));
    vector_sum(j->expected, (const float *const *)j->input, j->scale, workers, j->k->count, 1);
}

/* With zeros at the end: all that was given has come. */
static void compare_totals(struct judge *j, int round, int64_t i, double sum)
{
    j->given[i] += sum;
    j->came[i] += (double)j->vector[i];
    if (round == j->k->rounds - 1 && !(fabs(j->came[i] - j->given[i]) <= 1e-5))
        WRONG(j, "float %lld: %.9g was given, %.9g came", (long long)i, j->given[i], j->came[i]);
}

static void compare(struct judge *j, int round)
{
    double bound = codec_bound(j->k, j->n->context->workers) * scale_at(j->k, round);
    for (int64_t i = 0; i < j->k->count; i++) {
        double sum = 0, size = 0, found = j->vector[i];
        for (int w = 0; w < j->n->context->workers; w++) {
            sum += scale_at(j->k, round) * j->input[w][i];
            size += scale_at(j->k, round) * fabs(j->input[w][i]);
        }
        if (j->k->zeros)
            compare_totals(j, round, i, sum);
        else if (!(fabs(found - sum) <= 1e-6 * size + bound))
            WRONG(j, "sum %d, float %lld is %.9g, not %.9g", round, (long long)i, found, sum);
        else if (j->k->exact && memcmp(&j->vector[i], &j->expected[i], sizeof(float)) != 0)
            WRONG(j, "sum %d, float %lld is %.9g, in worker order it is %.9g", round, (long long)i,
                  found, j->expected[i]);
    }
}

static void work(struct judge *j)
{
    struct node *n = j->n;
    const struct sum_case *k = j->k;
    struct collective *c = collective_open(n, k->count, k->codec ? codec_find(k->codec) : NULL);
    if (strcmp(collective_name(c), k->chosen ? k->chosen : k->method) != 0)
        WRONG(j, "the method is %s", collective_name(c));
    for (int round = 0; round < k->rounds; round++) {
        prepare(j, round);
        node_sleep(n, k->delay_s * (1 + number_at(n->worker, round, -1)) / 2);
        if (k->stops == n->worker && round == k->rounds - 1)
            kill(getpid(), SIGSTOP);
        int64_t bytes = n->net->sent_bytes, messages = n->net->sent_messages,
                uncompressed = n->counters.uncompressed_bytes,
                compressed = n->counters.compressed_bytes;
        collective_sum(c, j->vector, scale_at(j->k, round));
        if (k->cost)
            k->cost[n->worker] =
                (struct sum_cost){n->net->sent_bytes - bytes, n->net->sent_messages - messages,
                                  n->counters.uncompressed_bytes - uncompressed,
                                  n->counters.compressed_bytes - compressed};
        compare(j, round);
        uint64_t hash = XXH3_64bits(j->vector, (size_t)k->count * sizeof(float));
        net_send(n->net, 0,
                 &(struct header){.tag = TAG_FOUND, .version = (int64_t)hash, .count = j->wrong},
                 NULL, 0);
    }
    collective_close(c);
    struct request *list[2] = {NULL, net_recv(n->net, 0, TAG_ENDED, NULL, 0)};
    node_wait(n, list, 2, INFINITY, "the end", 0);
    net_release(n->net, list[1]);
}

/* Rank 0: evaluates now and then, in the middle of the workers' sums; all must have found the same
 * bits. */
static void watch(struct judge *j)
{
    struct node *n = j->n;
    for (int round = 0; round < j->k->rounds; round++) {
        int64_t hash = 0;
        if (round % 2)
            node_updated(n, &(struct update){.samples = 1, .minibatches = 1, .contributions = 1});
        for (int w = 0; w < n->context->workers; w++) {
            struct request *list[2] = {
                NULL, net_recv(n->net, n->context->servers + w, TAG_FOUND, NULL, 0)};
            node_wait(n, list, 2, INFINITY, "its sum", n->context->servers + w);
            const struct header *m = net_header(list[1]);
            hash = w ? hash : m->version;
            if (m->version != hash)
                WRONG(j, "sum %d: worker %d has other bits than worker 0", round, w);
            if (round == j->k->rounds - 1)
                j->wrong += (int)m->count;
            net_release(n->net, list[1]);
        }
    }
    for (int r = 1; r < n->net->ranks; r++)
        net_send(n->net, r, &(struct header){.tag = TAG_ENDED}, NULL, 0);
}

/* Another server: takes part in the pauses, no more. */
static void stand_by(struct judge *j)
{
    struct request *list[2] = {NULL, net_recv(j->n->net, 0, TAG_ENDED, NULL, 0)};
    node_wait(j->n, list, 2, INFINITY, "the end", 0);
    net_release(j->n->net, list[1]);
}

static void open_judge(struct judge *j)
{
    int workers = j->n->context->workers;
    size_t count = (size_t)j->k->count;
    j->vector = net_alloc(j->n->net, count * sizeof(float));
    j->expected = xcalloc(count, sizeof(float));
    j->input = xcalloc((size_t)workers, sizeof *j->input);
    j->scale = xcalloc((size_t)workers, sizeof *j->scale);
    j->given = xcalloc(count, sizeof *j->given);
    j->came = xcalloc(count, sizeof *j->came);
    for (int w = 0; w < workers; w++)
        j->input[w] = xcalloc(count, sizeof(float));
}

static void close_judge(struct judge *j)
{
    for (int w = 0; w < j->n->context->workers; w++)
        xfree(j->input[w]);
    net_free(j->n->net, j->vector);
    xfree(j->expected);
    xfree(j->input);
    xfree(j->scale);
    xfree(j->given);
    xfree(j->came);
}

int sum_case_run(struct net *net, const struct sum_case *k)
{
    static volatile sig_atomic_t never;
    char deadline[40], part[40];
    snprintf(deadline, sizeof deadline, "%g", k->deadline_s > 0 ? k->deadline_s : 60);
    snprintf(part, sizeof part, "%g", k->part > 0 ? k->part : 0.01);
    char *argv[] = {
        "test", "--allreduce", (char *)k->method, "--deadline", deadline, "--compress-ratio", part};
    struct options options;
    struct problem problem;
    struct ledger ledger;
    struct option_sets sets = option_sets();
    options_parse(&options, sets.list, 7, argv, NULL);
    ledger_problem(&problem, &ledger, 1);
    problem.device_buffer = k->device_buffer;
    struct run_context setting = {.options = &options,
                                  .problem = &problem,
                                  .delay = delay_parse("", net->ranks),
                                  .slowness = slowness_parse("", net->ranks),
                                  .schedule = {.shape = "constant", .lr = 1},
                                  .workers = net->ranks - k->servers,
                                  .servers = k->servers,
                                  .minibatches = 1,
                                  .minibatch = 1,
                                  .samples_wanted = 1000000,
                                  .evaluate_every = 1,
                                  .threads = 1,
                                  .stop_requested = &never};
    struct judge j = {.n = node_open(net, &setting), .k = k};
    j.n->races = true; /* other servers count no versions */
    open_judge(&j);
    if (j.n->worker >= 0)
        work(&j);
    else if (j.n->rank == 0)
        watch(&j);
    else
        stand_by(&j);
    close_judge(&j);
    node_close(j.n);
    xfree(ledger.entry);
    options_close(&options);
    return j.wrong;
}
