/* CHOCO: neighbours mix through codecs, on the simulated network. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "gossip/gossip.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"
#include "tests/death_test.h"
#include "tests/special_case.h"

enum { WORKERS = 6, FLOATS = 60, STEPS = 400 };

static const char *const codecs_at[][2] = {/* and a gamma with which neighbours agree */
                                           {"compress=bf16", "1"},
                                           {"compress=f16", "1"},
                                           {"compress=int8", "1"},
                                           {"compress=topk compress-ratio=0.2", "0.2"},
                                           {"compress=randk compress-ratio=0.2", "0.05"},
                                           {"compress=sign", "0.05"}};

enum { CODECS = sizeof codecs_at / sizeof *codecs_at };

struct ends { /* what the workers had, first and last */
    float first[WORKERS][FLOATS], last[WORKERS][FLOATS];
};

/* No gradient: mixing alone, from starts that differ; all estimates begin at zero. */
static void mix_packed(struct node *n)
{
    struct ends *ends = n->context->problem->self;
    const struct codec *codec = codec_find(n->context->options->compress);
    size_t bytes = FLOATS * sizeof(float);
    float *x[2] = {net_alloc(n->net, bytes), net_alloc(n->net, bytes)};
    float *zero = net_alloc(n->net, bytes);
    struct gossip *g = gossip_open_packed(n, FLOATS, codec, zero);
    struct random r = random_at(RANDOM_TEST, 9, (uint64_t)n->worker, 0, 0);
    for (int i = 0; i < FLOATS; i++)
        x[0][i] = (float)random_normal(&r);
    memcpy(ends->first[n->worker], x[0], bytes);
    for (int64_t t = 0; t < STEPS; t++) {
        gossip_begin(g, t, x[t % 2], 1);
        gossip_mix(g, x[(t + 1) % 2]);
    }
    memcpy(ends->last[n->worker], x[STEPS % 2], bytes);
    gossip_close(g);
    net_free(n->net, x[0]);
    net_free(n->net, x[1]);
    net_free(n->net, zero);
}

static void serve_nothing(struct node *n)
{
    (void)n;
}

static double distance(float x[WORKERS][FLOATS], double mean[FLOATS])
{
    double squares = 0;
    for (int i = 0; i < FLOATS; i++) {
        mean[i] = 0;
        for (int k = 0; k < WORKERS; k++)
            mean[i] += (double)x[k][i] / WORKERS;
        for (int k = 0; k < WORKERS; k++)
            squares += pow(x[k][i] - mean[i], 2);
    }
    return sqrt(squares);
}

static void neighbours_agree_on_the_mean(void **state)
{
    (void)state;
    static const struct scheme mixing = {
        .name = "mixing", .flags = GOSSIP, .work = mix_packed, .serve = serve_nothing};
    struct ends *ends = xcalloc(1, sizeof *ends);
    for (int c = 0; c < CODECS; c++) {
        struct experiment e;
        struct option_list w = {0};
        struct problem problem;
        struct ledger ledger;
        double first[FLOATS], last[FLOATS];
        char copy[200], *save = NULL;
        snprintf(copy, sizeof copy, "%s choco-gamma=%s", codecs_at[c][0], codecs_at[c][1]);
        add_plain_sgd(&w, "dpsgd", 0);
        add_option(&w, "workers=%d", WORKERS);
        add_option(&w, "samples=1");
        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
            add_option(&w, "%s", word);
        experiment_defaults(&e, option_list_words(&w));
        ledger_problem(&problem, &ledger, 1);
        problem.self = ends;
        e.problem = &problem;
        e.scheme = &mixing;
        experiment_run(&e);
        double before = distance(ends->first, first), after = distance(ends->last, last);
        if (!(after < 0.02 * before))
            fail_msg("%s: the distance fell from %g to %g", codecs_at[c][0], before, after);
        for (int i = 0; i < FLOATS; i++)
            if (fabs(first[i] - last[i]) > 1e-4)
                fail_msg("%s: the mean moved by %g", codecs_at[c][0], last[i] - first[i]);
        e.problem = NULL;
        xfree(ledger.entry);
        experiment_close(&e);
    }
    xfree(ends);
}

/* The toy's gradients are linear: a mean that mixing keeps is allreduce's, whatever a codec leaves
 * out. And less is sent. */
static void compressed_dpsgd_keeps_the_mean(void **state)
{
    (void)state;
    for (int c = 0; c < CODECS; c++) {
        struct experiment e;
        char options[200];
        snprintf(options, sizeof options, "%s choco-gamma=%s " DELAYS, codecs_at[c][0],
                 codecs_at[c][1]);
        double difference =
            apart((struct twin){"dpsgd", options}, (struct twin){"allreduce", ""}, 5, 1);
        if (!(difference < 10 * rounding))
            fail_msg("%s ends %g apart", options, difference);
        run_special_case(&e, "dpsgd", 5, 1, options);
        assert_true(e.out.worker[0].compressed_bytes <= 0.51 * e.out.worker[0].uncompressed_bytes);
        experiment_close(&e);
    }
}

static void check_options(const void *words)
{
    struct experiment e;
    experiment_defaults(&e, words);
    gossip_check(&e.options, 8, GOSSIP_DOUBLY);
}

static void what_has_no_estimates_is_refused(void **state)
{
    (void)state;
    assert_dies(2, check_options,
                (const char *const[]){"scheme=dpsgd", "compress=topk", "topology=matcha", NULL},
                (const char *const[]){"--topology matcha changes", NULL});
    assert_dies(2, check_options, (const char *const[]){"scheme=dpsgd", "choco-gamma=0.5", NULL},
                (const char *const[]){"--choco-gamma: vectors are sent as they are", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_agree_on_the_mean),
        cmocka_unit_test(compressed_dpsgd_keeps_the_mean),
        cmocka_unit_test(what_has_no_estimates_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
