/* What this program is: its version, and all it was built with and finds. */
#include "backend/backend.h"
#include "base/check.h"
#include "collective/collective.h"
#include "command/command.h"
#include "messaging/messaging.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"
#include "serialization/serialization.h"

#ifndef VERSION
#define VERSION "unknown"
#endif
#ifndef COMMIT
#define COMMIT "unknown"
#endif

const char *version_number(void)
{
    return VERSION;
}

const char *version_commit(void)
{
    return COMMIT;
}

void version_print(FILE *to)
{
    char text[300];
    fprintf(to, "nbsgd %s, commit %s\n", VERSION, COMMIT);
    mpi_version(text, sizeof text);
    fprintf(to, "messages: %s, memory of a GPU: %s; simulated network\n", text,
            !mpi_launched()   ? "known under mpirun"
            : mpi_takes_gpu() ? "yes"
                              : "no");
    collective_version(text, sizeof text);
    fprintf(to, "sums among workers: %s\nbackends:", text);
    for (int i = 0; backends[i]; i++) {
        backends[i]->version(text, sizeof text);
        fprintf(to, " %s (%s; f32 %s, bf16 %s)%s", backends[i]->name, text,
                backends[i]->has(DTYPE_F32) ? "yes" : "no",
                backends[i]->has(DTYPE_BF16) ? "yes" : "no", backends[i + 1] ? ";" : "\n");
    }
    char shapes[200];
    model_names(text, sizeof text);
    fprintf(to, "optimizers: %s\nschedules: %s\ncompression: %s\nnetworks: %s|%s\n",
            optimizer_rules(), schedule_shapes(shapes, sizeof shapes), codec_names(), text,
            problem_toy);
}

static int run(int argc, char **argv, struct stop *stop)
{
    (void)stop;
    if (argc > 1)
        fatal("version takes no options; leave out '%s' (nbsgd --help lists all)", argv[1]);
    version_print(stdout);
    return 0;
}

const struct command command_version = {
    .name = "version",
    .summary = "the version, backends and libraries",
    .run = run,
};
