/* Messages between hosts over MPI point to point, and what goes by MPI's own ways. Cost: an idle
 * look is one MPI_Iprobe; a payload of n MiB is n sends of 1 MiB, which keep the link busy and let
 * a signal pass after at most TRANSPORT_AHEAD pieces (measured: 64 KiB pieces are up to a hundred
 * times slower with four ranks, whole vectors twice as slow, since their additions cannot overlap).
 * Requests in flight, one-sided ones and an all-reduce among them, are in one array for one
 * MPI_Testsome. Real statuses everywhere: gcc 12 warns of MPI_STATUSES_IGNORE. */
#define _GNU_SOURCE
#include "messaging/mpi/transport.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/finalize.h"
#include "messaging/mpi/process.h"
#include "messaging/mpi/together.h"

#define PATIENCE_S 60.0 /* for all ranks, until transport_set_patience() */

struct posted { /* an envelope that is being sent */
    struct envelope envelope;
    struct posted *next;
};

struct flight { /* what the request of the same index does: one of the two */
    struct moving *moving;
    struct posted *posted;
    size_t bytes;
    bool stepwise; /* MPI takes it step by step, one-sided or collective */
};

struct exposure {
    MPI_Win segment;
};

struct transport {
    MPI_Comm control, envelopes, pieces; /* collectives; envelopes; payloads */
    MPI_Comm members;                    /* the ranks `first` and up, for transport_sum() */
    int first;
    int rank, ranks, greatest_tag, threads; /* threads: the level that MPI gives */
    MPI_Request *request;
    struct flight *flight;
    int *completed;
    MPI_Status *status;
    int count, room, stepwise_count;
    int64_t moved; /* bytes of payloads */
    double patience_s;
    struct posted *spare;
    int64_t *put, *taken; /* envelopes, by rank: so that none is on its way at the end */
    MPI_Request barrier;
};

static void duplicate(struct transport *t, MPI_Comm from, MPI_Comm *to)
{
    MPI_Request request;
    MPI(MPI_Comm_idup(from, to, &request));
    together_wait(&request, t->patience_s, "all ranks to start");
}

struct transport *transport_open(int *rank, int *ranks)
{
    struct transport *t = xcalloc(1, sizeof *t);
    int found, *tag;
    MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &t->threads));
    /* How MPICH's launcher tells that a process died. MPICH 4.0.2 would ask it for the dead, which
     * kills the launcher and with it everybody; net_since_heard() finds the dead without. */
    signal(SIGUSR1, SIG_IGN);
    MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    t->patience_s = PATIENCE_S;
    duplicate(t, MPI_COMM_WORLD, &t->control);
    duplicate(t, MPI_COMM_WORLD, &t->envelopes);
    duplicate(t, MPI_COMM_WORLD, &t->pieces);
    MPI(MPI_Comm_rank(t->control, &t->rank));
    MPI(MPI_Comm_size(t->control, &t->ranks));
    MPI(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &tag, &found));
    t->greatest_tag = found ? *tag : 32767;
    t->put = xcalloc((size_t)t->ranks, sizeof *t->put);
    t->taken = xcalloc((size_t)t->ranks, sizeof *t->taken);
    t->barrier = MPI_REQUEST_NULL;
    t->members = MPI_COMM_NULL;
    *rank = t->rank;
    *ranks = t->ranks;
    return t;
}

bool transport_threads(const struct transport *t)
{
    return t->threads >= MPI_THREAD_SERIALIZED;
}

void transport_set_patience(struct transport *t, double patience_s)
{
    t->patience_s = patience_s;
}

void transport_barrier(struct transport *t)
{
    MPI_Request request;
    MPI(MPI_Ibarrier(t->control, &request));
    together_wait(&request, t->patience_s, "all ranks at a barrier");
}

void transport_gather(struct transport *t, const void *mine, void *all, size_t bytes)
{
    together_gather(t->control, mine, all, bytes, t->patience_s);
}

void transport_exchange(struct transport *t, const bool *to, bool *from)
{
    MPI_Request request;
    MPI(MPI_Ialltoall(to, sizeof *to, MPI_BYTE, from, sizeof *from, MPI_BYTE, t->control,
                      &request));
    together_wait(&request, t->patience_s, "all ranks to start");
}

static void *grown(void *list, int count, int room, size_t size)
{
    void *copy = xcalloc((size_t)room, size);
    if (count)
        memcpy(copy, list, (size_t)count * size);
    xfree(list);
    return copy;
}

static MPI_Request *new_flight(struct transport *t, struct flight flight)
{
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->request = grown(t->request, t->count, t->room, sizeof *t->request);
        t->flight = grown(t->flight, t->count, t->room, sizeof *t->flight);
        t->completed = grown(t->completed, 0, t->room, sizeof *t->completed);
        t->status = grown(t->status, 0, t->room, sizeof *t->status);
    }
    t->flight[t->count] = flight;
    t->stepwise_count += flight.stepwise;
    return &t->request[t->count++];
}

void transport_post(struct transport *t, int to, const struct envelope *e)
{
    struct posted *posted = t->spare;
    if (posted)
        t->spare = posted->next;
    else
        posted = xcalloc(1, sizeof *posted);
    posted->envelope = *e;
    MPI_Request *request = new_flight(t, (struct flight){.posted = posted});
    MPI(MPI_Isend(&posted->envelope, sizeof posted->envelope, MPI_BYTE, to, 0, t->envelopes,
                  request));
    t->put[to]++;
}

bool transport_take(struct transport *t, int *from, struct envelope *e)
{
    int there, bytes;
    MPI_Status status;
    MPI(MPI_Iprobe(MPI_ANY_SOURCE, 0, t->envelopes, &there, &status));
    if (!there)
        return false;
    MPI(MPI_Get_count(&status, MPI_BYTE, &bytes));
    *from = status.MPI_SOURCE;
    CHECK(bytes == (int)sizeof *e,
          "rank %d sent %d bytes for an envelope of %zu: do all ranks run the same program?", *from,
          bytes, sizeof *e);
    MPI(MPI_Recv(e, sizeof *e, MPI_BYTE, *from, 0, t->envelopes, &status));
    t->taken[*from]++;
    return true;
}

static size_t piece_bytes(const struct moving *m)
{
    return m->bytes - m->begun < TRANSPORT_PIECE ? m->bytes - m->begun : TRANSPORT_PIECE;
}

static bool may_begin(const struct moving *m)
{
    return m->begun < m->bytes && m->bytes - m->begun - piece_bytes(m) >= m->ready;
}

/* Posts the next piece of a payload on `request`. The n-th piece sent meets the n-th one posted:
 * MPI keeps their order. */
static size_t next_piece(struct transport *t, struct moving *m, MPI_Request *request)
{
    size_t bytes = piece_bytes(m), offset = m->bytes - m->begun - bytes;
    char *at = m->at + offset;
    MPI_Aint there = (MPI_Aint)(m->place + offset);
    int floats = (int)(bytes / sizeof(float));
    m->begun += bytes;
    if (m->exposure && m->out)
        MPI(MPI_Raccumulate(at, floats, MPI_FLOAT, m->peer, there, floats, MPI_FLOAT, MPI_SUM,
                            m->exposure->segment, request));
    else if (m->exposure)
        MPI(MPI_Rget(at, (int)bytes, MPI_BYTE, m->peer, there, (int)bytes, MPI_BYTE,
                     m->exposure->segment, request));
    else if (m->out)
        MPI(MPI_Isend(at, (int)bytes, MPI_BYTE, m->peer, m->channel, t->pieces, request));
    else
        MPI(MPI_Irecv(at, (int)bytes, MPI_BYTE, m->peer, m->channel, t->pieces, request));
    return bytes;
}

void transport_start(struct transport *t, struct moving *m)
{
    CHECK(m->channel >= 0 && m->channel <= t->greatest_tag,
          "channel %d for a payload of rank %d is beyond this MPI's tags (%d)", m->channel, m->peer,
          t->greatest_tag);
    while (m->begun - m->moved < (size_t)TRANSPORT_AHEAD * TRANSPORT_PIECE && may_begin(m)) {
        MPI_Request *request = new_flight(t, (struct flight){.moving = m, .stepwise = m->exposure});
        size_t bytes = next_piece(t, m, request);
        t->flight[t->count - 1].bytes = bytes;
    }
}

static void complete(struct transport *t, int i, const MPI_Status *status)
{
    struct flight *f = &t->flight[i];
    if (f->posted) {
        f->posted->next = t->spare;
        t->spare = f->posted;
        return;
    }
    struct moving *m = f->moving;
    if (!m->out && !m->exposure) {
        int bytes;
        MPI(MPI_Get_count(status, MPI_BYTE, &bytes));
        CHECK((size_t)bytes == f->bytes, "rank %d sent a piece of %d bytes for one of %zu", m->peer,
              bytes, f->bytes);
    }
    m->moved += f->bytes;
    t->moved += (int64_t)f->bytes;
    m->moved_ns = clock_ns();
    if (may_begin(m))
        f->bytes = next_piece(t, m, &t->request[i]);
}

bool transport_advance(struct transport *t)
{
    if (!t->count)
        return false;
    int completed;
    MPI(MPI_Testsome(t->count, t->request, &completed, t->completed, t->status));
    for (int i = 0; i < completed; i++)
        complete(t, t->completed[i], &t->status[i]);
    for (int i = t->count - 1; completed > 0 && i >= 0; i--) {
        if (t->request[i] != MPI_REQUEST_NULL)
            continue;
        t->stepwise_count -= t->flight[i].stepwise;
        t->request[i] = t->request[--t->count];
        t->flight[i] = t->flight[t->count];
    }
    return completed > 0;
}

/* No order among what is added: sums commute. Nobody ever locks alone, so nobody has to ask the
 * owner for the lock. */
struct exposure *transport_expose(struct transport *t, void *block, size_t bytes)
{
    struct exposure *e = xcalloc(1, sizeof *e);
    MPI_Info info;
    MPI(MPI_Info_create(&info));
    MPI(MPI_Info_set(info, "accumulate_ordering", "none"));
    MPI(MPI_Info_set(info, "accumulate_ops", "same_op"));
    MPI(MPI_Win_create(block, (MPI_Aint)bytes, 1, info, t->control, &e->segment));
    MPI(MPI_Info_free(&info));
    MPI(MPI_Win_set_errhandler(e->segment, MPI_ERRORS_RETURN));
    MPI(MPI_Win_lock_all(MPI_MODE_NOCHECK, e->segment));
    return e;
}

void transport_unexpose(struct exposure *e)
{
    MPI(MPI_Win_unlock_all(e->segment));
    MPI(MPI_Win_free(&e->segment));
    xfree(e);
}

void transport_flush(struct exposure *e, int owner)
{
    MPI(MPI_Win_flush(owner, e->segment));
}

static void create_members(struct transport *t, int first)
{
    MPI_Group all, members;
    int range[1][3] = {{first, t->ranks - 1, 1}};
    if (t->members != MPI_COMM_NULL)
        MPI(MPI_Comm_free(&t->members));
    MPI(MPI_Comm_group(t->control, &all));
    MPI(MPI_Group_range_incl(all, 1, range, &members));
    MPI(MPI_Comm_create_group(t->control, members, 0, &t->members));
    MPI(MPI_Group_free(&members));
    MPI(MPI_Group_free(&all));
    t->first = first;
}

void transport_sum(struct transport *t, int first, struct moving *m)
{
    size_t floats = m->bytes / sizeof(float);
    CHECK(floats <= INT_MAX,
          "MPI's all-reduce takes at most %d floats, not %zu: use --allreduce ring", INT_MAX,
          floats);
    if (t->members == MPI_COMM_NULL || t->first != first)
        create_members(t, first);
    MPI_Request *request =
        new_flight(t, (struct flight){.moving = m, .bytes = m->bytes, .stepwise = true});
    m->begun = m->bytes;
    MPI(MPI_Iallreduce(MPI_IN_PLACE, m->at, (int)floats, MPI_FLOAT, MPI_SUM, t->members, request));
}

int64_t transport_moved(const struct transport *t)
{
    return t->moved;
}

bool transport_in_flight(const struct transport *t)
{
    return t->count > 0;
}

bool transport_is_stepwise(const struct transport *t)
{
    return t->stepwise_count > 0;
}

static void nap_ns(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

void transport_notify_gone(struct transport *t, const bool *remote, int rank, int ranks)
{
    struct envelope gone = {.header.from = rank, .kind = ENVELOPE_GONE};
    MPI_Request *request = calloc((size_t)ranks, sizeof *request);
    MPI_Status status;
    int count = 0, sent = 0;
    for (int i = 0; request && i < ranks; i++)
        if (remote[i] && MPI_Isend(&gone, sizeof gone, MPI_BYTE, i, 0, t->envelopes,
                                   &request[count]) == MPI_SUCCESS)
            count++;
    for (int tries = 0; tries < 100 && sent < count; tries++, nap_ns(1000000))
        for (sent = 0; sent < count; sent++) {
            int done = 0;
            if (MPI_Test(&request[sent], &done, &status) != MPI_SUCCESS || !done)
                break;
        }
    free(request);
}

void transport_finish(struct transport *t)
{
    MPI(MPI_Ibarrier(t->control, &t->barrier));
}

bool transport_all_finished(struct transport *t)
{
    int all;
    MPI_Status status;
    MPI(MPI_Test(&t->barrier, &all, &status));
    return all;
}

void transport_drain(struct transport *t)
{
    int64_t *due = xcalloc((size_t)t->ranks, sizeof *due);
    int from;
    struct envelope e;
    MPI_Request request;
    int64_t begin_ns = clock_ns();
    MPI(MPI_Ialltoall(t->put, 1, MPI_INT64_T, due, 1, MPI_INT64_T, t->control, &request));
    together_wait(&request, t->patience_s, "all ranks to end");
    for (int i = 0; i < t->ranks; i++)
        while (t->taken[i] < due[i] || t->count) {
            transport_advance(t);
            transport_take(t, &from, &e);
            if (1e-9 * (double)(clock_ns() - begin_ns) > t->patience_s)
                die(EXIT_SILENT,
                    "this rank has waited %.0f s for the last messages between hosts: is rank %d "
                    "stopped?",
                    t->patience_s, i);
        }
    xfree(due);
    transport_barrier(t); /* without it three ranks over tcp hang in MPI_Finalize */
}

void transport_close(struct transport *t, double patience_s, bool alone, int code)
{
    if (t->members != MPI_COMM_NULL)
        MPI(MPI_Comm_free(&t->members));
    MPI(MPI_Comm_free(&t->pieces));
    MPI(MPI_Comm_free(&t->envelopes));
    MPI(MPI_Comm_free(&t->control));
    finalize_world(t->rank, patience_s, alone, code);
    for (struct posted *l = t->spare, *next; l; l = next) {
        next = l->next;
        xfree(l);
    }
    xfree(t->put);
    xfree(t->taken);
    xfree(t->request);
    xfree(t->flight);
    xfree(t->completed);
    xfree(t->status);
    xfree(t);
}

/* Of MPICH and of Open MPI's extension for CUDA; other libraries may lack it, and then say no. */
int MPIX_Query_cuda_support(void) __attribute__((weak));

bool transport_takes_gpu(void)
{
    int begun = 0;
    MPI(MPI_Initialized(&begun));
    return begun && MPIX_Query_cuda_support && MPIX_Query_cuda_support() == 1;
}

void mpi_version(char *text, size_t size)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0, major = 0, minor = 0;
    MPI(MPI_Get_library_version(library, &length));
    MPI(MPI_Get_version(&major, &minor));
    for (char *c = library; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = *c == '\t' ? ' ' : 0;
    snprintf(text, size, "MPI %d.%d, %s", major, minor, library);
}
