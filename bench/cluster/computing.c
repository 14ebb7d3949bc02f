/* What goes on while ranks compute: does a large message move, and how soon is a signal heard?
 *
 * The receiver takes the time, from the word that the send begins to the last byte; the signal's
 * sender takes it from there to the answer, so that no two clocks are compared. */
#include "bench/cluster/harness.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

enum {
    HEAD_BYTES = 72, /* of a signal */
    SIGNALS = 20,
};

static const double layer_s = 0.01; /* between two polls of a rank that computes */
static const double compute_s = 1.0;

enum progress { ALONE, POLL, THREAD, WAYS };

struct pump { /* a thread that keeps MPI moving */
    MPI_Request *request;
    int done;
};

static void *run_pump(void *argument)
{
    struct pump *pump = argument;
    MPI_Status status;
    for (MPI_Test(pump->request, &pump->done, &status); !pump->done;
         MPI_Test(pump->request, &pump->done, &status))
        usleep(200);
    return NULL;
}

static void send_and_compute(struct harness *harness, int peer, enum progress way)
{
    MPI_Request request;
    MPI_Status status;
    pthread_t thread;
    struct pump pump = {&request, 0};
    int word = 0, done = 0;
    fill(harness, 3, (size_t)VECTOR_BYTES);
    MPI_Recv(&word, 1, MPI_INT, peer, 4, MPI_COMM_WORLD, &status); /* the receive is posted */
    MPI_Send(&word, 1, MPI_INT, peer, 5, MPI_COMM_WORLD);
    MPI_Isend(harness->block, VECTOR_BYTES, MPI_BYTE, peer, 6, MPI_COMM_WORLD, &request);
    if (way == THREAD)
        CHECK(!pthread_create(&thread, NULL, run_pump, &pump), "no progress thread");
    for (double until = MPI_Wtime() + compute_s; MPI_Wtime() < until;) {
        compute(harness, layer_s);
        if (way == POLL && !done)
            MPI_Test(&request, &done, &status);
    }
    if (way == THREAD)
        pthread_join(thread, NULL);
    MPI_Wait(&request, &status);
}

/* Seconds from the word that the send begins to its last byte. */
static double receive_meanwhile(struct harness *harness, int peer)
{
    MPI_Request request;
    MPI_Status status;
    int word = 0, done = 0;
    memset(harness->block, 0, (size_t)VECTOR_BYTES);
    MPI_Irecv(harness->block, VECTOR_BYTES, MPI_BYTE, peer, 6, MPI_COMM_WORLD, &request);
    MPI_Send(&word, 1, MPI_INT, peer, 4, MPI_COMM_WORLD);
    MPI_Recv(&word, 1, MPI_INT, peer, 5, MPI_COMM_WORLD, &status);
    double start = MPI_Wtime();
    for (MPI_Test(&request, &done, &status); !done; MPI_Test(&request, &done, &status))
        usleep(100);
    double took = MPI_Wtime() - start;
    check(harness, 3, (size_t)VECTOR_BYTES);
    return took;
}

void progress(struct harness *harness, const struct pair *p)
{
    double took[WAYS] = {0};
    for (int way = 0; way < (harness->level == MPI_THREAD_MULTIPLE ? WAYS : THREAD); way++) {
        if (harness->rank == p->a)
            send_and_compute(harness, p->b, (enum progress)way);
        else if (harness->rank == p->b)
            took[way] = receive_meanwhile(harness, p->a);
        share(p->b, &took[way], 1);
    }
    print(
        harness,
        "  %s (%d - %d): without calls %.2f s, with MPI_Test between layers %.2f s, with a thread ",
        p->where, p->a, p->b, took[ALONE], took[POLL]);
    print(harness, harness->level == MPI_THREAD_MULTIPLE ? "%.2f s\n" : "(this MPI allows none)\n",
          took[THREAD]);
    judge_data(harness, "a message while its sender computes");
    bool alone = took[ALONE] < compute_s / 2, poll = took[POLL] < 0.8 * compute_s;
    bool thread = harness->level == MPI_THREAD_MULTIPLE && took[THREAD] < 0.8 * compute_s;
    if (alone)
        find(harness, GOOD, "Messages %s move by themselves while ranks compute.", p->where);
    else
        find(harness, NOTE,
             "Messages %s do not move by themselves while their sender computes, as with most "
             "MPIs: keep --progress on.",
             p->where);
    if (poll || alone)
        find(harness, GOOD,
             "--progress poll works %s: 94 MB came after %.2f s of the sender's %.0f s of "
             "computing.",
             p->where, took[POLL], compute_s);
    else
        find(harness, FAIL,
             "94 MB %s came after %.2f s although the sender polled: \"non-blocking\" schemes "
             "would block. %s",
             p->where, took[POLL],
             thread ? "Start everything with --progress thread."
                    : "Try another MPI or another UCX_TLS.");
    if (!thread)
        find(harness, NOTE, "--progress thread is no use %s: stay with poll.", p->where);
}

static void hear_signals(struct harness *harness)
{
    char head[HEAD_BYTES];
    for (int i = 0; i < SIGNALS; i++) {
        MPI_Request request;
        MPI_Status status;
        int done = 0;
        MPI_Irecv(head, sizeof head, MPI_BYTE, 0, 7, MPI_COMM_WORLD, &request);
        while (!done) {
            compute(harness, layer_s);
            MPI_Test(&request, &done, &status);
        }
        harness->wrong |= head[HEAD_BYTES - 1] != (char)i;
        MPI_Send(&i, 1, MPI_INT, 0, 8, MPI_COMM_WORLD);
    }
}

static void send_signals(struct harness *harness, double *mean, double *worst)
{
    int others = harness->ranks - 1;
    char head[HEAD_BYTES] = {0};
    for (int i = 0; i < SIGNALS; i++) {
        usleep(20000 + (unsigned)(i * 7 % 10) * 1000); /* at all phases of their layers */
        double start = MPI_Wtime();
        head[HEAD_BYTES - 1] = (char)i;
        for (int r = 1; r <= others; r++)
            MPI_Send(head, sizeof head, MPI_BYTE, r, 7, MPI_COMM_WORLD);
        for (int heard = 0; heard < others;) {
            MPI_Status status;
            int there = 0, word;
            MPI_Iprobe(MPI_ANY_SOURCE, 8, MPI_COMM_WORLD, &there, &status);
            if (!there) {
                usleep(100);
                continue;
            }
            MPI_Recv(&word, 1, MPI_INT, status.MPI_SOURCE, 8, MPI_COMM_WORLD, &status);
            double took = MPI_Wtime() - start;
            harness->wrong |= word != i;
            *mean += took / (SIGNALS * others);
            *worst = fmax(*worst, took);
            heard++;
        }
    }
}

void signals(struct harness *harness)
{
    double took[2] = {0};
    if (harness->rank)
        hear_signals(harness);
    else
        send_signals(harness, &took[0], &took[1]);
    share(0, took, 2);
    print(harness,
          "Signal: %d ranks that compute in layers of %.0f ms answer after %.1f ms, at worst %.1f "
          "ms\n",
          harness->ranks - 1, layer_s * 1e3, took[0] * 1e3, took[1] * 1e3);
    judge_data(harness, "the signal");
    bool soon = took[0] < 5 * layer_s;
    find(harness, soon ? GOOD : BAD,
         "A signal is heard %.1f ms after it is sent (half a layer is %.0f ms).%s", took[0] * 1e3,
         layer_s * 500,
         soon ? "" : " Give each rank a core of its own; between hosts see the latency.");
}
