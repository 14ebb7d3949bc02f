/* The real world describes itself: its options, its run. */
#include <string.h>

#include "base/options.h"
#include "messaging/worlds.h"

#define AT(field) offsetof(struct mpi_options, field)

static const struct option_row rows[] = {
    {.name = "gpu-mpi",
     .type = OPTION_CHOICE,
     .flags = OPTION_FREE | OPTION_OWN,
     .offset = AT(gpu_mpi),
     .preset = "auto",
     .choices = "auto|yes|no",
     .help =
         "does MPI accept GPU memory, so that --allreduce vendor sums there? auto: as MPI says"},
    {.name = "pin",
     .type = OPTION_FLAG,
     .flags = OPTION_FREE | OPTION_OWN,
     .offset = AT(pin),
     .preset = "yes",
     .help = "pin each rank to cores of its own where there are enough"},
    {.name = "progress",
     .type = OPTION_CHOICE,
     .flags = OPTION_FREE | OPTION_OWN,
     .offset = AT(progress),
     .preset = "poll",
     .choices = "poll|thread",
     .help = "what keeps messages between hosts moving while a rank computes"},
    {0}};

static const struct option_set option_set = {.title = "Ranks as processes (--world mpi)",
                                             .owner = "--world mpi",
                                             .rows = rows,
                                             .size = sizeof(struct mpi_options)};

static void configure(struct world_options *w, const struct options *o)
{
    const struct mpi_options *own = options_of(o, &option_set);
    w->pin = own->pin;
    w->progress_thread = !strcmp(own->progress, "thread");
    w->gpu = own->gpu_mpi;
}

const struct world world_mpi = {
    .name = "mpi",
    .line = "ranks are processes under mpirun or srun, time is the clock",
    .virtual_time = false,
    .options = &option_set,
    .configure = configure,
    .run = mpi_run,
};
