/* Machine files, good ones and each kind of bad one: what is refused names the file, the line and
 * what was expected. */
#include "slowness/slowness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/death_test.h"

struct paper {
    char path[40];
};

static struct paper write_paper(const char *text)
{
    struct paper paper = {"/tmp/nbsgd_machine_XXXXXX"};
    int file = mkstemp(paper.path);
    CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && !close(file),
          "cannot write %s", paper.path);
    return paper;
}

static const struct machine *load(const char *text)
{
    struct paper paper = write_paper(text);
    const struct machine *m = machine_load(paper.path);
    unlink(paper.path);
    return m;
}

static const char whole[] = "# a comment\n"
                            "latency_s = 1.5e-6\n"
                            "  jitter_s = 2e-7\n"
                            "\n"
                            "bandwidth_bytes_per_s = 11e9 ; after it\n"
                            "host_bandwidth_bytes_per_s: 12e9\n"
                            "ranks_per_host = 4\n"
                            "local_latency_s = 4e-7\r\n"
                            "local_jitter_s = 0\n"
                            "local_bandwidth_bytes_per_s = 6e9\n"
                            "vector_bandwidth_bytes_per_s = 13e9\n"
                            "[rank 3]\n"
                            "speed = 0.5\n"
                            "[rank 5]\n"
                            "speed = 2\n"
                            "[rank 7]\n"
                            "bandwidth_bytes_per_s = 1e9\n"
                            "[link 1 2]\n"
                            "latency_s = 0.05\n"
                            "[link 2 9]\n"
                            "bandwidth_bytes_per_s = 5e6\n"
                            "[rank 3]\n"
                            "bandwidth_bytes_per_s = 2e9\n"
                            "[minibatch_s]\n"
                            "resnet50 cifar 32 f32 1 = 0.73 \t 0.04 ; mean, jitter\n"
                            "resnet20  cifar\t032 bf16 2 = 0.011";

static void test_a_whole_file(void **state)
{
    (void)state;
    const struct machine *m = load(whole);
    const struct links *l = machine_links(m, 12);
    assert_true(l->between.latency_s == 1.5e-6 && l->between.jitter_s == 2e-7 &&
                l->between.bandwidth == 11e9);
    assert_true(l->within.latency_s == 4e-7 && l->within.jitter_s == 0 &&
                l->within.bandwidth == 6e9);
    assert_true(l->ranks_per_host == 4 && l->host_bandwidth == 12e9 &&
                machine_vector_bandwidth(m, PASS_STEP, true) == 13e9);
    assert_true(machine_speed(m, 3) == 0.5 && machine_speed(m, 5) == 2 &&
                machine_speed(m, 7) == 1 && machine_speed(m, 0) == 1);
    assert_int_equal(l->rank_count, 2);
    assert_true(l->rank[0].rank == 3 && l->rank[0].bandwidth == 2e9 && l->rank[1].rank == 7 &&
                l->rank[1].bandwidth == 1e9);
    assert_int_equal(l->pair_count, 2);
    const struct link_pair *near = &l->pair[0],
                           *far =
                               &l->pair[1]; /* what they do not say is as on their kind of link */
    assert_true(near->from == 1 && near->to == 2 && near->kind.latency_s == 0.05 &&
                near->kind.jitter_s == 0 && near->kind.bandwidth == 0);
    assert_true(far->from == 2 && far->to == 9 && far->kind.latency_s == 1.5e-6 &&
                far->kind.jitter_s == 2e-7 && far->kind.bandwidth == 5e6);
    assert_true(machine_minibatch_s(m, "resnet50", "cifar", 32, "f32", 1) == 0.73);
    assert_true(machine_minibatch_s(m, "resnet20", "cifar", 32, "bf16", 2) == 0.011);
    assert_true(machine_minibatch_jitter(m, "resnet50", "cifar", 32, "f32", 1) == 0.04);
    /* not in the file */
    assert_true(machine_minibatch_jitter(m, "resnet20", "cifar", 32, "bf16", 2) == 0);
    assert_true(machine_minibatch_jitter(m, "resnet50", "cifar", 32, "f32", 2) == 0);
    assert_true(machine_copy_bandwidth(m, 1, 2) == 6e9 && machine_copy_bandwidth(m, 7, 4) == 6e9);
    assert_true(machine_copy_bandwidth(m, 3, 4) == 0 && machine_copy_bandwidth(m, 0, 11) == 0);
    assert_true(isnan(machine_minibatch_s(m, "resnet50", "cifar", 32, "f32", 2)));
    assert_true(isnan(machine_minibatch_s(m, "resnet50", "imagenet", 32, "f32", 1)));
    machine_close(m);
    machine_close(NULL);
}

/* Each kind of pass has its rate; whoever works in a crowd is as much slower in each. A missing
 * rate is that of sums. */
static void test_rates_of_passes(void **state)
{
    (void)state;
    const struct machine *m = load("ranks_per_host = 4\n"
                                   "vector_bandwidth_bytes_per_s = 12e9\n"
                                   "step_bandwidth_bytes_per_s = 20e9\n"
                                   "crowded_bandwidth_bytes_per_s = 6e9\n"
                                   "host_jitter_share = 0.25\n");
    assert_true(machine_vector_bandwidth(m, PASS_SUM, false) == 12e9);
    assert_true(machine_vector_bandwidth(m, PASS_STEP, false) == 20e9);
    assert_true(machine_vector_bandwidth(m, PASS_COPY, false) == 12e9);
    assert_true(machine_vector_bandwidth(m, PASS_SUM, true) == 6e9);
    assert_true(machine_vector_bandwidth(m, PASS_STEP, true) == 10e9);
    assert_true(machine_host_jitter_share(m) == 0.25);
    assert_true(machine_host(m, 3) == 0 && machine_host(m, 4) == 1);
    assert_int_equal(machine_cores(m), 0);
    machine_close(m);
    m = load("ranks_per_host = 2\nhosts_per_machine = 3\ncores_per_host = 8\n");
    assert_true(machine_host(m, 5) == 0 && machine_host(m, 6) == 1 && machine_cores(m) == 8);
    machine_close(m);
    m = load("vector_bandwidth_bytes_per_s = 12e9\ncrowded_bandwidth_bytes_per_s = 6e9\n");
    assert_true(machine_vector_bandwidth(m, PASS_SUM, true) == 12e9); /* hosts of one rank */
    assert_true(machine_host_jitter_share(m) == 0);
    machine_close(m);
}

static void test_a_short_file(void **state)
{
    (void)state;
    const struct machine *m = load("latency_s = 0\nbandwidth_bytes_per_s = 1e9\n");
    const struct links *l = machine_links(m, 100);
    assert_true(machine_copy_bandwidth(m, 0, 1) == 0 && machine_copy_bandwidth(m, 0, 0) == 0);
    assert_true(l->ranks_per_host == 1 && l->host_bandwidth == 0 && l->between.jitter_s == 0 &&
                machine_vector_bandwidth(m, PASS_SUM, false) == 0);
    machine_close(m);
    m = load("");
    assert_true(machine_links(m, 1)->ranks_per_host == 1); /* one rank alone needs no link */
    machine_close(m);
}

/* Room grows by doubling: every entry must survive it. */
static void test_many_entries(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    for (int i = 0; i < 37; i++)
        fprintf(to, "[rank %d]\nspeed = %d\n[link %d %d]\nlatency_s = %d\n", i, i + 1, i, i + 1, i);
    fprintf(to, "[minibatch_s]\n");
    for (int i = 1; i <= 37; i++)
        fprintf(to, "resnet20 cifar %d f32 1 = %d\n", i, 2 * i);
    fclose(to);
    const struct machine *m = load(text);
    for (int i = 0; i < 37; i++) {
        assert_true(machine_speed(m, i) == i + 1);
        assert_true(machine_links(m, 1)->pair[i].kind.latency_s == i &&
                    machine_links(m, 1)->pair[i].from == i);
        assert_true(machine_minibatch_s(m, "resnet20", "cifar", i + 1, "f32", 1) == 2 * (i + 1));
    }
    machine_close(m);
    free(text);
}

static void load_path(const void *path)
{
    machine_close(machine_load(path));
}

static void refused(const char *text, int line, const char *word, const char *hint)
{
    struct paper paper = write_paper(text);
    char place[60];
    snprintf(place, sizeof place, "%s:%d: ", paper.path, line);
    assert_dies(EXIT_USER, load_path, paper.path, (const char *const[]){place, word, hint, NULL});
    unlink(paper.path);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("latency_s = 1\nlatancy_s = 1\n", 2, "unknown key 'latancy_s'",
            "did you mean 'latency_s'?");
    refused("host_jitter_share = 1.5\n", 1, "host_jitter_share = 1.5", "a number from 0 to 1");
    refused("\n\nzebra = 1\n", 3, "unknown key 'zebra'", "vector_bandwidth_bytes_per_s");
    refused("[rank 1]\nlatency_s = 1\n", 2, "unknown key 'latency_s'",
            "speed, bandwidth_bytes_per_s");
    refused("[rank 1]\nsped = 1\n", 2, "unknown key 'sped'", "did you mean 'speed'?");
    refused("[link 0 1]\njiter_s = 1\n", 2, "unknown key 'jiter_s'", "did you mean 'jitter_s'?");
    refused("[rnak 1]\nspeed = 1\n", 2, "unknown section [rnak 1]", "did you mean [rank N]?");
    refused("[minibatches]\nx = 1\n", 2, "unknown section [minibatches]",
            "did you mean [minibatch_s]?");
    refused("[nothing of the kind]\nx = 1\n", 2, "unknown section",
            "expected [rank N], [link FROM TO] or [minibatch_s]");
    refused("[rank x]\nspeed = 1\n", 2, "[rank x]", "expected [rank N]");
    refused("[rank -1]\nspeed = 1\n", 2, "[rank -1]", "expected [rank N]");
    refused("[rank 1 2]\nspeed = 1\n", 2, "[rank 1 2]", "expected [rank N]");
    refused("[rank 99999999999999]\nspeed = 1\n", 2, "[rank 99", "expected [rank N]");
    refused("[link 1]\nlatency_s = 1\n", 2, "[link 1]",
            "expected [link FROM TO], two different ranks");
    refused("[link 1 1]\nlatency_s = 1\n", 2, "[link 1 1]",
            "expected [link FROM TO], two different ranks");
    refused("[link 1 2 3]\nlatency_s = 1\n", 2, "[link 1 2 3]", "expected [link FROM TO]");
    refused("latency_s = 20us\n", 1, "latency_s = 20us",
            "expected a number from 0 up, in the unit that the key names");
    refused("latency_s =\n", 1, "latency_s = ", "expected a number from 0 up");
    refused("latency_s = -1e-6\n", 1, "-1e-6", "expected a number from 0 up");
    refused("latency_s = nan\n", 1, "nan", "expected a number from 0 up");
    refused("latency_s = inf\n", 1, "inf", "expected a number from 0 up");
    refused("# links\nbandwidth_bytes_per_s = 0\n", 2, "bandwidth_bytes_per_s = 0",
            "expected a number above 0");
    refused("[rank 2]\n\nspeed = 0\n", 3, "speed = 0", "expected a number above 0");
    refused("ranks_per_host = 2.5\n", 1, "2.5", "expected a whole number from 1 up");
    refused("ranks_per_host = 0\n", 1, "ranks_per_host = 0", "expected a whole number from 1 up");
    refused("latency_s = 1\njitter_s = 1\nlatency_s = 1\n", 3, "latency_s appears twice",
            "leave one");
    refused("[rank 1]\nspeed = 1\n[rank 2]\nspeed = 1\n[rank 1]\nspeed = 1\n", 6,
            "speed appears twice", "leave one");
    refused("latency_s = 1\nbandwidth\n", 2, "expected 'key = value'", "[section] or a comment");
    refused("[rank 1\nspeed = 1\n", 1, "expected 'key = value'", "[section] or a comment");
}

/* As a run names them: a ResNet's stem and norm, the widths of a perceptron's layers. */
static void test_variants(void **state)
{
    (void)state;
    const struct machine *m = load("[minibatch_s]\nresnet20 cifar-group 32 f32 1 = 1\n"
                                   "mlp 200,200 32 f32 1 = 2\nvgg16 4096,4096 8 bf16 2 = 3\n");
    assert_true(machine_minibatch_s(m, "resnet20", "cifar-group", 32, "f32", 1) == 1);
    assert_true(machine_minibatch_s(m, "mlp", "200,200", 32, "f32", 1) == 2);
    assert_true(machine_minibatch_s(m, "vgg16", "4096,4096", 8, "bf16", 2) == 3);
    assert_true(isnan(machine_minibatch_s(m, "mlp", "20,20", 32, "f32", 1)));
    machine_close(m);
}

static void test_refused_minibatches(void **state)
{
    (void)state;
    const char *const bad[] = {"resnet50",
                               "resnet50 cifar 32 f32",
                               "resnet50 cifar 32 f32 1 thread",
                               "resnet50 round 32 f32 1",
                               "resnet50 cifar 0 f32 1",
                               "resnet50 cifar 32x f32 1",
                               "resnet50 cifar 32 f64 1",
                               "resnet50 cifar 32 f32 none"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[120];
        snprintf(text, sizeof text, "[minibatch_s]\n%s = 0.5\n", bad[i]);
        refused(text, 2, bad[i], "as in 'resnet50 cifar 32 f32 1'");
    }
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 = 0\n", 2, "= 0", "expected a number above 0");
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 = 0 0.1\n", 2,
            "= 0:", "expected a number above 0");
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 =\n", 2, "= :", "expected a number above 0");
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 = 0.5 -0.1\n", 2,
            "the jitter of resnet50 cifar 32 f32 1 = -0.1", "a number from 0 up");
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 = 0.5 0.1 0.2\n", 2,
            "jitter of resnet50 cifar 32 f32 1 = 0.1 0.2", "from 0 up");
    refused("[minibatch_s]\nresnet50 cifar 32 f32 1 = 1\nresnet50  cifar 32 f32 1 = 1\n", 3,
            "appears twice", "leave one");
    char line[400] = "# ok\nlatency_s = 1", *end = strchr(line, 0);
    memset(end, '0', 300);
    strcpy(end + 300, "\n");
    refused(line, 2, "expected at most", "characters per line");
}

static void test_no_file(void **state)
{
    (void)state;
    assert_dies(
        EXIT_USER, load_path, "/nowhere/at/all.ini",
        (const char *const[]){"--machine", "/nowhere/at/all.ini", "No such file", "test.s", NULL});
    assert_dies(EXIT_USER, load_path, "/tmp",
                (const char *const[]){"--machine", "/tmp", "Is a directory", NULL});
}

struct need {
    const char *text;
    int ranks;
};

static void use(const void *argument)
{
    const struct need *need = argument;
    machine_links(load(need->text), need->ranks);
}

static void test_missing_keys(void **state)
{
    (void)state;
    const char *one_host =
        "ranks_per_host = 5\nlocal_latency_s = 1e-6\nlocal_bandwidth_bytes_per_s = 5e9\n";
    char said[2000];
    assert_int_equal(death_test(use, &(struct need){one_host, 5}, said, sizeof said), 0);
    assert_dies(EXIT_USER, use, &(struct need){one_host, 6},
                (const char *const[]){"latency_s is missing", "of 6 ranks", "between hosts", NULL});
    assert_dies(EXIT_USER, use, &(struct need){"latency_s = 1", 2},
                (const char *const[]){"bandwidth_bytes_per_s is missing", NULL});
    assert_dies(EXIT_USER, use, &(struct need){"ranks_per_host = 2", 2},
                (const char *const[]){"local_latency_s is missing", NULL});
    assert_dies(
        EXIT_USER, use, &(struct need){"ranks_per_host = 2\nlocal_latency_s = 0", 2},
        (const char *const[]){"local_bandwidth_bytes_per_s is missing", "within a host", NULL});
    assert_dies(EXIT_USER, use,
                &(struct need){"ranks_per_host = 2\nlatency_s = 0\nbandwidth_bytes_per_s = 1", 3},
                (const char *const[]){"local_latency_s is missing", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_file), cmocka_unit_test(test_rates_of_passes),
        cmocka_unit_test(test_a_short_file), cmocka_unit_test(test_many_entries),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_missing_keys), cmocka_unit_test(test_refused_minibatches),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
