/* What modules show as their state is all that they remember, and a scheme keeps what its table
 * says.
 *
 * Two of a kind, one that has gone some steps and one that is new: when what the first shows is
 * copied into the second, both go on alike, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "node/private.h"
#include "optimizer/optimizer.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

enum { COUNT = 1000, STEPS = 3, MOST = 64 };

/* --- members that show their state --- */

struct shown {
    struct kept list[MOST];
    int count;
};

static void list(void *self, const char *name, enum state_type type, void *memory, int64_t count)
{
    struct shown *s = self;
    assert_true(s->count < MOST && count > 0 && memory);
    struct kept *k = &s->list[s->count++];
    snprintf(k->name, sizeof k->name, "%s", name);
    k->type = type;
    k->memory = memory;
    k->count = count;
}

/* Returns how many there are. */
static int transfer(const struct shown *to, const struct shown *from)
{
    assert_int_equal(to->count, from->count);
    for (int i = 0; i < to->count; i++) {
        const struct kept *a = &to->list[i], *b = &from->list[i];
        assert_string_equal(a->name, b->name);
        assert_true(a->type == b->type && a->count == b->count);
        memcpy(a->memory, b->memory, (size_t)a->count * state_size(a->type));
    }
    return to->count;
}

static void fill(float *v, uint64_t key)
{
    struct random r = random_at(RANDOM_TEST, 17, key, 0, 0);
    for (int i = 0; i < COUNT; i++)
        v[i] = (float)random_normal(&r);
}

static bool same(const float *a, const float *b)
{
    return !memcmp(a, b, COUNT * sizeof *a);
}

static struct optimizer *rule_of(const char *rule, double momentum, double clip)
{
    return optimizer_open(&(struct optimizer_options){.rule = rule,
                                                      .momentum = momentum,
                                                      .beta1 = 0.9,
                                                      .beta2 = 0.99,
                                                      .epsilon = 1e-8,
                                                      .accum_iter = 2,
                                                      .trust = 0.01,
                                                      .decay = 0.1,
                                                      .clip = clip,
                                                      .threads = 1},
                          (struct range){0, COUNT}, NULL, 0);
}

static void try_rule(const char *rule, double momentum)
{
    static float w[COUNT], again[COUNT], g[COUNT];
    struct optimizer *o = rule_of(rule, momentum, 1), *next = rule_of(rule, momentum, 1);
    struct shown from = {.count = 0}, to = {.count = 0};
    optimizer_accumulator(o);
    optimizer_accumulator(next);
    fill(w, 0);
    for (uint64_t i = 1; i <= STEPS; i++) {
        fill(g, i);
        optimizer_step(o, w, g, 0.1);
        optimizer_accumulate(o, g);
    }
    optimizer_state(o, list, &from);
    optimizer_state(next, list, &to);
    memcpy(again, w, sizeof w);
    assert_int_equal(transfer(&to, &from),
                     2 + (int)(optimizer_state_bytes(o) / (COUNT * (int64_t)sizeof *w)));
    optimizer_step(o, w, g, 0.1);
    optimizer_step(next, again, g, 0.1);
    optimizer_step_accumulated(o, w, 0.5, 0.1);
    optimizer_step_accumulated(next, again, 0.5, 0.1);
    if (!same(w, again))
        fail_msg("%s, momentum %g, goes on otherwise", rule, momentum);
    optimizer_close(o);
    optimizer_close(next);
}

static void test_rules_show_all_that_they_remember(void **state)
{
    (void)state;
    char rules[200], *save = NULL;
    snprintf(rules, sizeof rules, "%s", optimizer_rules());
    for (char *rule = strtok_r(rules, "|", &save); rule; rule = strtok_r(NULL, "|", &save)) {
        try_rule(rule, 0.9);
        try_rule(rule, 0);
    }
}

static void try_codec(const struct codec *codec, const struct options *options)
{
    static float v[COUNT];
    struct coder_options o = {
        .count = COUNT, .own = codec_own(codec, options), .seed = 5, .worker = 1};
    struct coder *c = coder_open(codec, &o), *next = coder_open(codec, &o);
    size_t bytes = coder_bytes(c);
    void *message = xcalloc(bytes, 1), *again = xcalloc(bytes, 1);
    struct shown from = {.count = 0}, to = {.count = 0};
    for (uint64_t i = 1; i <= STEPS; i++) {
        fill(v, i);
        coder_pack(c, message, v);
    }
    coder_state(c, list, &from);
    coder_state(next, list, &to);
    int names = 0;
    for (; codec->state && codec->state[names]; names++)
        assert_string_equal(from.list[names].name, codec->state[names]);
    assert_int_equal(transfer(&to, &from), names);
    for (uint64_t i = 1; i <= STEPS; i++) {
        fill(v, 10 + i);
        coder_pack(c, message, v);
        coder_pack(next, again, v);
        if (memcmp(message, again, bytes))
            fail_msg("%s goes on otherwise", codec->name);
    }
    coder_close(c);
    coder_close(next);
    xfree(message);
    xfree(again);
}

static void test_codecs_show_all_that_they_remember(void **state)
{
    (void)state;
    struct experiment e;
    experiment_defaults(&e, (const char *const[]){"scheme=ssgd", NULL});
    for (int i = 0; codecs[i]; i++)
        try_codec(codecs[i], &e.options);
    options_close(&e.options);
}

/* --- schemes --- */

static const struct scheme *tried;
static char kept[MOST][STATE_NAME]; /* "worker.optimizer": by any rank */
static int kept_count;

static void take_names(const struct node *n)
{
    const struct keeping *k = &n->own->keeping;
    for (int i = 0; i < k->count; i++) {
        char name[STATE_NAME];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(k->list[i].kept.name, "/"),
                 k->list[i].kept.name);
        bool known = !strchr(name, '.');
        for (int j = 0; j < kept_count && !known; j++)
            known = !strcmp(kept[j], name);
        if (!known)
            strcpy(kept[kept_count++], name);
    }
}

static void work(struct node *n)
{
    tried->work(n);
    take_names(n);
}

static void serve(struct node *n)
{
    tried->serve(n);
    take_names(n);
}

/* Options by which a scheme remembers all that it can. */
static const char *const most[][4] = {
    {"nbssgd", "nb-payload=weights"},
    {"asgd", "server-momentum=worker"},
    {"ringmaster", "server-momentum=worker"},
    {"dcasgd", "server-momentum=worker", "dc=adaptive"},
    {"downpour", "n-fetch=2"},
    {"allreduce", "compress=topk"},
    {"dropcompute", "compress=topk"},
    {"eager", "compress=topk"},
    {"local", "outer-every=2"},
    {"dpsgd", "outer-every=2", "compress=topk"},
    {"adpsgd", "topology=path"},
};

static void try_scheme(const struct scheme *s)
{
    struct experiment e;
    struct option_list w = {.count = 0};
    struct scheme spy = *s;
    spy.work = work;
    spy.serve = s->serve ? serve : NULL;
    tried = s;
    kept_count = 0;
    add_option(&w, "scheme=%s", s->name);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=3");
    add_option(&w, "batch=8");
    add_option(&w, "minibatches=2");
    add_option(&w, "samples=200");
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        for (int k = 1; k < 4 && most[i][k] && !strcmp(most[i][0], s->name); k++)
            add_option(&w, "%s", most[i][k]);
    experiment_defaults(&e, option_list_words(&w));
    e.scheme = &spy;
    e.together = true; /* as processes are */
    e.problem = problem_open(&(struct problem_options){
        .options = &e.options, .minibatch = 4, .threads = 1, .trains = true});
    experiment_run(&e);
    problem_close(e.problem);
    int listed = 0;
    for (; s->state && s->state[listed]; listed++) {
        bool found = false;
        for (int i = 0; i < kept_count; i++)
            found |= !strcmp(kept[i], s->state[listed]);
        if (!found)
            fail_msg("%s does not keep its %s", s->name, s->state[listed]);
    }
    if (kept_count != listed)
        fail_msg("%s keeps %d things, its table names %d", s->name, kept_count, listed);
    experiment_close(&e);
}

static void test_schemes_keep_what_their_tables_name(void **state)
{
    (void)state;
    for (int i = 0; schemes[i]; i++)
        try_scheme(schemes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_show_all_that_they_remember),
        cmocka_unit_test(test_codecs_show_all_that_they_remember),
        cmocka_unit_test(test_schemes_keep_what_their_tables_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
