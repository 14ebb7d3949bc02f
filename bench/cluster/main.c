/* Is this cluster fit for nbsgd? The program behind test.s: measures what the schemes live on, and says in words what to do.
 *
 * Measured: who runs where; point to point within a host and between hosts; an all-reduce; one-sided access; whether a
 * large message moves while its sender computes; how soon a computing rank hears a signal. Every byte that comes is checked.
 * Ranks that have no part in a measurement sleep, so that the figures hold with more ranks than cores too. Clocks of two ranks
 * are never compared: each figure is a difference on one rank. Exit code 0: fit; 1: not; 5: a stage did not end in time.
 * MPI's own errors end the program (MPI_ERRORS_ARE_FATAL, its default).
 *
 *   mpirun -n 5 cluster [--deadline SECONDS a stage] [--pretend N: treat the ranks as if they sat on N hosts]
 *   mpirun -n 5 cluster --machine FILE     instead of all this: the file that describes the cluster to the simulator */
#include "bench/cluster/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <omp.h>

#include "base/alloc.h"

enum { ROWS = 16 }; /* hosts that get a row of their own */

static void gather_places(struct lab *lab)
{
    struct place mine = {.threads = omp_get_max_threads(), .online = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    gethostname(mine.host, sizeof mine.host - 1);
    CPU_ZERO(&mine.cores);
    sched_getaffinity(0, sizeof mine.cores, &mine.cores);
    if (lab->pretend) {
        size_t length = strnlen(mine.host, sizeof mine.host - 8);
        snprintf(mine.host + length, 8, "/%u", (unsigned)lab->rank % (unsigned)lab->pretend % 1000);
    }
    lab->place = obtain((size_t)lab->ranks, sizeof *lab->place);
    lab->first = obtain((size_t)lab->ranks, sizeof *lab->first);
    lab->host = obtain((size_t)lab->ranks, sizeof *lab->host);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, lab->place, sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
    int second = -1, mate = -1;
    for (int r = 0; r < lab->ranks; r++) {
        int h = 0;
        while (h < lab->hosts && strcmp(lab->place[lab->first[h]].host, lab->place[r].host))
            h++;
        if (h == lab->hosts)
            lab->first[lab->hosts++] = r;
        else if (second < 0)
            second = r, mate = lab->first[h];
        lab->host[r] = h;
    }
    if (second > 0)
        lab->pair[lab->pairs++] = (struct pair){mate, second, "within a host", true};
    if (lab->hosts > 1)
        lab->pair[lab->pairs++] = (struct pair){0, lab->first[1], "between hosts", false};
}

/* Prints a host's row. BAD: the launcher holds its ranks on fewer cores than there are; NOTE: there are fewer cores than ranks. */
static enum grade judge_host(const struct lab *lab, int host)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    int ranks = 0, threads = 0, online = lab->place[lab->first[host]].online;
    for (int r = 0; r < lab->ranks; r++)
        if (lab->host[r] == host) {
            CPU_OR(&all, &all, &lab->place[r].cores);
            threads += lab->place[r].threads;
            ranks++;
        }
    int cores = CPU_COUNT(&all);
    if (host < ROWS)
        print(lab, "  %-20s %d ranks, the first is %d; on %d of %d cores; %d OpenMP threads in all\n", lab->place[lab->first[host]].host,
              ranks, lab->first[host], cores, online, threads);
    return cores >= ranks ? GOOD : cores < online ? BAD : NOTE;
}

static void judge_hosts(struct lab *lab)
{
    static const char *const says[] = {
        [GOOD] = "a core and more for each rank.",
        [NOTE] = "ranks share cores: good for trying a scheme, not for comparing speeds.",
        [BAD] = "the launcher holds the ranks on too few cores: ask for more (--cpus-per-task), or bind otherwise (mpirun -bind-to none).",
    };
    int count[BAD + 1] = {0}, first[BAD + 1] = {0};
    for (int h = 0; h < lab->hosts; h++) {
        enum grade grade = judge_host(lab, h);
        if (!count[grade]++)
            first[grade] = lab->first[h];
    }
    if (lab->hosts > ROWS)
        print(lab, "  and %d more hosts\n", lab->hosts - ROWS);
    for (enum grade g = GOOD; g <= BAD; g++)
        if (count[g])
            find(lab, g, "%d of %d hosts (%s%s): %s", count[g], lab->hosts, lab->place[first[g]].host, count[g] > 1 ? " ..." : "", says[g]);
}

static void who_and_where(struct lab *lab)
{
    static const char *const levels[] = {"single", "funneled", "serialized", "multiple"};
    static const char *const variables[] = {"UCX_TLS", "UCX_NET_DEVICES", "FI_PROVIDER", "OMP_NUM_THREADS", "SLURM_JOB_ID"};
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length, at = MPI_THREAD_SINGLE;
    MPI_Get_library_version(version, &length);
    MPI_Query_thread(&at);
    at = at == MPI_THREAD_MULTIPLE ? 3 : at == MPI_THREAD_SERIALIZED ? 2 : at == MPI_THREAD_FUNNELED;
    print(lab, "Ranks and hosts: %d ranks on %d host%s\n", lab->ranks, lab->hosts, lab->hosts == 1 ? "" : "s");
    judge_hosts(lab);
    print(lab, "  %.*s; MPI threads: %s\n", (int)strcspn(version, "\n"), version, levels[at]);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i]))
            print(lab, "  %s=%s\n", variables[i], getenv(variables[i]));
}

static int verdict(const struct lab *lab)
{
    static const char *const words[] = {"good", "note", "BAD", "FAIL"};
    int count[4] = {0};
    printf("\nVerdict\n");
    for (enum grade g = GOOD; g <= FAIL; g++)
        for (int i = 0; i < lab->findings; i++)
            if (lab->finding[i].grade == g) {
                printf("  %-5s %s\n", words[g], lab->finding[i].text);
                count[g]++;
            }
    if (count[FAIL])
        printf("Not fit: %d of the findings must be mended first.\n", count[FAIL]);
    else if (count[BAD])
        printf("Fit, but slower than it could be: %d of the findings are worth mending.\n", count[BAD]);
    else
        printf("Fit.\n");
    return count[FAIL] > 0;
}

static void measure(struct lab *lab)
{
    gather_places(lab);
    who_and_where(lab);
    lab->block = obtain(VECTOR, sizeof(float));
    stage(lab, "point to point");
    print(lab, "Point to point, one way\n");
    for (int i = 0; i < lab->pairs; i++)
        point_to_point(lab, &lab->pair[i]);
    each_host(lab);
    stage(lab, "all-reduce");
    all_reduce(lab);
    stage(lab, "one-sided access");
    print(lab, "One-sided access\n");
    for (int i = 0; i < lab->pairs; i++)
        one_sided(lab, &lab->pair[i]);
    stage(lab, "progress while computing");
    print(lab, "Progress: 94 MB, sent by a rank that then computes for a second, are there after\n");
    for (int i = 0; i < lab->pairs; i++)
        progress(lab, &lab->pair[i]);
    stage(lab, "the signal");
    signals(lab);
    release(lab->block);
    release(lab->place);
    release(lab->first);
    release(lab->host);
}

static void judge_alone(struct lab *lab)
{
    const char *tasks = getenv("SLURM_NTASKS");
    if (tasks && atoi(tasks) > 1)
        find(lab, FAIL,
             "One rank alone, of %s that were started: the launcher speaks another PMI than this MPI. Try LAUNCH=\"srun --mpi=pmix\" or "
             "LAUNCH=\"mpirun -n %s\".",
             tasks, tasks);
    else
        find(lab, FAIL, "One rank alone. Start it with a launcher: mpirun -n 5, or sbatch test.s.");
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
    struct lab *lab = obtain(1, sizeof *lab);
    MPI_Init_thread(&count, &words, MPI_THREAD_MULTIPLE, &lab->level);
    MPI_Comm_rank(MPI_COMM_WORLD, &lab->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &lab->ranks);
    lab->pretend = (int)number(count, words, "--pretend", 0);
    watch_start(lab, number(count, words, "--deadline", 60));
    if (lab->ranks > 1)
        measure(lab);
    else
        judge_alone(lab);
    stage(lab, "the end");
    int code = lab->rank ? 0 : verdict(lab);
    fflush(stdout);
    quiet_barrier(MPI_COMM_WORLD); /* some networks hang in MPI_Finalize when a rank is still at work */
    MPI_Bcast(&code, 1, MPI_INT, 0, MPI_COMM_WORLD);
    watch_end(lab);
    MPI_Finalize();
    release(lab);
    return code;
}
