/* What ends a simulated run: each mistake is made in a child process, which must leave with
 * EXIT_WORLD and say who, with whom and which message. A program that makes no
 * mistake must end well, so that the checks are not simply always on. */
#include "messaging/messaging.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

enum { TAG = 5, VERSION = 7, BYTES = 400 };

static struct request *send_to(struct net *net, int to, int tag, const void *payload, size_t bytes)
{
    return net_send(net, to, &(struct header){.tag = tag, .version = VERSION}, payload, bytes);
}

static void wait_release(struct net *net, struct request *request)
{
    net_wait(net, &request, 1, INFINITY);
    net_release(net, request);
}

static void take(struct net *net, int from, int tag)
{
    wait_release(net, net_recv(net, from, tag, NULL, 0));
}

static void deadlock_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank < 2)
        take(net, 1 - net->rank, TAG + net->rank);
}

static void deadlock_many_body(struct net *net, void *argument)
{
    (void)argument;
    struct request *list[3] = {NULL, NULL, NULL};
    if (net->rank == 0)
        return;
    for (int i = 1; i < 3; i++)
        list[i] = net_recv(net, i == 1 ? 0 : NET_ANY, TAG, NULL, 0);
    net_wait(net, list, 3, INFINITY);
}

static void deadlock_nothing_body(struct net *net, void *argument)
{
    (void)argument;
    net_wait(net, NULL, 0, INFINITY);
}

/* Each waits for the next one, and looks up every second. */
static void deadlock_looking_body(struct net *net, void *argument)
{
    (void)argument;
    struct request *come = net_recv(net, (net->rank + 1) % net->ranks, TAG, NULL, 0);
    while (net_wait(net, &come, 1, net_now(net) + 1) < 0)
        ;
}

static void deadlock_barrier_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank != 1)
        net_barrier(net);
}

static void deadlock_send_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        wait_release(net, send_to(net, 1, TAG, net_alloc(net, BYTES), BYTES));
}

static void leaked_receive_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        net_recv(net, 1, TAG, NULL, 0), net_recv(net, NET_ANY, TAG, NULL, 0);
}

static void leaked_send_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        send_to(net, 1, TAG, net_alloc(net, BYTES), BYTES);
    else
        take(net, 0, TAG);
}

/* A done request must be dropped too. */
static void leaked_done_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        send_to(net, 1, TAG, NULL, 0);
    else
        net_wait(net, (struct request *[]){net_recv(net, 0, TAG, NULL, 0)}, 1, INFINITY);
}

/* argument: NULL posts the receive first, else the message comes first */
static void truncated_body(struct net *net, void *argument)
{
    char into[BYTES];
    if (net->rank == 0) {
        wait_release(net, send_to(net, 1, TAG, net_alloc(net, BYTES), BYTES));
    } else {
        net_advance(net, argument ? 1 : 0);
        wait_release(net, net_recv(net, 0, TAG, into, BYTES - 1));
    }
}

/* Of four, one is taken on arrival and one after it waited. */
static void unread_body(struct net *net, void *argument)
{
    (void)argument;
    for (int i = 0; i < 4 && net->rank == 0; i++)
        send_to(net, 1, TAG, NULL, 0);
    if (net->rank == 1) {
        take(net, 0, TAG);
        net_advance(net, 1);
        take(net, NET_ANY, TAG);
    }
}

/* argument: NULL changes it under way to a receive that copies, else while it is referenced */
static void changed_body(struct net *net, void *argument)
{
    char into[BYTES];
    if (net->rank == 0) {
        char *payload = net_alloc(net, BYTES);
        struct request *sent = send_to(net, 1, TAG, payload, BYTES);
        net_advance(net, argument ? 1 : 0);
        payload[BYTES - 1]++;
        wait_release(net, sent);
    } else {
        struct request *got =
            argument ? net_recv(net, 0, TAG, NULL, 0) : net_recv(net, 0, TAG, into, sizeof into);
        net_wait(net, &got, 1, INFINITY);
        net_advance(net, 2);
        net_release(net, got);
    }
}

static void foreign_stack_body(struct net *net, void *argument)
{
    (void)argument;
    char payload[BYTES] = {0};
    if (net->rank == 0)
        wait_release(net, send_to(net, 1, TAG, payload, BYTES));
}

static void foreign_end_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        wait_release(net, send_to(net, 1, TAG, (char *)net_alloc(net, BYTES) + 1, BYTES));
}

/* Forwards what it borrows: another rank's memory. */
static void foreign_rank_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0) {
        wait_release(net, send_to(net, 1, TAG, net_alloc(net, BYTES), BYTES));
    } else if (net->rank == 1) {
        struct request *got = net_recv(net, 0, TAG, NULL, 0);
        net_wait(net, &got, 1, INFINITY);
        wait_release(net, send_to(net, 2, TAG + 1, net_data(got), BYTES));
        net_release(net, got);
    }
}

static void free_referenced_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0) {
        char *payload = net_alloc(net, BYTES);
        send_to(net, 1, TAG, payload + 100, 100);
        net_free(net, payload);
    }
}

static void free_foreign_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        net_free(net, (char *)net_alloc(net, BYTES) + 64);
}

static void release_unread_body(struct net *net, void *argument)
{
    (void)argument;
    if (net->rank == 0)
        net_release(net, send_to(net, 1, TAG, net_alloc(net, BYTES), BYTES));
}

static void release_twice_body(struct net *net, void *argument)
{
    (void)argument;
    struct request *request = net_recv(net, 1 - net->rank, TAG, NULL, 0);
    net_release(net, request);
    net_release(net, request);
}

static void look_for_ever_body(struct net *net, void *argument)
{
    (void)argument;
    struct request *request = net_recv(net, 1 - net->rank, TAG, NULL, 0);
    while (net_wait(net, &request, 1, 0) < 0)
        ;
}

static void poll_for_ever_body(struct net *net, void *argument)
{
    (void)argument;
    while (net_now(net) < 1)
        net_poll(net);
}

/* As many looks, but time passes. */
static void patient_body(struct net *net, void *argument)
{
    (void)argument;
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 1 << 20; k++)
            net_poll(net);
        net_advance(net, 1e-6);
    }
}

/* argument: what to send to (`to`) and with which tag */
static void send_wrong_body(struct net *net, void *argument)
{
    const struct header *wrong = argument;
    if (net->rank == 1)
        send_to(net, wrong->to, wrong->tag, NULL, wrong->bytes);
}

static void recv_wrong_body(struct net *net, void *argument)
{
    const struct header *wrong = argument;
    if (net->rank == 1)
        net_recv(net, wrong->from, wrong->tag, NULL, 0);
}

/* Runs the program in a child; returns its wait status, and what it wrote to stderr. */
static int run_child(int ranks, bool lax, void (*body)(struct net *, void *), void *argument,
                     char *text, size_t size)
{
    int ends[2];
    size_t used = 0;
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct world_options options = {
            .ranks = ranks, .latency_s = 0.5, .bandwidth = 1e6, .lax = lax};
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        sim_run(&options, body, argument);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; used + 1 < size && (got = read(ends[0], text + used, size - 1 - used)) > 0;)
        used += (size_t)got;
    text[used] = 0;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void must_end(const char *name, int ranks, void (*body)(struct net *, void *),
                     void *argument, const char *const *says)
{
    char text[8192];
    int status = run_child(ranks, false, body, argument, text, sizeof text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_WORLD)
        fail_msg("%s: wait status %x, not exit code %d; it said: %s", name, (unsigned)status,
                 EXIT_WORLD, text);
    for (; *says; says++)
        if (!strstr(text, *says))
            fail_msg("%s: expected `%s` in: %s", name, *says, text);
}

#define ENDS(ranks, body, argument, ...)                                                           \
    must_end(#body, ranks, body, argument, (const char *const[]){__VA_ARGS__, NULL})

static void test_deadlock(void **state)
{
    (void)state;
    ENDS(3, deadlock_body, NULL, "deadlock, 2 of 3 ranks",
         "rank 0 for a receive from rank 1 (tag 5)", "rank 1 for a receive from rank 0 (tag 6)");
    ENDS(12, deadlock_many_body, NULL, "deadlock, 11 of 12 ranks",
         "rank 1 for a receive from rank 0 (tag 5), which has returned or one of 1", "rank 8 for a",
         "; and so on");
    ENDS(2, deadlock_nothing_body, NULL, "2 of 2", "rank 0 for nothing", "rank 1 for nothing");
    ENDS(1000, deadlock_looking_body, NULL, "deadlock, rank 999 waits, too: 1024000 waits");
    ENDS(3, deadlock_barrier_body, NULL, "2 of 3",
         "rank 0 for a receive from rank 1 (tag 63), which has returned");
    ENDS(2, deadlock_send_body, NULL, "1 of 2",
         "rank 0 for a send to rank 1 (tag 5, version 7, 400 bytes), which has returned",
         "1 messages never read", "at 0.5005");
}

static void test_leaked_requests(void **state)
{
    (void)state;
    ENDS(2, leaked_receive_body, NULL, "rank 0 returns and leaves 2 requests open",
         "first a receive from rank 1 (tag 5)");
    ENDS(2, leaked_send_body, NULL, "rank 0 returns and leaves 1 request open",
         "a send to rank 1 (tag 5, version 7, 400 bytes)");
    ENDS(2, leaked_done_body, NULL, "rank 1 returns",
         "a receive from rank 0 (tag 5, version 7, 0 bytes), done but not released");
}

static void test_truncation(void **state)
{
    (void)state;
    ENDS(2, truncated_body, NULL, "rank 0: a send to rank 1 (tag 5, version 7, 400 bytes)",
         "does not fit the receive of 399 bytes");
    ENDS(2, truncated_body, "late", "rank 0: a send to rank 1 (tag 5, version 7, 400 bytes)",
         "does not fit the receive of 399 bytes");
}

static void test_unread_message(void **state)
{
    (void)state;
    ENDS(2, unread_body, NULL, "2 messages never read",
         "from rank 0: a send to rank 1 (tag 5, version 7, 0 bytes)");
}

static void test_changed_payload(void **state)
{
    (void)state;
    char text[8192];
    ENDS(2, changed_body, NULL, "rank 0: a send to rank 1 (tag 5, version 7, 400 bytes)",
         "was changed");
    ENDS(2, changed_body, "referenced", "rank 0: a send to rank 1 (tag 5, version 7, 400 bytes)",
         "was changed");
    assert_int_equal(run_child(2, true, changed_body, NULL, text, sizeof text), 0);
    assert_int_equal(run_child(2, true, changed_body, "referenced", text, sizeof text), 0);
}

static void test_memory(void **state)
{
    (void)state;
    ENDS(2, foreign_stack_body, NULL, "rank 0 sends 400 bytes to rank 1 (tag 5, version 7)",
         "net_alloc()");
    ENDS(2, foreign_end_body, NULL, "rank 0 sends 400 bytes to rank 1 (tag 5, version 7)",
         "net_alloc()");
    ENDS(3, foreign_rank_body, NULL, "rank 1 sends 400 bytes to rank 2 (tag 6, version 7)",
         "net_alloc()");
    ENDS(2, free_referenced_body, NULL,
         "rank 0 frees memory that a send to rank 1 (tag 5, version 7, 100 bytes) still needs");
    ENDS(2, free_foreign_body, NULL, "rank 0 frees memory that is not of net_alloc()");
}

static void test_release(void **state)
{
    (void)state;
    char text[8192];
    ENDS(2, release_unread_body, NULL,
         "rank 0 releases a send to rank 1 (tag 5, version 7, 400 bytes), which nobody has read "
         "yet");
    int status = run_child(2, false, release_twice_body, NULL, text, sizeof text);
    assert_true(WIFSIGNALED(status) &&
                WTERMSIG(status) == SIGABRT); /* an assert: the scheme's own mistake */
    assert_non_null(strstr(text, "owner == rank"));
}

static void test_looking_for_ever(void **state)
{
    (void)state;
    char text[8192];
    ENDS(2, look_for_ever_body, NULL, "rank 0 looked", "let no time pass");
    ENDS(2, poll_for_ever_body, NULL, "rank 0 looked", "let no time pass");
    assert_int_equal(run_child(1, false, patient_body, NULL, text, sizeof text), 0);
}

static void test_arguments(void **state)
{
    (void)state;
    ENDS(2, send_wrong_body, (&(struct header){.to = 1, .tag = 3}),
         "rank 1 cannot send to rank 1 (tag 3, version 7", "to itself");
    ENDS(2, send_wrong_body, (&(struct header){.to = 2, .tag = 3}),
         "rank 1 cannot send to rank 2 (tag 3, version 7", "no such rank");
    ENDS(2, send_wrong_body, (&(struct header){.to = -1, .tag = 3}),
         "rank 1 cannot send to rank -1", "no such rank");
    ENDS(2, send_wrong_body, (&(struct header){.to = 0, .tag = -1}),
         "rank 1 cannot send to rank 0 (tag -1", "no such tag");
    ENDS(2, send_wrong_body, (&(struct header){.to = 0, .tag = 64}), "(tag 64", "no such tag");
    ENDS(2, send_wrong_body, (&(struct header){.to = 0, .tag = 63}), "(tag 63",
         "reserved for the barrier");
    ENDS(2, send_wrong_body, (&(struct header){.to = 0, .bytes = 9}), "9 bytes", "payload of NULL");
    ENDS(2, recv_wrong_body, (&(struct header){.from = 1, .tag = 3}),
         "rank 1 cannot receive from rank 1 (tag 3)", "from itself");
    ENDS(2, recv_wrong_body, (&(struct header){.from = 2, .tag = 3}),
         "rank 1 cannot receive from rank 2", "no such rank");
    ENDS(2, recv_wrong_body, (&(struct header){.from = -2, .tag = 3}),
         "rank 1 cannot receive from rank -2", "no such rank");
    ENDS(2, recv_wrong_body, (&(struct header){.from = 0, .tag = 64}), "(tag 64)", "no such tag");
    ENDS(2, recv_wrong_body, (&(struct header){.from = 0, .tag = 63}), "(tag 63)",
         "reserved for the barrier");
}

/* Mistakes with a payload that is sent as it gets ready: forgotten, not ready any more, committed
 * twice. Without any it is fine. */
static void early_body(struct net *net, void *argument)
{
    const char *mistake = argument;
    if (net->rank == 1) {
        take(net, 0, TAG);
        return;
    }
    struct request *request = net_send_begin(net, 1, TAG, net_alloc(net, BYTES), BYTES);
    net_send_ready(net, request, 100);
    if (!strcmp(mistake, "forgets"))
        return;
    if (!strcmp(mistake, "takes back"))
        net_send_ready(net, request, 104);
    net_send_commit(
        net, request,
        &(struct header){.tag = !strcmp(mistake, "other tag") ? TAG + 1 : TAG, .version = VERSION});
    if (!strcmp(mistake, "commits twice"))
        net_send_commit(net, request, &(struct header){.tag = TAG, .version = VERSION});
    wait_release(net, request);
}

static void test_early(void **state)
{
    (void)state;
    char text[8192];
    assert_int_equal(run_child(2, false, early_body, "nothing", text, sizeof text), 0);
    ENDS(2, early_body, "forgets", "rank 0 returns and leaves 1 request open",
         "a send to rank 1 (tag 5, version 0, 400 bytes)");
    ENDS(2, early_body, "takes back", "rank 0: a send to rank 1 (tag 5, version 0, 400 bytes)",
         "not any more");
    ENDS(2, early_body, "other tag", "rank 0: a send to rank 1 (tag 5, version 0, 400 bytes)",
         "another tag");
    ENDS(2, early_body, "commits twice", "rank 0: a send to rank 1 (tag 5, version 7, 400 bytes)",
         "is committed");
}

static void nothing_body(struct net *net, void *argument)
{
    (void)net, (void)argument;
}

static void test_options(void **state)
{
    (void)state;
    char text[8192];
    int status = run_child(0, false, nothing_body, NULL, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USER);
    assert_non_null(strstr(text, "0 ranks"));
    assert_int_equal(run_child(3, false, nothing_body, NULL, text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlock),        cmocka_unit_test(test_leaked_requests),
        cmocka_unit_test(test_truncation),      cmocka_unit_test(test_unread_message),
        cmocka_unit_test(test_changed_payload), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_release),         cmocka_unit_test(test_looking_for_ever),
        cmocka_unit_test(test_arguments),       cmocka_unit_test(test_early),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
