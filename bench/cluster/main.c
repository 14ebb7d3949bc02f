/* Is this cluster fit for nbsgd? The program of test.s: measures what the schemes live on, and
 * says in words what to do.
 *
 * Measured: who runs where; point to point within a host and between hosts; an all-reduce;
 * one-sided access; whether a large message moves while its sender computes; how soon a computing
 * rank hears a signal. Every byte that comes is checked. Ranks that have no part in a measurement
 * sleep, so that the figures hold with more ranks than cores too. Clocks of two ranks are never
 * compared: each figure is a difference on one rank. Exit code 0: fit; 1: not; 5: a stage did not
 * end in time. MPI's own errors end the program (MPI_ERRORS_ARE_FATAL, its default).
 *
 *   mpirun -n 5 cluster [--deadline SECONDS per stage] [--pretend N: treat the ranks as if they sat
 *     on N hosts]
 *   mpirun -n 5 cluster --machine FILE     instead of all this: the file that describes the cluster
 *                                          to the simulator
 *   cluster --cores                        only says how many cores it may use, affinity and quotas
 *                                          counted */
#include "bench/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <omp.h>

#include "base/alloc.h"

enum { ROWS = 16 }; /* hosts that get a row of their own */

static void gather_places(struct harness *harness)
{
    struct place mine = {.threads = omp_get_max_threads(),
                         .online = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    gethostname(mine.host, sizeof mine.host - 1);
    mine.cores = core_set_own();
    if (harness->pretend) {
        size_t length = strnlen(mine.host, sizeof mine.host - 8);
        snprintf(mine.host + length, 8, "/%u",
                 (unsigned)harness->rank % (unsigned)harness->pretend % 1000);
    }
    harness->place = xcalloc((size_t)harness->ranks, sizeof *harness->place);
    harness->first = xcalloc((size_t)harness->ranks, sizeof *harness->first);
    harness->host = xcalloc((size_t)harness->ranks, sizeof *harness->host);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, harness->place, sizeof mine, MPI_BYTE,
                  MPI_COMM_WORLD);
    int second = -1, local_rank = -1;
    for (int r = 0; r < harness->ranks; r++) {
        int h = 0;
        while (h < harness->hosts &&
               strcmp(harness->place[harness->first[h]].host, harness->place[r].host))
            h++;
        if (h == harness->hosts)
            harness->first[harness->hosts++] = r;
        else if (second < 0)
            second = r, local_rank = harness->first[h];
        harness->host[r] = h;
    }
    if (second > 0)
        harness->pair[harness->pairs++] = (struct pair){local_rank, second, "within a host", true};
    if (harness->hosts > 1)
        harness->pair[harness->pairs++] =
            (struct pair){0, harness->first[1], "between hosts", false};
}

/* Prints a host's row. BAD: the launcher holds its ranks on fewer cores than there are; NOTE: there
 * are fewer cores than ranks. */
static enum grade judge_host(const struct harness *harness, int host)
{
    struct core_set all = {{0}};
    int ranks = 0, threads = 0, online = harness->place[harness->first[host]].online;
    for (int r = 0; r < harness->ranks; r++)
        if (harness->host[r] == host) {
            all = core_set_union(&all, &harness->place[r].cores);
            threads += harness->place[r].threads;
            ranks++;
        }
    int cores = core_set_count(&all);
    if (host < ROWS)
        print(harness,
              "  %-20s %d ranks, the first is %d; on %d of %d cores; %d OpenMP threads in all\n",
              harness->place[harness->first[host]].host, ranks, harness->first[host], cores, online,
              threads);
    return cores >= ranks ? GOOD : cores < online ? BAD : NOTE;
}

static void judge_hosts(struct harness *harness)
{
    static const char *const says[] = {
        [GOOD] = "a core and more for each rank.",
        [NOTE] = "ranks share cores: good for trying a scheme, not for comparing speeds.",
        [BAD] = "the launcher holds the ranks on too few cores: ask for more (--cpus-per-task), or "
                "bind otherwise (mpirun -bind-to none).",
    };
    int count[BAD + 1] = {0}, first[BAD + 1] = {0};
    for (int h = 0; h < harness->hosts; h++) {
        enum grade grade = judge_host(harness, h);
        if (!count[grade]++)
            first[grade] = harness->first[h];
    }
    if (harness->hosts > ROWS)
        print(harness, "  and %d more hosts\n", harness->hosts - ROWS);
    for (enum grade g = GOOD; g <= BAD; g++)
        if (count[g])
            find(harness, g, "%d of %d hosts (%s%s): %s", count[g], harness->hosts,
                 harness->place[first[g]].host, count[g] > 1 ? " ..." : "", says[g]);
}

static void who_and_where(struct harness *harness)
{
    static const char *const levels[] = {"single", "funneled", "serialized", "multiple"};
    static const char *const variables[] = {"UCX_TLS", "UCX_NET_DEVICES", "FI_PROVIDER",
                                            "OMP_NUM_THREADS", "SLURM_JOB_ID"};
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length, at = MPI_THREAD_SINGLE;
    MPI_Get_library_version(version, &length);
    MPI_Query_thread(&at);
    at = at == MPI_THREAD_MULTIPLE     ? 3
         : at == MPI_THREAD_SERIALIZED ? 2
                                       : at == MPI_THREAD_FUNNELED;
    print(harness, "Ranks and hosts: %d ranks on %d host%s\n", harness->ranks, harness->hosts,
          harness->hosts == 1 ? "" : "s");
    judge_hosts(harness);
    print(harness, "  %.*s; MPI threads: %s\n", (int)strcspn(version, "\n"), version, levels[at]);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i]))
            print(harness, "  %s=%s\n", variables[i], getenv(variables[i]));
}

static int verdict(const struct harness *harness)
{
    static const char *const words[] = {"good", "note", "BAD", "FAIL"};
    int count[4] = {0};
    printf("\nVerdict\n");
    for (enum grade g = GOOD; g <= FAIL; g++)
        for (int i = 0; i < harness->findings; i++)
            if (harness->finding[i].grade == g) {
                printf("  %-5s %s\n", words[g], harness->finding[i].text);
                count[g]++;
            }
    if (count[FAIL])
        printf("Not fit: %d of the findings must be fixed first.\n", count[FAIL]);
    else if (count[BAD])
        printf("Fit, but slower than it could be: %d of the findings are worth mending.\n",
               count[BAD]);
    else
        printf("Fit.\n");
    return count[FAIL] > 0;
}

static void measure(struct harness *harness)
{
    gather_places(harness);
    who_and_where(harness);
    harness->block = xcalloc(VECTOR, sizeof(float));
    stage(harness, "point to point");
    print(harness, "Point to point, one way\n");
    for (int i = 0; i < harness->pairs; i++)
        point_to_point(harness, &harness->pair[i]);
    each_host(harness);
    stage(harness, "all-reduce");
    all_reduce(harness);
    stage(harness, "one-sided access");
    print(harness, "One-sided access\n");
    for (int i = 0; i < harness->pairs; i++)
        one_sided(harness, &harness->pair[i]);
    stage(harness, "progress while computing");
    print(harness,
          "Progress: 94 MB, sent by a rank that then computes for a second, are there after\n");
    for (int i = 0; i < harness->pairs; i++)
        progress(harness, &harness->pair[i]);
    stage(harness, "the signal");
    signals(harness);
    xfree(harness->block);
    xfree(harness->place);
    xfree(harness->first);
    xfree(harness->host);
}

static void judge_alone(struct harness *harness)
{
    const char *tasks = getenv("SLURM_NTASKS");
    if (tasks && atoi(tasks) > 1)
        find(harness, FAIL,
             "One rank alone, of %s that were started: the launcher speaks another PMI than this "
             "MPI. Try LAUNCH=\"srun --mpi=pmix\" or "
             "LAUNCH=\"mpirun -n %s\".",
             tasks, tasks);
    else
        find(harness, FAIL,
             "One rank alone. Start it with a launcher: mpirun -n 5, or sbatch test.s.");
}

static double number(int count, char **words, const char *name, double otherwise)
{
    for (int i = 1; i + 1 < count; i += 2)
        if (!strcmp(words[i], name))
            return atof(words[i + 1]);
    return otherwise;
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "--machine"))
        return measure_machine(words[2]);
    if (count == 2 && !strcmp(words[1], "--cores"))
        return printf("%d\n", cores_available()) < 0;
    struct harness *harness = xcalloc(1, sizeof *harness);
    MPI_Init_thread(&count, &words, MPI_THREAD_MULTIPLE, &harness->level);
    MPI_Comm_rank(MPI_COMM_WORLD, &harness->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &harness->ranks);
    harness->pretend = (int)number(count, words, "--pretend", 0);
    watch_start(harness, number(count, words, "--deadline", 60));
    if (harness->ranks > 1)
        measure(harness);
    else
        judge_alone(harness);
    stage(harness, "the end");
    int code = harness->rank ? 0 : verdict(harness);
    fflush(stdout);
    /* some networks hang in MPI_Finalize when a rank is still at work */
    quiet_barrier(MPI_COMM_WORLD);
    MPI_Bcast(&code, 1, MPI_INT, 0, MPI_COMM_WORLD);
    watch_end(harness);
    MPI_Finalize();
    xfree(harness);
    return code;
}
