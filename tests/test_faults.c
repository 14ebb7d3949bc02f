/* Faults of simulated ranks: what the world does with a rank that stops and with a link that is
 * down, to the last bit; the file of --faults; and how a run meets them. */
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
#include "messaging/messaging.h"
#include "slowness/slowness.h"
#include "tests/death_test.h"
#include "tests/option_list.h"
#include "tests/rank_log.h"
#include "tests/scheme_harness.h"

enum { TAG = 7 };

/* --- the world --- */

static void stopped_body(struct net *net, void *argument)
{
    const double parts[] = {1, 1, 1, 1};
    net_stop(net, 2, 8);
    net_advance(net, 4);
    log_value(argument, net_now(net));
    net_stop(net, 13.5, 8);
    net_stop(net, 14.5, 10); /* while it is stopped: until the later end */
    log_value(argument, net_advance_parts(net, parts, 4));
    log_value(argument, net_now(net));
    log_value(argument, net_advance_parts(net, parts + 2, 2));
    log_value(argument, net_now(net));
}

static void what_a_stopped_rank_computes_is_done_later(void **state)
{
    (void)state;
    struct rank_log notes = log_run(1, stopped_body);
    EXPECT(&notes, 12, 2, 14 + 11, 2, 27);
}

static void waiting_body(struct net *net, void *argument)
{
    struct request *come, *none = NULL;
    if (net->rank) {
        net_advance(net, 4);
        send_head(net, 0, TAG, 1);
        return;
    }
    net_stop(net, 1, 1);
    log_value(argument, net_wait(net, &none, 1, 3));
    log_value(argument, net_now(net));
    net_stop(net, 3.5, 6.5);
    come = net_recv(net, 1, TAG, NULL, 0);
    log_value(argument, net_wait(net, &come, 1, 5));
    log_value(argument, net_now(net));
    net_release(net, come);
}

/* A wait is not prolonged, and what came meanwhile is there. */
static void a_stopped_rank_that_waits_hears_afterwards(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, waiting_body);
    EXPECT(&notes, -1, 3, 0, 10);
}

static void heard_body(struct net *net, void *argument)
{
    if (net->rank) {
        net_stop(net, 2, net->rank == 1 ? 8 : INFINITY);
        net_advance(net, 4);
        CHECK(net->rank == 1, "a dead rank goes on");
        return;
    }
    for (double at = 1; at < 16; at += 4) {
        net_advance(net, at - net_now(net));
        log_value(argument, net_since_heard(net, 1));
        log_value(argument, net_since_heard(net, 2));
    }
}

static void silence_grows_and_the_dead_are_known(void **state)
{
    (void)state;
    struct rank_log notes = log_run(3, heard_body);
    EXPECT(&notes, 0, 0, 3, INFINITY, 7, INFINITY, 0, INFINITY);
}

static void cut_body(struct net *net, void *argument)
{
    if (net->rank == 1) {
        net_cut(net, 2, 8);
        send_head(net, 0, TAG, 1);
        net_advance(net, 3);
        send_head(net, 0, TAG, 2);
        net_advance(net, 1);
        send_head(net, 0, TAG, 3);
        log_value(argument, net_since_heard(net, 0));
        return;
    }
    for (int64_t i = 1; i <= 3; i++) {
        CHECK(take_from(net, 1, TAG) == i, "messages of one lane change places");
        log_value(argument, net_now(net));
    }
}

static void a_link_that_is_down_holds_messages_back(void **state)
{
    (void)state;
    struct rank_log notes = log_run(2, cut_body);
    EXPECT(&notes, L + H, 2, 10 + L + H, 10 + L + 2 * H);
}

static void ends_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0) {
        send_head(net, 1, TAG, 1);
        net_advance(net, 5);
        return;
    }
    net_stop(net, 1, 1000);
    net_advance(net, 2);
    CHECK(false, "it goes on when rank 0 has returned");
}

static void who_is_stopped_at_the_end_stays_so(void **state)
{
    (void)state;
    log_run(2, ends_body);
}

static void freed_body(struct net *net, void *argument)
{
    enum { MANY = 1 << 20 }; /* bytes, which take a second */
    (void)argument;
    void *block = net_alloc(net, MANY);
    if (net->rank == 1) {
        struct request *come = net_recv(net, 0, TAG, block, MANY);
        net_stop(net, 0, INFINITY);
        net_wait(net, &come, 1, INFINITY);
        CHECK(false, "a dead rank goes on");
    }
    send_bytes(net, 1, TAG, block, MANY);
    net_advance(net, 0.25);
    net_free(net, block); /* and returns: the payload is under way */
}

static void what_the_dead_are_sent_stays(void **state)
{
    (void)state;
    log_run(2, freed_body);
}

static void dead_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 1)
        net_stop(net, 3, INFINITY);
    net_advance(net, 4);
    take_from(net, 1, TAG);
}

static void lost_body(struct net *net, void *argument)
{
    (void)argument;
    struct request *come = net_recv(net, 1 - net->rank, TAG, NULL, 0);
    while (net_wait(net, &come, 1, net_now(net) + 1) < 0)
        ;
}

static void run_body(const void *body)
{
    log_run(2, *(void (*const *)(struct net *, void *))body);
}

static void waits_for_the_dead_end(void **state)
{
    (void)state;
    void (*const dead)(struct net *, void *) = dead_body,
                                          (*const lost)(struct net *, void *) = lost_body;
    assert_dies(EXIT_SILENT, run_body, &dead,
                (const char *const[]){"rank 1 on sim has died", "1 of 2 ranks wait", NULL});
    assert_dies(EXIT_WORLD, run_body, &lost, (const char *const[]){"deadlock", NULL});
}

/* --- the file --- */

static const struct fault_world world = {.ranks = 5, .servers = 1, .seed = 3};

static void write_text(const char *path, const char *text, size_t bytes)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(text, 1, bytes, f) == bytes && !fclose(f), "cannot write %s", path);
}

static struct faults load_text(const char *text)
{
    char path[] = "/tmp/nbsgd_faults_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && !close(file), "cannot make %s", path);
    write_text(path, text, strlen(text));
    struct faults *f = faults_load(path, &world), copy = *f;
    faults_free(f);
    unlink(path);
    return copy;
}

static void a_file_says_who_when_and_what(void **state)
{
    (void)state;
    const struct faults f = load_text("\xef\xbb\xbf# a comment\n"
                                      "\n"
                                      "rank 3 push 7 dead # after it\n"
                                      "  rank 1 minibatch 12   frozen 30\r\n"
                                      "rank 2 second 4.5 slower 8 for 20\n"
                                      "rank 0 second 0 late 0.5 for 3\n"
                                      "rank 4 random 10 scattered 0.2 for 1e3\n"
                                      "rank 0 second 5 down 2\n"
                                      "rank 0 row 9 full 4\n"
                                      "rank 0 checkpoint 2 torn\n"
                                      "rank 0 weights 1 flipped");
    static const struct fault wanted[] = {
        {3, FAULT_PUSH, 7, FAULT_DEAD, 0, INFINITY},
        {1, FAULT_MINIBATCH, 12, FAULT_FROZEN, 0, 30},
        {2, FAULT_SECOND, 4.5, FAULT_SLOWER, 8, 20},
        {0, FAULT_SECOND, 0, FAULT_LATE, 0.5, 3},
        {4, FAULT_SECOND, 0, FAULT_SCATTERED, 0.2, 1e3},
        {0, FAULT_SECOND, 5, FAULT_DOWN, 0, 2},
        {0, FAULT_ROW, 9, FAULT_FULL, 4, INFINITY},
        {0, FAULT_CHECKPOINT, 2, FAULT_TORN, 0, INFINITY},
        {0, FAULT_WEIGHTS, 1, FAULT_FLIPPED, 0, INFINITY},
    };
    static const struct disk_fault disk[] = {
        {DISK_ROWS, 9, 4, DISK_FULL, false},
        {DISK_CHECKPOINT, 2, 1, DISK_TORN, false},
        {DISK_WEIGHTS, 1, 1, DISK_FLIPPED, false},
    };
    assert_int_equal(f.disk_count, sizeof disk / sizeof *disk);
    for (int i = 0; i < f.disk_count; i++) {
        assert_int_equal(f.disk[i].files, disk[i].files);
        assert_int_equal(f.disk[i].number, disk[i].number);
        assert_int_equal(f.disk[i].count, disk[i].count);
        assert_int_equal(f.disk[i].harm, disk[i].harm);
    }
    assert_int_equal(f.count, sizeof wanted / sizeof *wanted);
    for (int i = 0; i < f.count; i++) {
        const struct fault *is = &f.fault[i], *want = &wanted[i];
        assert_int_equal(is->rank, want->rank);
        assert_int_equal(is->when, want->when);
        assert_int_equal(is->kind, want->kind);
        assert_true(is->amount == want->amount && is->for_s == want->for_s);
        assert_true(i == 4 ? is->moment > 0 && is->moment < 10 : is->moment == want->moment);
    }
}

static void load_path(const void *path)
{
    faults_free(faults_load(path, &world));
}

static void what_is_no_fault_is_refused_by_its_line(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"rank 5 push 1 dead", "no such rank among 5"},
        {"rank -1 push 1 dead", "no rank"},
        {"rank 1 push 0 dead", "not from 1"},
        {"rank 1 push 1.5 dead", "no whole number"},
        {"rank 1 push 1e99 dead", "a number that is not"},
        {"rank 1 second nan dead", "no number"},
        {"rank 1 second -1 dead", "a number that is not from 0"},
        {"rank 1 second inf down 1", "no number"},
        {"rank 1 second 1", "no fault"},
        {"rank 1 1 dead", "no moment"},
        {"rank 1 second 1 deadly", "no fault"},
        {"rank 1 second 1 dead 5", "something more"},
        {"rank 1 second 1 frozen", "no number"},
        {"rank 1 second 1 slower 0.5 for 3", "not from 1"},
        {"rank 1 second 1 slower 2 3", "no 'for'"},
        {"rank 0 push 1 dead", "a server"},
        {"rank 0 second 1 slower 2 for 3", "a server"},
        {"second 1 rank 1 dead", "no 'rank'"},
        {"rank 1 second 1 dead rank 2 second 1 dead", "something more"},
        {"rank 1 row 1 torn", "writes no files"},
        {"rank 0 second 1 torn", "befalls no file"},
        {"rank 0 row 1 dead", "befalls no file"},
        {"rank 0 weights 1 full", "no number"},
        {"rank 0 weights 1 full 0", "not from 1"},
        {"rank 0 checkpoint 0 torn", "not from 1"},
        {"\x01\x02\x03", "no 'rank'"},
    };
    char path[] = "/tmp/nbsgd_faults_XXXXXX", text[4000];
    int file = mkstemp(path);
    assert_true(file >= 0 && !close(file));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "rank 1 second 1 dead\n%s\n", bad[i][0]);
        write_text(path, text, strlen(text));
        assert_dies(EXIT_USER, load_path, path, (const char *const[]){path, ":2", bad[i][1], NULL});
    }
    memset(text, ' ', sizeof text);
    write_text(path, text, sizeof text);
    assert_dies(EXIT_USER, load_path, path, (const char *const[]){path, ":1", "more than", NULL});
    write_text(path, "rank 1\0 second 1 dead\n", 22);
    assert_dies(EXIT_USER, load_path, path, (const char *const[]){path, ":1", "byte 0", NULL});
    text[0] = 0;
    for (int i = 0; i <= FAULTS; i++)
        strcat(text, i % 2 ? "rank 1 push 1 dead\n" : "");
    write_text(path, text, strlen(text));
    faults_free(faults_load(path, &world));
    unlink(path);
    assert_dies(EXIT_USER, load_path, path, (const char *const[]){path, "No such file", NULL});
    assert_dies(EXIT_USER, load_path, "random:", (const char *const[]){"no number", NULL});
    assert_dies(EXIT_USER, load_path, "random:1,2,3,4,5", (const char *const[]){"more", NULL});
    assert_dies(EXIT_USER, load_path, "random:1,257",
                (const char *const[]){"not from 0 to 256", NULL});
    assert_dies(EXIT_USER, load_path, "random:1,250,3,7",
                (const char *const[]){"not from 0 to 6", NULL});
}

static bool same_fault(const struct fault *a, const struct fault *b)
{
    return a->rank == b->rank && a->when == b->when && a->moment == b->moment &&
           a->kind == b->kind && a->amount == b->amount && a->for_s == b->for_s;
}

/* What is drawn is written, and read again to the last bit; all kinds come, to all ranks. */
static void what_is_drawn_can_be_written(void **state)
{
    (void)state;
    int kinds[FAULT_KINDS] = {0}, ranks[5] = {0};
    for (uint64_t seed = 0; seed < 40; seed++) {
        char *text = NULL;
        size_t size;
        struct fault_draw d = {seed, 10, 7, 2, 0.3, 100, 5};
        struct faults f = faults_draw(&d, &world), again = faults_draw(&d, &world), read;
        FILE *to = open_memstream(&text, &size);
        faults_write(&f, to);
        fclose(to);
        read = load_text(text);
        free(text);
        assert_int_equal(f.count, 15);
        assert_int_equal(read.count, 15);
        assert_int_equal(read.disk_count, 5);
        for (int i = 0; i < f.count; i++) {
            assert_true(same_fault(&f.fault[i], &read.fault[i]));
            assert_true(same_fault(&f.fault[i], &again.fault[i]));
            assert_true(f.fault[i].when != FAULT_SECOND || f.fault[i].moment < 7);
            kinds[f.fault[i].kind]++;
            ranks[f.fault[i].rank]++;
        }
    }
    for (int i = 0; i < FAULT_KINDS; i++)
        assert_true(kinds[i] > 10);
    for (int i = 0; i < 5; i++)
        assert_true(ranks[i] > 40);
}

/* --- a run --- */

enum { UPDATES = 10 };
static const double minibatch_s = 0.1;

/* ssgd with three workers, whose messages take no time but what faults add; an update takes one
 * mini-batch's time. Returns its seconds. */
static double run_with(const char *text, const char *more)
{
    struct experiment e;
    struct option_list w = {0};
    struct faults f = load_text(text);
    add_plain_sgd(&w, "ssgd", 1);
    add_option(&w, "workers=3");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=4");
    add_option(&w, "samples=%d", 4 * 3 * UPDATES);
    add_option(&w, "sim-latency=0");
    add_option(&w, "sim-bandwidth=1e15");
    add_option(&w, "sim-minibatch=%g", minibatch_s);
    add_option(&w, "deadline=10");
    if (*more)
        add_option(&w, "%s", more);
    experiment_defaults(&e, option_list_words(&w));
    e.faults = &f; // cppcheck-suppress autoVariables ; until the end of the run
    experiment_run(&e);
    double seconds = e.out.seconds;
    assert_int_equal(e.out.updates, UPDATES);
    e.faults = NULL;
    experiment_close(&e);
    return seconds;
}

static void takes(const char *text, double wanted_s)
{
    double is_s = run_with(text, "");
    if (fabs(is_s - wanted_s) > 1e-6)
        fail_msg("%s: %.9g s instead of %.9g", text, is_s, wanted_s);
}

static void faults_take_the_time_they_say(void **state)
{
    (void)state;
    const double plain_s = UPDATES * minibatch_s;
    takes("", plain_s);
    takes("rank 2 minibatch 3 frozen 7", plain_s + 7);
    takes("rank 2 push 10 frozen 7", plain_s + 7); /* its last: all wait for it to depart */
    takes("rank 2 push 9 frozen 7", plain_s + 7);
    takes("rank 1 second 0.45 frozen 7\nrank 3 second 0.5 frozen 7", plain_s + 7);
    takes("rank 2 second 0 slower 4 for 1000", 4 * plain_s);
    takes("rank 2 minibatch 5 slower 4 for 0.01", plain_s + 3 * minibatch_s);
    takes("rank 2 second 0 late 0.5 for 1000", plain_s + (UPDATES + 1) * 0.5); /* and to depart */
    takes("rank 0 second 0.45 down 3", plain_s + 2.95); /* pushes at 0.5 s wait */
    takes("rank 2 second 0.25 down 3", plain_s + 2.95);
}

static void run_text(const void *text)
{
    run_with(text, "");
}

static void who_is_silent_for_too_long_is_named(void **state)
{
    (void)state;
    static const char *const ends[][2] = {
        {"rank 2 push 3 dead", "rank 2 on sim has died"},
        {"rank 2 second 0.33 dead", "rank 2 on sim has died"},
        {"rank 0 second 0.33 dead", "rank 0 on sim has died"},
        {"rank 3 minibatch 2 frozen 100", "rank 3 on sim sent no heartbeat for 1"},
        {"rank 1 second 0.5 down 100", "rank 1 on sim sent no heartbeat for 1"},
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        assert_dies(EXIT_SILENT, run_text, ends[i][0], (const char *const[]){ends[i][1], NULL});
}

/* ssp without slack: who is fast waits most of the time. The first worker is lost while it waits;
 * back at 8.5 s it goes on with the others. */
static void who_is_lost_while_it_waits_comes_back(void **state)
{
    (void)state;
    struct experiment e;
    struct option_list w = {0};
    struct faults f = load_text("rank 1 second 3.5 frozen 5");
    add_plain_sgd(&w, "ssp", 1);
    add_option(&w, "workers=3");
    add_option(&w, "slow=3=10");
    add_option(&w, "ssp-staleness=0");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=4");
    add_option(&w, "samples=%d", 4 * 60);
    add_option(&w, "sim-minibatch=%g", minibatch_s);
    add_option(&w, "deadline=2");
    experiment_defaults(&e, option_list_words(&w));
    e.faults = &f; // cppcheck-suppress autoVariables ; until the end of the run
    experiment_run(&e);
    assert_true(e.out.worker[0].minibatches >= 10); /* 4 before it was lost */
    e.faults = NULL;
    experiment_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_stopped_rank_computes_is_done_later),
        cmocka_unit_test(a_stopped_rank_that_waits_hears_afterwards),
        cmocka_unit_test(silence_grows_and_the_dead_are_known),
        cmocka_unit_test(a_link_that_is_down_holds_messages_back),
        cmocka_unit_test(who_is_stopped_at_the_end_stays_so),
        cmocka_unit_test(what_the_dead_are_sent_stays),
        cmocka_unit_test(waits_for_the_dead_end),
        cmocka_unit_test(a_file_says_who_when_and_what),
        cmocka_unit_test(what_is_no_fault_is_refused_by_its_line),
        cmocka_unit_test(what_is_drawn_can_be_written),
        cmocka_unit_test(faults_take_the_time_they_say),
        cmocka_unit_test(who_is_silent_for_too_long_is_named),
        cmocka_unit_test(who_is_lost_while_it_waits_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
