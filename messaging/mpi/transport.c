/* Messages between hosts over MPI point to point, and what goes by MPI's own ways. Cost: an idle
 * look is one MPI_Iprobe; a payload of n MiB is n sends of 1 MiB, which keep the link busy and let
 * a signal pass after at most TRANSPORT_AHEAD pieces (measured: 64 KiB pieces are up to a hundred
 * times slower with four ranks, whole vectors twice as slow, since their additions cannot overlap).
 * Requests in flight, one-sided ones and an all-reduce among them, stand in one array for one
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

/* Every MPI call stands in this. */
#define MPI(call)                                                                                  \
    do {                                                                                           \
        int code_ = (call);                                                                        \
        if (code_ != MPI_SUCCESS)                                                                  \
            failed(#call, code_, __LINE__);                                                        \
    } while (0)

struct letter { /* an envelope that is being sent */
    struct envelope envelope;
    struct letter *next;
};

struct flight { /* what the request of the same index does: one of the two */
    struct moving *moving;
    struct letter *letter;
    size_t bytes;
    bool hurries; /* MPI takes it step by step, one-sided or collective */
};

struct exposure {
    MPI_Win segment;
};

struct transport {
    MPI_Comm control, letters, pieces; /* collectives; envelopes; payloads */
    MPI_Comm upper;                    /* the ranks `first` and up, for transport_sum() */
    int first;
    int rank, ranks, greatest_tag, threads; /* threads: the level that MPI gives */
    MPI_Request *request;
    struct flight *flight;
    int *ended;
    MPI_Status *status;
    int count, room, hurrying;
    struct letter *spare;
    int64_t *put, *taken; /* envelopes, by rank: so that none is on its way at the end */
    MPI_Request barrier;
};

static _Noreturn void failed(const char *call, int code, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "?";
    int length;
    MPI_Error_string(code, text, &length);
    check_failed(__FILE__, line, "%s: %s", call, text);
}

struct transport *transport_open(int *rank, int *ranks)
{
    struct transport *w = xcalloc(1, sizeof *w);
    int found, *tag;
    MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &w->threads));
    /* How MPICH's launcher tells that a process died. MPICH 4.0.2 would ask it for the dead, which
     * kills the launcher and with it everybody; net_since_heard() finds the dead without. */
    signal(SIGUSR1, SIG_IGN);
    MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    MPI(MPI_Comm_dup(MPI_COMM_WORLD, &w->control));
    MPI(MPI_Comm_dup(MPI_COMM_WORLD, &w->letters));
    MPI(MPI_Comm_dup(MPI_COMM_WORLD, &w->pieces));
    MPI(MPI_Comm_rank(w->control, &w->rank));
    MPI(MPI_Comm_size(w->control, &w->ranks));
    MPI(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &tag, &found));
    w->greatest_tag = found ? *tag : 32767;
    w->put = xcalloc((size_t)w->ranks, sizeof *w->put);
    w->taken = xcalloc((size_t)w->ranks, sizeof *w->taken);
    w->barrier = MPI_REQUEST_NULL;
    w->upper = MPI_COMM_NULL;
    *rank = w->rank;
    *ranks = w->ranks;
    return w;
}

bool transport_threads(const struct transport *w)
{
    return w->threads >= MPI_THREAD_SERIALIZED;
}

void transport_barrier(struct transport *w)
{
    MPI(MPI_Barrier(w->control));
}

void transport_gather(struct transport *w, const void *mine, void *all, size_t bytes)
{
    MPI(MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, w->control));
}

void transport_swap(struct transport *w, const bool *to, bool *from)
{
    MPI(MPI_Alltoall(to, sizeof *to, MPI_BYTE, from, sizeof *from, MPI_BYTE, w->control));
}

static void *longer(void *list, int count, int room, size_t size)
{
    void *copy = xcalloc((size_t)room, size);
    if (count)
        memcpy(copy, list, (size_t)count * size);
    xfree(list);
    return copy;
}

static MPI_Request *launch(struct transport *w, struct flight flight)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 64;
        w->request = longer(w->request, w->count, w->room, sizeof *w->request);
        w->flight = longer(w->flight, w->count, w->room, sizeof *w->flight);
        w->ended = longer(w->ended, 0, w->room, sizeof *w->ended);
        w->status = longer(w->status, 0, w->room, sizeof *w->status);
    }
    w->flight[w->count] = flight;
    w->hurrying += flight.hurries;
    return &w->request[w->count++];
}

void transport_put(struct transport *w, int to, const struct envelope *e)
{
    struct letter *letter = w->spare;
    if (letter)
        w->spare = letter->next;
    else
        letter = xcalloc(1, sizeof *letter);
    letter->envelope = *e;
    MPI_Request *request = launch(w, (struct flight){.letter = letter});
    MPI(MPI_Isend(&letter->envelope, sizeof letter->envelope, MPI_BYTE, to, 0, w->letters,
                  request));
    w->put[to]++;
}

bool transport_take(struct transport *w, int *from, struct envelope *e)
{
    int there, bytes;
    MPI_Status status;
    MPI(MPI_Iprobe(MPI_ANY_SOURCE, 0, w->letters, &there, &status));
    if (!there)
        return false;
    MPI(MPI_Get_count(&status, MPI_BYTE, &bytes));
    *from = status.MPI_SOURCE;
    CHECK(bytes == (int)sizeof *e,
          "rank %d sent %d bytes for an envelope of %zu: do all ranks run the same program?", *from,
          bytes, sizeof *e);
    MPI(MPI_Recv(e, sizeof *e, MPI_BYTE, *from, 0, w->letters, &status));
    w->taken[*from]++;
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
static size_t next_piece(struct transport *w, struct moving *m, MPI_Request *request)
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
        MPI(MPI_Isend(at, (int)bytes, MPI_BYTE, m->peer, m->channel, w->pieces, request));
    else
        MPI(MPI_Irecv(at, (int)bytes, MPI_BYTE, m->peer, m->channel, w->pieces, request));
    return bytes;
}

void transport_move(struct transport *w, struct moving *m)
{
    CHECK(m->channel >= 0 && m->channel <= w->greatest_tag,
          "channel %d for a payload of rank %d is beyond this MPI's tags (%d)", m->channel, m->peer,
          w->greatest_tag);
    while (m->begun - m->moved < (size_t)TRANSPORT_AHEAD * TRANSPORT_PIECE && may_begin(m)) {
        MPI_Request *request = launch(w, (struct flight){.moving = m, .hurries = m->exposure});
        size_t bytes = next_piece(w, m, request);
        w->flight[w->count - 1].bytes = bytes;
    }
}

static void land(struct transport *w, int i, const MPI_Status *status)
{
    struct flight *f = &w->flight[i];
    if (f->letter) {
        f->letter->next = w->spare;
        w->spare = f->letter;
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
    if (may_begin(m))
        f->bytes = next_piece(w, m, &w->request[i]);
}

bool transport_advance(struct transport *w)
{
    if (!w->count)
        return false;
    int ended;
    MPI(MPI_Testsome(w->count, w->request, &ended, w->ended, w->status));
    for (int i = 0; i < ended; i++)
        land(w, w->ended[i], &w->status[i]);
    for (int i = w->count - 1; ended > 0 && i >= 0; i--) {
        if (w->request[i] != MPI_REQUEST_NULL)
            continue;
        w->hurrying -= w->flight[i].hurries;
        w->request[i] = w->request[--w->count];
        w->flight[i] = w->flight[w->count];
    }
    return ended > 0;
}

/* No order among what is added: sums commute. Nobody ever locks alone, so nobody has to ask the
 * owner for the lock. */
struct exposure *transport_expose(struct transport *w, void *block, size_t bytes)
{
    struct exposure *e = xcalloc(1, sizeof *e);
    MPI_Info how;
    MPI(MPI_Info_create(&how));
    MPI(MPI_Info_set(how, "accumulate_ordering", "none"));
    MPI(MPI_Info_set(how, "accumulate_ops", "same_op"));
    MPI(MPI_Win_create(block, (MPI_Aint)bytes, 1, how, w->control, &e->segment));
    MPI(MPI_Info_free(&how));
    MPI(MPI_Win_set_errhandler(e->segment, MPI_ERRORS_RETURN));
    MPI(MPI_Win_lock_all(MPI_MODE_NOCHECK, e->segment));
    return e;
}

void transport_cover(struct exposure *e)
{
    MPI(MPI_Win_unlock_all(e->segment));
    MPI(MPI_Win_free(&e->segment));
    xfree(e);
}

void transport_flush(struct exposure *e, int owner)
{
    MPI(MPI_Win_flush(owner, e->segment));
}

static void gather_upper(struct transport *w, int first)
{
    MPI_Group all, upper;
    int range[1][3] = {{first, w->ranks - 1, 1}};
    if (w->upper != MPI_COMM_NULL)
        MPI(MPI_Comm_free(&w->upper));
    MPI(MPI_Comm_group(w->control, &all));
    MPI(MPI_Group_range_incl(all, 1, range, &upper));
    MPI(MPI_Comm_create_group(w->control, upper, 0, &w->upper));
    MPI(MPI_Group_free(&upper));
    MPI(MPI_Group_free(&all));
    w->first = first;
}

void transport_sum(struct transport *w, int first, struct moving *m)
{
    size_t floats = m->bytes / sizeof(float);
    CHECK(floats <= INT_MAX,
          "MPI's all-reduce takes at most %d floats, not %zu: use --allreduce ring", INT_MAX,
          floats);
    if (w->upper == MPI_COMM_NULL || w->first != first)
        gather_upper(w, first);
    MPI_Request *request =
        launch(w, (struct flight){.moving = m, .bytes = m->bytes, .hurries = true});
    m->begun = m->bytes;
    MPI(MPI_Iallreduce(MPI_IN_PLACE, m->at, (int)floats, MPI_FLOAT, MPI_SUM, w->upper, request));
}

bool transport_moving(const struct transport *w)
{
    return w->count > 0;
}

bool transport_hurries(const struct transport *w)
{
    return w->hurrying > 0;
}

static void pause_for(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

void transport_farewell(struct transport *w, const bool *remote, int rank, int ranks)
{
    struct envelope gone = {.header.from = rank, .kind = ENVELOPE_GONE};
    MPI_Request *request = calloc((size_t)ranks, sizeof *request);
    MPI_Status status;
    int count = 0, sent = 0;
    for (int i = 0; request && i < ranks; i++)
        if (remote[i] && MPI_Isend(&gone, sizeof gone, MPI_BYTE, i, 0, w->letters,
                                   &request[count]) == MPI_SUCCESS)
            count++;
    for (int tries = 0; tries < 100 && sent < count; tries++, pause_for(1000000))
        for (sent = 0; sent < count; sent++) {
            int done = 0;
            if (MPI_Test(&request[sent], &done, &status) != MPI_SUCCESS || !done)
                break;
        }
    free(request);
}

void transport_leave(struct transport *w)
{
    MPI(MPI_Ibarrier(w->control, &w->barrier));
}

bool transport_left(struct transport *w)
{
    int all;
    MPI_Status status;
    MPI(MPI_Test(&w->barrier, &all, &status));
    return all;
}

void transport_drain(struct transport *w)
{
    int64_t *due = xcalloc((size_t)w->ranks, sizeof *due);
    int from;
    struct envelope e;
    MPI(MPI_Alltoall(w->put, 1, MPI_INT64_T, due, 1, MPI_INT64_T, w->control));
    for (int i = 0; i < w->ranks; i++)
        while (w->taken[i] < due[i] || w->count) {
            transport_advance(w);
            transport_take(w, &from, &e);
        }
    xfree(due);
    MPI(MPI_Barrier(w->control)); /* without it three ranks over tcp hang in MPI_Finalize */
}

void transport_close(struct transport *w, double patience_s, int code)
{
    if (w->upper != MPI_COMM_NULL)
        MPI(MPI_Comm_free(&w->upper));
    MPI(MPI_Comm_free(&w->pieces));
    MPI(MPI_Comm_free(&w->letters));
    MPI(MPI_Comm_free(&w->control));
    finalize_finalize(w->rank, patience_s, code);
    for (struct letter *l = w->spare, *next; l; l = next) {
        next = l->next;
        xfree(l);
    }
    xfree(w->put);
    xfree(w->taken);
    xfree(w->request);
    xfree(w->flight);
    xfree(w->ended);
    xfree(w->status);
    xfree(w);
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
