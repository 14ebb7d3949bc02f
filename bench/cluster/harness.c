/* The tools of the cluster's check. Clocks of two ranks are never compared: MPI_Wtime starts
 * anywhere. */
#include "bench/cluster/harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

void find(struct harness *harness, enum grade grade, const char *format, ...)
{
    if (harness->rank || harness->findings == FINDINGS)
        return;
    struct finding *f = &harness->finding[harness->findings++];
    f->grade = grade;
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

void print(const struct harness *harness, const char *format, ...)
{
    if (harness->rank)
        return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

static void *watch_stages(void *argument)
{
    struct harness *harness = argument;
    struct watch *w = &harness->watch;
    while (!w->over) {
        usleep(100000);
        if (w->over || MPI_Wtime() < w->until)
            continue;
        char host[64] = "?";
        gethostname(host, sizeof host - 1);
        fprintf(stderr,
                "cluster: rank %d on %s: \"%s\" did not end within %.0f s: a message never came, "
                "or the network is far too slow\n",
                harness->rank, host, w->stage, w->deadline_s);
        _exit(EXIT_SILENT); /* MPI is stuck: nothing of it may be called again */
    }
    return NULL;
}

void stage(struct harness *harness, const char *name)
{
    harness->watch.stage = name;
    harness->watch.until = MPI_Wtime() + harness->watch.deadline_s;
}

void quiet_barrier(MPI_Comm comm)
{
    MPI_Request request;
    MPI_Status status;
    int done = 0;
    MPI_Ibarrier(comm, &request);
    for (MPI_Test(&request, &done, &status); !done; MPI_Test(&request, &done, &status))
        usleep(200);
}

void share(int root, double *values, int count)
{
    quiet_barrier(MPI_COMM_WORLD);
    MPI_Bcast(values, count, MPI_DOUBLE, root, MPI_COMM_WORLD);
}

void compute(struct harness *harness, double seconds)
{
    double x = harness->sink + 1;
    for (double until = MPI_Wtime() + seconds; MPI_Wtime() < until;)
        for (int i = 0; i < 500; i++)
            x = x * 0.999999 + 1e-6;
    harness->sink = x;
}

static uint32_t pattern(uint32_t seed, size_t i)
{
    uint32_t x = ((uint32_t)i + seed * 0x9e3779b9u) * 0x85ebca6bu;
    return x ^ x >> 15;
}

void fill(struct harness *harness, uint32_t seed, size_t bytes)
{
    uint32_t *word = harness->block;
    for (size_t i = 0; i < bytes / 4; i++)
        word[i] = pattern(seed, i);
}

void check(struct harness *harness, uint32_t seed, size_t bytes)
{
    const uint32_t *word = harness->block;
    for (size_t i = 0; i < bytes / 4; i++)
        harness->wrong |= word[i] != pattern(seed, i);
}

void check_floats(struct harness *harness, const float *v, float factor, float addend)
{
    for (int i = 0; i < VECTOR; i++)
        harness->wrong |= v[i] != factor * (float)(i & 255) + addend;
}

void judge_data(struct harness *harness, const char *what)
{
    int mine = harness->wrong, any = 0;
    MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (any)
        find(harness, FAIL,
             "%s: wrong data came. Do not train here: try another MPI or UCX_TLS, and have the "
             "memory and the cables tested.",
             what);
    harness->wrong = false;
}

void watch_start(struct harness *harness, double deadline_s)
{
    harness->watch.deadline_s = deadline_s;
    stage(harness, "start");
    CHECK(!pthread_create(&harness->watch.thread, NULL, watch_stages, harness),
          "no thread to watch the time");
}

void watch_end(struct harness *harness)
{
    harness->watch.over = true;
    pthread_join(harness->watch.thread, NULL);
}
