/* Training: options, a world of ranks, the scheme on each of them, and what the run leaves.
 *
 * In the real world each process opens what it needs after the world is there: how many ranks share
 * its host decides how many threads it takes. On the simulated network one process opens it once
 * for all ranks. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/cores.h"
#include "collective/collective.h"
#include "command/checks.h"
#include "command/command.h"
#include "data_loader/data_loader.h"
#include "messaging/messaging.h"
#include "model/model.h"
#include "problem/problem.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"
#include "slowness/slowness.h"

struct run {
    struct options options;
    const struct scheme *scheme;
    struct run_context context; /* of this process */
    const struct world *world;
    const struct machine *machine; /* simulated: NULL without --machine */
    volatile sig_atomic_t *stop_requested;
    char folder[4096]; /* of the results; rank 0's */
    int status;
};

/* What comes after the options in --help. To be freed. */
static char *epilog(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputs("Schemes:\n", f);
    schemes_list(f);
    fputs("\nNetworks (--network):\n", f);
    model_list(f);
    fputs("\nCodecs (--compress):\n", f);
    codec_list(f);
    fputs("\nSums among workers (--allreduce):\n", f);
    collective_list(f);
    fputs("\nData sets (--dataset):\n", f);
    dataset_list(f);
    fputs("\nPartitions (--partition):\n", f);
    partition_list(f);
    fputs("\nDelays (--delay, --link-delay):\n", f);
    delay_list(f);
    fputs("\nCommands (the first word):\n", f);
    for (int i = 0; commands[i]; i++)
        fprintf(f, "  %-10s %s%s\n", commands[i]->name, commands[i]->summary,
                i ? "" : " (without a command)");
    fputs("\nExamples:\n  mpirun -n 5 ./nbsgd --scheme nbssgd --slow 4=4\n"
          "  ./nbsgd --world sim --workers 8 --scheme ssgd --network resnet20\n",
          f);
    fclose(f);
    return text;
}

static void parse(struct run *run, int argc, char **argv)
{
    struct options *o = &run->options;
    char *text = epilog();
    struct option_sets sets = option_sets();
    struct option_texts texts = {
        .summary = "Trains a network by distributed SGD over MPI: rank 0 is a parameter server, "
                   "the others are workers.",
        .epilog = text,
        .version = version_print,
        .choices = option_choices};
    options_parse(o, sets.list, argc, argv, &texts);
    free(text);
    run->scheme = scheme_find(o->scheme);
    run->world = world_find(o->world);
    option_sets_use(o);
}

static void print_network(const struct options *o)
{
    if (!strcmp(o->network, problem_toy))
        fatal("--print-network: %s has no units; name another --network", o->network);
    struct model *m = xcalloc(1, sizeof *m);
    model_build(m,
                &(struct model_request){.name = o->network,
                                        .batch = (int)(o->batch / o->minibatches),
                                        .classes = 10,
                                        .channels = 3,
                                        .height = 32,
                                        .width = 32},
                o);
    model_print(m, stdout);
    xfree(m);
}

/* The options that print something and end. */
static bool prints(const struct options *o)
{
    if (o->print_options)
        options_print(o, stdout);
    else if (o->print_schemes)
        schemes_table(stdout);
    else if (o->print_network)
        print_network(o);
    return o->print_options || o->print_schemes || o->print_network;
}

/* The head of each file of results, lines of "# name: value". To be freed. */
static char *head(const struct run *run, int ranks)
{
    const struct problem *p = run->context.problem;
    char *text = NULL, date[64], host[128] = "?", cpu[100];
    size_t size;
    time_t now = time(NULL);
    FILE *f = open_memstream(&text, &size);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
    gethostname(host, sizeof host - 1);
    cores_model(cpu, sizeof cpu);
    fprintf(f, "# commit: %s\n# date: %s\n# host: %s\n# cores: %d\n# cpu: %s\n# ranks: %d\n",
            version_commit(), date, host, cores_available(), cpu, ranks);
    fprintf(f, "# computes: %s\n# data: %s\n# parameters: %lld\n", p->computes, p->source,
            (long long)p->count);
    if (!run->world->virtual_time && mpi_launched())
        fprintf(f, "# mpi takes memory of a GPU: %s\n", mpi_takes_gpu() ? "yes" : "no");
    options_write(&run->options, f, "# ", ": ", 0);
    fclose(f);
    return text;
}

/* The text of config.ini, which --config takes. To be freed. */
static char *configuration(const struct run *run)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    options_write(&run->options, f, "", " = ", 0);
    fclose(f);
    return text;
}

static void say_what_runs(const struct run *run, struct net *net)
{
    const struct options *o = &run->options;
    const struct run_context *c = &run->context;
    char known[512];
    if (c->problem->generated)
        fprintf(stderr, "nbsgd: NO REAL IMAGES: %s. Name a folder with --data DIR; known are: %s\n",
                c->problem->source, dataset_files(known, sizeof known));
    if (net->crowd.host)
        fprintf(
            stderr,
            "nbsgd: %d ranks share the %d core%s of %s: a rank that --slow slows leaves them to "
            "the others, and speeds say little\n",
            net->crowd.ranks, net->crowd.cores, net->crowd.cores > 1 ? "s" : "", net->crowd.host);
    printf("%s: %s on %s, %d worker%s and %d server%s (%s), %s; data: %s\n", o->scheme, o->network,
           o->world, c->workers, c->workers > 1 ? "s" : "", c->servers, c->servers > 1 ? "s" : "",
           net_host(net, 0), c->problem->computes, c->problem->source);
    fflush(stdout);
}

/* Which classes each worker draws from, as partition.csv; how large its shard is. */
static void write_partition(struct run_context *c, int ranks)
{
    double all = 0;
    const struct problem *p = c->problem;
    if (!p->kind->shard)
        return;
    int64_t *samples = xcalloc((size_t)c->workers * (size_t)p->classes, sizeof *samples);
    for (int w = 0; w < c->workers; w++)
        p->kind->shard(p, w, samples + (int64_t)w * p->classes);
    results_partition(c->results, ranks, c->workers, p->classes, samples);
    c->data_share = xcalloc((size_t)c->workers, sizeof *c->data_share);
    for (int i = 0; i < c->workers * p->classes; i++) {
        c->data_share[i / p->classes] += (double)samples[i];
        all += (double)samples[i];
    }
    for (int w = 0; w < c->workers; w++)
        c->data_share[w] /= all;
    xfree(samples);
}

static void open_results(struct run *run, struct net *net)
{
    const struct options *o = &run->options;
    char *lines = head(run, net->ranks), *config = configuration(run);
    run_folder_choose(run->folder, sizeof run->folder, o->results, o->scheme);
    struct results_options options = {.folder = run->folder,
                                      .head = lines,
                                      .config = config,
                                      .thresholds = o->thresholds,
                                      .report_s = o->report_every,
                                      .live = isatty(STDOUT_FILENO) || getenv("NBSGD_LIVE")};
    run->context.results = results_open(&options);
    say_what_runs(run, net);
    write_partition(&run->context, net->ranks);
    free(lines);
    free(config);
}

/* Rank 0 is alone until it has opened: kernels are timed undisturbed, mistakes are said once. */
static void open_process(struct run *run, struct net *net)
{
    bool serves = net->rank < run->options.servers;
    if (net->rank > 0)
        net_barrier(net);
    run_context_open(&run->context,
                     &(struct run_context_request){.options = &run->options,
                                                   .ranks = net->ranks,
                                                   .local_rank = net->local_rank,
                                                   .cores = net->cores,
                                                   .serves = serves,
                                                   .trains = net->ranks == 1 || !serves,
                                                   .stop_requested = run->stop_requested});
    net->register_memory = problem_register_memory;
    net->unregister_memory = problem_unregister_memory;
    net->memory_owner = run->context.problem;
    if (net->rank == 0)
        net_barrier(net);
}

static void close_process(struct run *run, struct net *net)
{
    net->register_memory = NULL;
    net->unregister_memory = NULL;
    run_context_close(&run->context);
}

/* One rank, from its world's opening to its end. */
static void run_rank(struct net *net, void *argument)
{
    struct run *run = argument;
    if (!run->world->virtual_time)
        open_process(run, net);
    if (net->rank == 0)
        open_results(run, net);
    struct node *n = node_open(net, &run->context);
    (n->worker >= 0 ? run->scheme->work : run->scheme->serve)(n);
    int status = n->status;
    node_close(n);
    if (status)
        run->status = status;
    if (!run->world->virtual_time)
        close_process(run, net);
}

/* What the machine file says instead. */
static void refuse_replaced(const struct options *o, const char *machine)
{
    static const char *const replaced[] = {"sim-latency", "sim-bandwidth", "sim-minibatch"};
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++)
        if (options_given(o, replaced[i]))
            fatal("--%s: --machine %s says that: leave one", replaced[i], machine);
}

/* One process holds all ranks. */
static void simulate(struct run *run, struct world_options *world)
{
    const struct sim_options *sim = options_of(&run->options, run->world->options);
    if (*sim->machine) {
        refuse_replaced(&run->options, sim->machine);
        run->machine = machine_load(sim->machine);
        world->links = machine_links(run->machine, world->ranks);
    }
    run_context_open(&run->context,
                     &(struct run_context_request){.options = &run->options,
                                                   .ranks = world->ranks,
                                                   .cores = cores_available(),
                                                   .serves = true,
                                                   .trains = true,
                                                   .simulated = true,
                                                   .machine = run->machine,
                                                   .stop_requested = run->stop_requested});
    run->world->run(world, run_rank, run);
    run_context_close(&run->context);
    if (run->machine)
        machine_close(run->machine);
}

static void open_world(struct run *run)
{
    const struct options *o = &run->options;
    struct world_options world = {
        .ranks = run->scheme->flags & ALONE ? 1 : (int)(o->servers + o->workers),
        .threads = (int)o->threads};
    run->world->configure(&world, o);
    if (run->world->virtual_time)
        simulate(run, &world);
    else
        run->world->run(&world, run_rank, run);
}

static int train(int argc, char **argv, volatile sig_atomic_t *stop_requested)
{
    int started = mpi_launched() ? mpi_join() : 1; /* before anything can be wrong */
    struct run *run = xcalloc(1, sizeof *run);
    run->stop_requested = stop_requested;
    parse(run, argc, argv);
    check_values(&run->options);
    if (!prints(&run->options)) {
        check_run(&run->options, run->scheme, started);
        if (!run->options.check_options)
            open_world(run);
    }
    if (*run->folder)
        run_folder_draw(run->folder, run->options.scheme);
    int status = run->status;
    options_close(&run->options);
    xfree(run);
    return status;
}

const struct command command_train = {
    .name = "train",
    .summary = "train a network",
    .run = train,
};
