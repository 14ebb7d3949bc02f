/* Where the seconds of a worker go: in every scheme each second of its clock is in one account, and
 * what they hold is what can be computed by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "scheme/scheme.h"
#include "slowness/slowness.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 4, MINIBATCHES = 3, MINIBATCH = 8, UPDATES = 10 };
static const double minibatch_s = 0.01; /* --sim-minibatch of the closed forms */
static const char machine_text[] = "ranks_per_host = 3\n"
                                   "vector_bandwidth_bytes_per_s = 8e6\n"
                                   "step_bandwidth_bytes_per_s = 8e6\n"
                                   "copy_bandwidth_bytes_per_s = 4e6\n";
static const char *const delays[] = {"constant:0", "exponential:0.05", "stall:0.1,0.3!",
                                     "uniform:0,0.02@2;constant:0.03@3"};
static const char *const networks[] = {"sim-latency=0.001 sim-bandwidth=1e6",
                                       "sim-bandwidth=4e6 eval-every=96",
                                       "sim-bandwidth=2e5 slow=2=2 eval-every=200"};

static void add_words(struct option_list *w, const char *words)
{
    char copy[200], *save = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(w, "%s", word);
}

static void describe(struct experiment *e, const char *scheme, const char *words)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=%d", MINIBATCHES);
    add_option(&w, "batch=%d", MINIBATCHES * MINIBATCH);
    add_option(&w, "samples=%d", UPDATES * WORKERS * MINIBATCHES * MINIBATCH);
    add_option(&w, "sim-minibatch=%g", minibatch_s);
    add_words(&w, words);
    experiment_defaults(e, option_list_words(&w));
}

static const struct machine *load(const char *text)
{
    char path[] = "/tmp/nbsgd_machine_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && write(file, text, strlen(text)) > 0 && !close(file), "cannot write %s",
          path);
    const struct machine *m = machine_load(path);
    unlink(path);
    return m;
}

/* NULL: it adds up */
static const char *wrong_in(const struct counters *c)
{
    double sum_s = c->compute_s + c->delay_s + c->update_s + c->transfer_s + c->wait_s;
    double least_s = -1e-9 * c->clock_s;
    return !(c->clock_s > 0)                              ? "no clock"
           : fabs(sum_s - c->clock_s) > 1e-6 * c->clock_s ? "the accounts do not add to the clock"
           : c->wait_s < least_s || c->transfer_s < least_s || c->update_s < least_s
               ? "an account is negative"
           : c->compute_s - c->aborted_s - c->dropped_s < least_s ? "more is lost than was computed"
                                                                  : NULL;
}

static void adds_up(const struct scheme *s, const char *delay, const char *network, uint64_t seed,
                    const struct machine *m)
{
    struct experiment e;
    char words[200];
    double useful_s = 0;
    const bool alone = s->flags & ALONE;
    if (alone) {
        network = "eval-every=96";
        delay = "exponential:0.05";
    }
    snprintf(words, sizeof words, "%s delay=%s seed=%llu servers=%d", network, delay,
             (unsigned long long)seed, s->flags & PUSHES && seed > 2 ? 2 : 1);
    describe(&e, s->name, words);
    e.machine = m;
    e.jitter = seed % 4 < 2 ? 0.1 : 0;
    e.problem = problem_open(&(struct problem_options){
        .options = &e.options, .minibatch = MINIBATCH, .threads = 1, .trains = true});
    experiment_run(&e);
    problem_close(e.problem);
    for (int i = 0; i < (alone ? 1 : e.workers); i++) {
        const struct counters *c = alone ? &e.out.server : &e.out.worker[i];
        const char *wrong = wrong_in(c);
        useful_s += c->compute_s - c->aborted_s - c->dropped_s;
        if (wrong)
            fail_msg("%s, delay %s, %s, seed %llu, worker %d: %s: computing %g (aborted %g, "
                     "dropped %g), delays %g, vector work %g, transfer %g, waiting %g, other %g of "
                     "%g s",
                     s->name, delay, network, (unsigned long long)seed, i, wrong, c->compute_s,
                     c->aborted_s, c->dropped_s, c->delay_s, c->update_s, c->transfer_s, c->wait_s,
                     c->other_s, c->clock_s);
    }
    /* what is useful made the samples that updates used */
    double used_s = (double)e.out.samples / MINIBATCH * minibatch_s;
    if (!e.jitter && !strstr(network, "slow") && fabs(useful_s - used_s) > 1e-6 * used_s)
        fail_msg("%s, delay %s, %s, seed %llu: %g s were useful, updates used %g s", s->name, delay,
                 network, (unsigned long long)seed, useful_s, used_s);
    experiment_close(&e);
}

static void every_second_of_every_scheme_is_in_one_account(void **state)
{
    const struct machine *machine[] = {NULL, *state};
    for (const struct scheme *const *each = schemes; *each; each++)
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++)
            for (size_t k = 0; k < sizeof networks / sizeof *networks; k++)
                for (uint64_t seed = 1; seed <= 4; seed++)
                    adds_up(*each, delays[d], networks[k], seed, machine[seed % 2]);
}

/* --- closed forms: no jitter, messages in no time but where said */

static void run(struct experiment *e, const char *scheme, const char *words)
{
    describe(e, scheme, words);
    experiment_run(e);
}

static void is_near(const char *what, double is_s, double wanted_s)
{
    if (fabs(is_s - wanted_s) > 1e-7)
        fail_msg("%s: %.9f s, %.9f expected", what, is_s, wanted_s);
}

static void three_wait_for_one_of_a_quarter_of_their_speed(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "ssgd", "sim-latency=0 sim-bandwidth=1e15 slow=4=4");
    for (int i = 0; i < WORKERS; i++) {
        const struct counters *c = &e.out.worker[i];
        is_near("the clock", c->clock_s, 4.0 * UPDATES * MINIBATCHES * minibatch_s);
        is_near("waiting", c->wait_s, (i < 3 ? 0.75 : 0) * c->clock_s);
        is_near("computing", c->compute_s, (i < 3 ? 0.25 : 1) * c->clock_s);
        assert_true(c->aborted_s == 0 && c->dropped_s == 0 && fabs(c->transfer_s) < 1e-9);
    }
    experiment_close(&e);
}

/* The late worker is in the 6th of ten units of its second mini-batch when the others is done. It
 * hears that at the unit's end, and that one waits for it. */
static void aborted_is_what_was_interrupted(void **state)
{
    (void)state;
    struct experiment e;
    const double slow = 1.9, heard_s = 1.6 * slow * minibatch_s;
    run(&e, "nbssgd",
        "workers=2 sim-latency=0 sim-bandwidth=1e15 slow=2=1.9 nb-inflight=abort nb-batch=reset");
    const struct counters *fast = &e.out.worker[0], *late = &e.out.worker[1];
    const double versions = (double)e.out.updates;
    is_near("aborted by the fast one", fast->aborted_s, 0);
    is_near("aborted by the late one", late->aborted_s, versions * 0.6 * slow * minibatch_s);
    is_near("waiting", fast->wait_s, versions * (heard_s - MINIBATCHES * minibatch_s));
    is_near("waiting by the late one", late->wait_s, 0);
    assert_true(fast->dropped_s == 0 && late->dropped_s == 0);
    experiment_close(&e);
}

static void of_a_backup_worker_all_is_dropped(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "backup", "sim-latency=0 sim-bandwidth=1e15 backup-workers=1 slow=4=1.5");
    double computed_s = 0, dropped_s = 0;
    for (int i = 0; i < WORKERS; i++) {
        computed_s += e.out.worker[i].compute_s;
        dropped_s += e.out.worker[i].dropped_s;
        is_near("dropped", e.out.worker[i].dropped_s, i < 3 ? 0 : e.out.worker[i].compute_s);
    }
    assert_true(fabs(dropped_s / computed_s - 1.0 / WORKERS) < 0.03);
    experiment_close(&e);
}

/* What a slow worker has not pushed when training is over is dropped, too. */
static void what_comes_after_the_end_is_dropped(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "asgd", "sim-latency=0 sim-bandwidth=1e15 slow=4=100");
    is_near("dropped", e.out.worker[3].dropped_s, 100.0 * MINIBATCHES * minibatch_s);
    is_near("of all", e.out.worker[3].compute_s, e.out.worker[3].dropped_s);
    experiment_close(&e);
}

/* On their way are each push and each reply: two latencies an update. The first and the last reply
 * may come while the clock stands still. */
static void what_is_on_its_way_is_transfer(void **state)
{
    (void)state;
    struct experiment e;
    const double latency_s = 0.004;
    run(&e, "ssgd", "sim-latency=0.004 sim-bandwidth=1e15 slow=4=2");
    for (int i = 0; i < WORKERS; i++) {
        const struct counters *c = &e.out.worker[i];
        assert_true(fabs(c->transfer_s - 2 * UPDATES * latency_s) < 2.1 * latency_s);
        assert_true(fabs(c->wait_s - (i < 3 ? UPDATES * MINIBATCHES * minibatch_s : 0)) <
                    1.1 * latency_s); /* for the call to the last evaluation */
    }
    experiment_close(&e);
}

static void a_delay_is_its_own_and_makes_others_wait(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "ssgd", "sim-latency=0 sim-bandwidth=1e15 delay=constant:0.005@4");
    for (int i = 0; i < WORKERS; i++) {
        const struct counters *c = &e.out.worker[i];
        const double held_s = UPDATES * MINIBATCHES * 0.005;
        is_near("delays", c->delay_s, i < 3 ? 0 : held_s);
        is_near("waiting", c->wait_s, i < 3 ? held_s : 0);
        is_near("computing", c->compute_s, UPDATES * MINIBATCHES * minibatch_s);
    }
    experiment_close(&e);
}

int main(void)
{
    const struct machine *m = load(machine_text);
    void *machine = (void *)(uintptr_t)m;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_second_of_every_scheme_is_in_one_account, machine),
        cmocka_unit_test(three_wait_for_one_of_a_quarter_of_their_speed),
        cmocka_unit_test(aborted_is_what_was_interrupted),
        cmocka_unit_test(of_a_backup_worker_all_is_dropped),
        cmocka_unit_test(what_comes_after_the_end_is_dropped),
        cmocka_unit_test(what_is_on_its_way_is_transfer),
        cmocka_unit_test(a_delay_is_its_own_and_makes_others_wait),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    machine_close(m);
    return failed;
}
