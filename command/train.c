/* Training: options, a world of ranks, the scheme on each of them, and what the run leaves.
 *
 * In the real world each process opens what it needs after the world is there: how many ranks share
 * its host decides how many threads it takes. On the simulated network one process opens it once
 * for all ranks. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/cores.h"
#include "base/paths.h"
#include "collective/collective.h"
#include "command/agreement.h"
#include "command/checkpoints.h"
#include "command/checks.h"
#include "command/command.h"
#include "command/kept_course.h"
#include "command/outputs.h"
#include "data_loader/data_loader.h"
#include "gossip/gossip.h"
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
    struct stop *stop;
    struct claim *claim; /* of the folder of results; rank 0's */
    struct checkpoints checkpoints;
    struct kept_course kept; /* simulated */
    int ranks, status;       /* ranks: simulated */
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

/* Rank 0 reads the files that --config names, and hands them to the others. */
static void parse(struct run *run, int argc, char **argv)
{
    struct options *o = &run->options;
    struct option_files files = {.handed = mpi_rank() > 0};
    char *text = epilog();
    struct option_sets sets = option_sets();
    struct option_texts texts = {
        .summary = "Trains a network by distributed SGD over MPI: rank 0 is a parameter server, "
                   "the others are workers.",
        .epilog = text,
        .version = version_print,
        .choices = option_choices,
        .files = &files};
    if (files.handed)
        mpi_hand_out(&files.text, &files.bytes);
    options_parse(o, sets.list, argc, argv, &texts);
    if (!files.handed)
        mpi_hand_out(&files.text, &files.bytes);
    xfree(files.text);
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
    const struct option_set *own =
        strcmp(o->dataset, "auto") ? dataset_option_set(o->dataset, o->data) : NULL;
    const struct dataset_shape images = dataset_shape(o->dataset, own ? options_of(o, own) : NULL);
    model_build(m,
                &(struct model_request){.name = o->network,
                                        .batch = (int)(o->batch / o->minibatches),
                                        .classes = images.classes,
                                        .channels = images.channels,
                                        .height = images.height,
                                        .width = images.width},
                o);
    model_print(m, stdout);
    xfree(m);
}

static bool prints(const struct options *o)
{
    return o->print_options || o->print_schemes || o->print_network || o->print_machine_key;
}
static void print(const struct options *o)
{
    if (o->print_options)
        options_print(o, stdout);
    else if (o->print_schemes)
        schemes_table(stdout);
    else if (o->print_machine_key)
        run_context_print_machine_key(o, stdout);
    else
        print_network(o);
}

static bool is_plain(const char *path)
{
    while (*path && !iscntrl((unsigned char)*path))
        path++;
    return !*path;
}

/* The head of each file of results, lines of "# name: value". To be freed. */
static char *head(const struct run *run, int ranks)
{
    const struct problem *p = run->context.problem;
    char *text = NULL, date[64], host[128] = "?", cpu[100], from[PATH_MAX];
    size_t size;
    time_t now = time(NULL);
    FILE *f = open_memstream(&text, &size);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
    gethostname(host, sizeof host - 1);
    cores_model(cpu, sizeof cpu);
    fprintf(f, "# commit: %s\n# date: %s\n# host: %s\n# cores: %d\n# cpu: %s\n# ranks: %d\n",
            version_commit(), date, host, cores_available(), cpu, ranks);
    fprintf(f, "# run: %s\n", claim_run(run->claim));
    if (path_between(from, sizeof from, claim_folder(run->claim), ".") && is_plain(from))
        fprintf(f, "# started in: %s\n", from); /* its options may name files from there */
    fprintf(f, "# computes: %s\n# data: %s\n# judged by: %s\n# parameters: %lld\n", p->computes,
            p->source, p->judged, (long long)p->count);
    if (!run->world->virtual_time && mpi_launched())
        fprintf(f, "# mpi takes memory of a GPU: %s\n", mpi_takes_gpu() ? "yes" : "no");
    options_write(&run->options, f, "# ", ": ", 0);
    fclose(f);
    return text;
}

/* The text of config.ini, which --config takes. What a run writes is only told: another run of this
 * file must not write there. To be freed. */
static char *configuration(const struct run *run)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    options_write(&run->options, f, "", " = ", OPTION_OUTPUT);
    fputs("# This run's own, which no other takes over:\n", f);
    options_write_only(&run->options, f, "# ", " = ", OPTION_OUTPUT);
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
    printf("%s: %s on %s, %d worker%s and %d server%s (%s), %s; data: %s; judged by: %s\n",
           o->scheme, o->network, o->world, c->workers, c->workers > 1 ? "s" : "", c->servers,
           c->servers > 1 ? "s" : "", net_host(net, 0), c->problem->computes, c->problem->source,
           c->problem->judged);
    fflush(stdout);
}

/* A run that goes on does so where it was. In another folder it is a new one there: what another
 * run has left in it is no reason to take it. */
static struct claim_request claim_request(const struct run *run)
{
    struct claim_request r = outputs_claim(&run->options);
    struct stat wanted, before;
    if (!run->checkpoints.resume)
        return r;
    const char *folder = run->checkpoints.results.folder;
    if (!*r.wanted)
        r.wanted = folder;
    r.resume = !stat(r.wanted, &wanted) && !stat(folder, &before) &&
               wanted.st_dev == before.st_dev && wanted.st_ino == before.st_ino;
    return r;
}

static void claim_results(struct run *run)
{
    const struct claim_request request = claim_request(run);
    run->claim = claim_open(&request);
    outputs_check_saved(&run->options, run->claim);
}

/* Nothing is refused any more, once the rows of the folder have been judged: they are replaced. */
static void open_results(struct run *run, struct net *net)
{
    const struct options *o = &run->options;
    char *lines = head(run, net->ranks), *config = configuration(run);
    struct results_options options = {
        .folder = claim_folder(run->claim),
        .saved = claim_saved(run->claim),
        .has_earlier = claim_has_earlier(run->claim),
        .head = lines,
        .config = config,
        .resume = run->checkpoints.resume ? &run->checkpoints.results : NULL,
        .forwards = run->checkpoints.resume && net->virtual_time && !run->checkpoints.anew,
        .thresholds = o->thresholds,
        .report_s = o->report_every,
        .tensorboard = o->tensorboard,
        .disk = run->context.disk,
        .live = isatty(STDOUT_FILENO) || getenv("NBSGD_LIVE")};
    run->context.results = results_open(&options);
    outputs_note_saved(o, run->claim);
    witness_tell_results(claim_folder(run->claim));
    if (!options.forwards) /* else it makes them again */
        checkpoints_restore(&run->checkpoints, run->context.results);
    say_what_runs(run, net);
    outputs_partition(&run->context, net->ranks);
    if (run->context.course)
        kept_course_begin(&run->kept, &run->context);
    free(lines);
    free(config);
}

/* What the problem tells while it opens and evaluates. */
static void on_progress(void *self, const char *what)
{
    struct net *net = self;
    struct net_activity busy = {.pace = NET_BUSY};
    if (!what) {
        net_step(net);
        net_poll(net);
        return;
    }
    strncpy(busy.what, what, sizeof busy.what - 1);
    net_act(net, busy);
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
                                                   .listener = {on_progress, net},
                                                   .stop_requested = &run->stop->signal});
    net->register_memory = problem_register_memory;
    net->unregister_memory = problem_unregister_memory;
    net->memory_owner = run->context.problem;
    if (net->rank == 0)
        net_barrier(net);
    agree_on_data(run->context.problem);
}

static void close_process(struct run *run, struct net *net)
{
    net->register_memory = NULL;
    net->unregister_memory = NULL;
    run_context_close(&run->context);
}

static void draw_figures(const struct run *run)
{
    run_folder_draw(claim_folder(run->claim), run->options.scheme, run->options.deadline);
}

/* One rank, from its world's opening to its end. Between the first evaluation and the last line of
 * results there is something to save. */
static void run_rank(struct net *net, void *argument)
{
    struct run *run = argument;
    bool speaks = net->rank == 0 || !run->world->virtual_time; /* for its process */
    struct checkpoints *checkpoints = &run->checkpoints;
    const bool simulated = run->world->virtual_time;
    struct net_activity before = checkpoints_act(net);
    if (net->rank == 0 && !simulated)
        checkpoints_find(checkpoints, &run->options, run->scheme, net->ranks);
    net_act(net, before);
    if (!simulated)
        open_process(run, net);
    if (net->rank == 0)
        claim_results(run);
    checkpoints_share(checkpoints, &run->options, net, run->claim ? claim_folder(run->claim) : NULL,
                      &run->context);
    run->context.checkpoints = checkpoints->plan;
    if (net->rank == 0)
        open_results(run, net);
    struct node *n = node_open(net, &run->context);
    if (speaks)
        run->stop->saves = 1;
    (n->worker >= 0 ? run->scheme->work : run->scheme->serve)(n);
    int status = node_close(n);
    if (speaks)
        run->stop->saves = 0;
    if (status)
        run->status = status;
    if (simulated)
        return;
    checkpoints_close(checkpoints);
    close_process(run, net);
    if (net->rank > 0)
        return;
    /* while the others know what they wait for */
    net_act(net, (struct net_activity){.pace = NET_BUSY, .what = "the figures"});
    draw_figures(run);
}

/* A simulated run that is resumed is where it was kept. */
static void on_arrival(void *self)
{
    struct run *run = self;
    results_arrived(run->context.results);
    outputs_partition(&run->context, run->ranks);
}

/* Checkpoints of a simulated run, if there are to be any. */
static void keep_course(struct run *run, struct world_options *world)
{
    const struct options *o = &run->options;
    run->ranks = world->ranks;
    if (!*o->checkpoint_every && !*o->resume)
        return;
    checkpoints_find(&run->checkpoints, o, run->scheme, world->ranks);
    kept_course_open(&run->kept, &run->checkpoints, &run->context, on_arrival, run);
    run->context.course = &run->kept.course;
    world->journal = run->kept.course.journal;
}

/* One process holds all ranks. */
static void simulate(struct run *run, struct world_options *world)
{
    const struct sim_options *sim = options_of(&run->options, run->world->options);
    if (*sim->machine) {
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
                                                   .stop_requested = &run->stop->signal});
    if (run->scheme->flags & GOSSIP)
        run->context.topology = gossip_topology(&run->options, run->context.workers);
    keep_course(run, world);
    run->world->run(world, run_rank, run);
    topology_close(run->context.topology);
    kept_course_close(&run->kept);
    checkpoints_close(&run->checkpoints);
    run_context_close(&run->context);
    draw_figures(run);
    if (run->machine)
        machine_close(run->machine);
}

static void open_world(struct run *run)
{
    const struct options *o = &run->options;
    struct world_options world = {
        .ranks = run->scheme->flags & ALONE ? 1 : (int)(o->servers + o->workers),
        .threads = (int)o->threads,
        .deadline_s = o->deadline};
    run->world->configure(&world, o);
    if (run->world->virtual_time)
        simulate(run, &world);
    else
        run->world->run(&world, run_rank, run);
}

static void run_or_check(struct run *run, int started)
{
    struct options *o = &run->options;
    agree_on_options(o);
    check_values(o);
    check_run(o, run->scheme, started);
    outputs_check(o, started);
    agree_to_begin(o);
    if (started > 1) /* known only now; the record says it */
        o->workers = started - o->servers;
    if (!o->check_options)
        open_world(run);
}

/* What the command line says of --deadline: the start has one before options are read. A file may
 * say otherwise later. Processes start some seconds apart. */
static double peek_deadline(int argc, char **argv)
{
    static const char name[] = "--deadline";
    static const double least_s = 8;
    const size_t length = sizeof name - 1;
    double deadline_s = 60;
    for (int i = 1; i < argc; i++) {
        const char *value = strncmp(argv[i], name, length)     ? NULL
                            : argv[i][length] == '='           ? argv[i] + length + 1
                            : !argv[i][length] && i < argc - 1 ? argv[i + 1]
                                                               : NULL;
        double seconds = value ? strtod(value, NULL) : 0;
        if (seconds > 0 && seconds < 1e9)
            deadline_s = seconds;
    }
    return deadline_s > least_s ? deadline_s : least_s;
}

static int train(int argc, char **argv, struct stop *stop)
{
    int started = mpi_started(peek_deadline(argc, argv)); /* before anything can be wrong */
    witness_tell_end();
    struct run *run = xcalloc(1, sizeof *run);
    run->stop = stop;
    parse(run, argc, argv);
    if (prints(&run->options)) {
        check_values(&run->options);
        print(&run->options);
    } else {
        run_or_check(run, started);
    }
    if (run->claim)
        claim_close(run->claim);
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
