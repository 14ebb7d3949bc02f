#define _GNU_SOURCE /* open_memstream, strchrnul */
#include "command/cell_conditions.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/check.h"
#include "base/cores.h"
#include "data_loader/data_loader.h"
#include "node/node.h"
#include "problem/problem.h"

/* The options with these names, ended by NULL, of those that options_write_only() would write. */
static void write_named(FILE *to, const struct options *o, unsigned with, unsigned without,
                        const char *const *names)
{
    char *text = NULL, *save = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f, "no memory for the options");
    if (with)
        options_write_only(o, f, "", " = ", with);
    else
        options_write(o, f, "", " = ", without);
    fclose(f);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        for (int i = 0; names[i]; i++)
            if (!strncmp(line, names[i], strlen(names[i])) &&
                !strncmp(line + strlen(names[i]), " = ", 3))
                fprintf(to, ", %s", line);
    free(text);
}

/* --- data --- */

/* The data set's own options, which say how its files are read. */
static void write_own(FILE *to, const struct options *o, const char *kind, const char *where)
{
    enum { MOST = 32 };
    const char *names[MOST + 1] = {NULL};
    const struct option_set *own = dataset_option_set(kind, where);
    for (int i = 0; own && own->rows[i].name && i < MOST; i++)
        names[i] = own->rows[i].name;
    write_named(to, o, 0, OPTION_OWN | OPTION_OUTPUT, names);
}

/* A line "data DIGEST WHICH" of `known`; NULL: there is none. */
static const char *find_known(const char *known, const char *which)
{
    enum { BEFORE = sizeof "data " + DIGEST_TEXT - 1 };
    size_t length = strlen(which);
    for (const char *line = known; *line; line = strchrnul(line, '\n') + 1) {
        size_t all = strcspn(line, "\n");
        if (all == BEFORE + length && !memcmp(line + BEFORE, which, length))
            return line;
        if (!line[all])
            break;
    }
    return NULL;
}

struct cell_data cell_data_of(const struct options *o, const char *known)
{
    struct cell_data d = {0};
    const char *where;
    size_t size;
    if (!strcmp(o->network, problem_toy) || run_context_times_alone(o))
        return d;
    dataset_find(o->dataset, o->data, &d.kind, &where);
    d.in_files = where;
    if (!where)
        return d;
    FILE *f = open_memstream(&d.which, &size);
    CHECK(f, "no memory for a name");
    fprintf(f, "%s, %lld, %lld", d.kind, (long long)o->train_samples, (long long)o->eval_samples);
    write_own(f, o, d.kind, where);
    fprintf(f, ", %s", where);
    fclose(f);
    const char *line = find_known(known, d.which);
    d.was_known = line;
    if (line)
        memcpy(d.digest, line + sizeof "data " - 1, DIGEST_TEXT - 1);
    else
        digest_text(problem_data_digest(o), d.digest);
    return d;
}

/* --- what decides a time --- */

/* One host's times are not another's. Under Slurm nodes are handed out: those of a partition are
 * taken as one kind, of whose processors the rest of the line speaks. */
static void write_host(FILE *to)
{
    const char *partition = getenv("SLURM_JOB_PARTITION"), *cluster = getenv("SLURM_CLUSTER_NAME"),
               *nodes = getenv("SLURM_JOB_NUM_NODES");
    char host[128] = "?", cpu[100];
    gethostname(host, sizeof host - 1);
    cores_model(cpu, sizeof cpu);
    if (getenv("SLURM_JOB_ID") && partition)
        fprintf(to, "# runs on: %s nodes of partition %s of %s, ", nodes ? nodes : "?", partition,
                cluster ? cluster : "Slurm");
    else
        fprintf(to, "# runs on: host %s, ", host);
    fprintf(to, "%d cores, %s", cores_available(), cpu);
}

/* What launch/launch.sh asks for first; where srun cannot start MPI programs it takes mpirun. */
static void write_launcher(FILE *to)
{
    const char *launch = getenv("LAUNCH"), *mpirun = getenv("MPIRUN"),
               *hosts = getenv("NBSGD_HOSTS");
    fprintf(to, ", launcher %s",
            launch && *launch        ? launch
            : getenv("SLURM_JOB_ID") ? "srun"
            : mpirun && *mpirun      ? mpirun
                                     : "mpirun");
    if (hosts && *hosts)
        fprintf(to, ", hosts %s", hosts);
}

void cell_conditions_write(const struct options *o, const struct cell_data *d, int processes,
                           FILE *to)
{
    static const char *const deciding[] = {"threads", "prefetch",       "pin", "progress",
                                           "gpu-mpi", "decode-threads", NULL};
    if (d->in_files)
        fprintf(to, "# data set: %s, digest %s\n", d->kind, d->digest);
    else if (d->kind)
        fputs("# data set: generated images\n", to);
    if (d->kind) {
        enum backend_dtype dtype = strcmp(o->dtype, "bf16") ? DTYPE_F32 : DTYPE_BF16;
        fprintf(to, "# backend: %s\n", backend_find(o->backend, dtype)->name);
    }
    if (!processes)
        return;
    write_host(to);
    write_launcher(to);
    write_named(to, o, OPTION_OWN, 0, deciding);
    putc('\n', to);
}
