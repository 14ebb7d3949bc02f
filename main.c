/* The program: options, world, scheme.
 *
 * In the real world each process opens what it needs after the world is there (how many ranks share
 * its host decides how many threads it takes); on the simulated network one process opens it once
 * for all ranks. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/options.h"
#include "base/cores.h"
#include "collective/collective.h"
#include "command/command.h"
#include "slowness/slowness.h"
#include "messaging/messaging.h"
#include "node/node.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"

#ifndef COMMIT
#define COMMIT "unknown"
#endif

extern char **environ;

static volatile sig_atomic_t stop_requested;

static const double most_samples = 1e15; /* sums of a few of them stay exact */

struct run {
    struct options options;
    const struct scheme *scheme;
    struct run_context context; /* filled by open_context() */
    bool simulated;
    const struct machine *machine; /* simulated: NULL without --machine */
    char folder[4096];             /* of the results; rank 0's */
    int status;
};

static void request_stop(int signal)
{
    (void)signal;
    stop_requested = 1;
}

/* Did a launcher of MPI's start this process? In a job script of Slurm's there is a SLURM_PROCID,
 * too, but no world to join. */
static bool launched(void)
{
    return getenv("PMI_RANK") || getenv("PMIX_RANK") || getenv("OMPI_COMM_WORLD_RANK");
}

static void print_version(FILE *to)
{
    char text[256], networks[300];
    fprintf(to, "nbsgd, commit %s\n", COMMIT);
    mpi_version(text, sizeof text);
    fprintf(to, "messages: %s, memory of a GPU: %s; simulated network\n", text,
            launched() ? mpi_takes_gpu() ? "yes" : "no" : "known under mpirun");
    collective_version(text, sizeof text);
    fprintf(to, "sums among workers: %s\nbackends:", text);
    for (int i = 0; backends[i]; i++) {
        backends[i]->version(text, sizeof text);
        fprintf(to, " %s (%s; f32 %s, bf16 %s)%s", backends[i]->name, text,
                backends[i]->has(DTYPE_F32) ? "yes" : "no",
                backends[i]->has(DTYPE_BF16) ? "yes" : "no", backends[i + 1] ? ";" : "\n");
    }
    model_names(networks, sizeof networks);
    fprintf(to, "optimizers: %s\nschedules: %s\nwire: %s\nnetworks: %s|quadratic\n",
            optimizer_rules(), schedule_shapes(), codec_names(), networks);
}

static char *epilog(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "Schemes:\n");
    schemes_list(f);
    fprintf(f, "\nExamples:\n  mpirun -n 5 ./nbsgd --scheme nbssgd --slow 4=4\n  ./nbsgd --world "
               "sim --workers 8 --scheme ssgd --network "
               "resnet20\n");
    fclose(f);
    return text;
}

/* Before training, not at its first evaluation: can a file be made there? */
static void check_save(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash          ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    struct stat s;
    if (*path && (stat(folder, &s) || !S_ISDIR(s.st_mode) || access(folder, W_OK | X_OK)))
        fatal("--save %s: cannot write into the folder %s (%s); make it, or name another", path,
              folder, strerror(errno ? errno : ENOTDIR));
    if (*path && !stat(path, &s) && S_ISDIR(s.st_mode))
        fatal("--save %s: that is a folder; name a file", path);
    free(folder);
}

/* What no range of one option says. */
static void check_options(const struct options *o)
{
    if (o->batch % o->minibatches)
        fatal("--batch %lld is not divided by --minibatches %lld: take a batch that is a multiple "
              "of it",
              (long long)o->batch, (long long)o->minibatches);
    if (o->samples == 0 && o->epochs <= 0)
        fatal("--epochs 0 and no --samples: nothing to do");
    if (*o->record && *o->replay)
        fatal("--record and --replay in one run: the record would only be a copy; leave one out");
    check_save(o->save);
    codec_find(o->compress);
}

static struct schedule make_schedule(const struct options *o)
{
    struct schedule s = {.shape = o->schedule, .lr = o->lr, .warmup = o->warmup, .gamma = o->gamma};
    char *copy = strdup(o->milestones), *save = NULL, *end;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        double at = strtod(word, &end);
        if (*end || !(at >= 0 && at <= 1) || s.step_count == 8)
            fatal("--milestones '%s' is not a list of at most 8 parts of the run like 0.5,0.75",
                  o->milestones);
        s.steps[s.step_count++] = at;
    }
    free(copy);
    return s;
}

/* The optimizer and the schedule judge their numbers themselves; they are asked before training,
 * not at its first update. */
static void check_rates(const struct options *o)
{
    const struct schedule schedule = make_schedule(o);
    schedule_at(&schedule, 0);
    optimizer_close(optimizer_open(&(struct optimizer_options){.rule = o->optimizer,
                                                               .momentum = o->momentum,
                                                               .decay = o->weight_decay,
                                                               .beta1 = o->beta1,
                                                               .beta2 = o->beta2,
                                                               .epsilon = o->epsilon,
                                                               .threads = 1},
                                   (struct range){0, 1}, NULL, 0));
}

/* Only workers compute: a server that is to be slow would be passed over in silence. */
static void check_slowness(const struct run_context *s, int ranks)
{
    for (int i = 0; i < s->servers && ranks > 1; i++) {
        bool delayed = false;
        for (int k = 0; k < s->delay.terms; k++)
            delayed |= s->delay.term[k].worker == i;
        if (delayed || slowness_of(&s->slowness, i) > 1)
            fatal("%s: rank %d is a server; only workers, ranks %d to %d, can be slow",
                  delayed ? "--delay" : "--slow", i, s->servers, ranks - 1);
    }
}

/* Samples a second to any scale, for --partition speed; alone, a rank is every worker. To be
 * released. */
static double *worker_speeds(const struct run_context *s, int ranks)
{
    double *speeds = xcalloc((size_t)s->workers, sizeof *speeds);
    for (int w = 0; w < s->workers; w++)
        speeds[w] = 1 / slowness_of(&s->slowness, ranks == 1 ? 0 : s->servers + w);
    return speeds;
}

/* What --machine says of this run's computing; a mini-batch that nobody has timed is not
 * guessed. */
static void take_machine(struct run *run)
{
    const struct options *o = &run->options;
    struct run_context *s = &run->context;
    int threads = o->threads ? (int)o->threads : 1;
    s->machine = run->machine;
    s->minibatch_s = o->sim_minibatch;
    if (!run->machine || !strcmp(o->network, "quadratic"))
        return;
    s->minibatch_s =
        machine_minibatch_s(run->machine, o->network, o->stem, s->minibatch, o->dtype, threads);
    if (isnan(s->minibatch_s))
        fatal("--machine %s has no time of a mini-batch of this run: [minibatch_s] wants a line "
              "'%s %s %d %s %d = SECONDS'",
              o->machine, o->network, o->stem, s->minibatch, o->dtype, threads);
    s->jitter = machine_minibatch_jitter(run->machine, o->network, o->stem, s->minibatch, o->dtype,
                                         threads);
}

static void open_context(struct run *run, int ranks, int cores, int local_rank, bool serves,
                         bool trains)
{
    const struct options *o = &run->options;
    struct run_context *s = &run->context;
    int threads = o->threads ? (int)o->threads : cores;
    *s = (struct run_context){.options = o,
                              .schedule = make_schedule(o),
                              .servers = ranks == 1 ? 1 : (int)o->servers,
                              .threads = threads,
                              .stop_requested = &stop_requested};
    s->workers = ranks == 1 ? (int)o->workers : ranks - s->servers;
    s->holder = serves ? backend_holder(o->server_device) : NULL;
    s->minibatches = (int)o->minibatches;
    s->minibatch = (int)(o->batch / o->minibatches);
    s->delay = delay_parse(o->delay, ranks);
    s->slowness = slowness_parse(o->slow, ranks);
    s->departures = departures_parse(o->depart, ranks);
    take_machine(run);
    check_slowness(s, ranks);
    double *speeds = worker_speeds(s, ranks);
    s->problem =
        problem_open(&(struct problem_options){.options = o,
                                               .minibatch = s->minibatch,
                                               .threads = threads,
                                               .local_rank = local_rank,
                                               .workers = s->workers,
                                               .speeds = speeds,
                                               .serves = serves,
                                               .trains = trains,
                                               .ahead = run->simulated ? 0 : (int)o->prefetch});
    xfree(speeds);
    double wanted =
        o->samples ? (double)o->samples : o->epochs * (double)s->problem->training_samples;
    if (wanted > most_samples)
        fatal("--epochs %g: that is %g samples; take at most %g", o->epochs, wanted, most_samples);
    s->samples_wanted = wanted > 1 ? (int64_t)ceil(wanted) : 1;
    s->evaluate_every = o->eval_every ? o->eval_every : s->samples_wanted / 16 + 1;
}

static void close_context(struct run_context *s)
{
    problem_close(s->problem);
    if (s->results)
        results_close(s->results);
}

static char *describe(const struct run *run, const char *prefix, int ranks)
{
    char *text = NULL, date[64], host[128] = "?";
    size_t size;
    time_t now = time(NULL);
    FILE *f = open_memstream(&text, &size);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
    gethostname(host, sizeof host - 1);
    if (*prefix) {
        fprintf(f, "# commit: %s\n# date: %s\n# host: %s\n# cores: %d\n# ranks: %d\n", COMMIT, date,
                host, cores_available(), ranks);
        fprintf(f, "# computes: %s\n# data: %s\n", run->context.problem->computes,
                run->context.problem->source);
        fprintf(f, "# parameters: %lld\n", (long long)run->context.problem->count);
        if (!run->simulated && launched())
            fprintf(f, "# mpi takes memory of a GPU: %s\n", mpi_takes_gpu() ? "yes" : "no");
    }
    options_write(&run->options, f, prefix, *prefix ? ": " : " = ", 0);
    fclose(f);
    return text;
}

static void open_results(struct run *run, int ranks, const char *host)
{
    const struct options *o = &run->options;
    const struct problem *p = run->context.problem;
    char date[64];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime(&now));
    if (*o->results)
        snprintf(run->folder, sizeof run->folder, "%s", o->results);
    else
        snprintf(run->folder, sizeof run->folder, "results/run-%s-%s", date, o->scheme);
    for (int i = 2; !*o->results && !access(run->folder, F_OK);
         i++) /* another run began in this very second */
        snprintf(run->folder, sizeof run->folder, "results/run-%s-%s-%d", date, o->scheme, i);
    char *head = describe(run, "# ", ranks), *config = describe(run, "", ranks);
    if (p->generated)
        fprintf(stderr,
                "nbsgd: NO REAL IMAGES: %s. Name the folder of CIFAR-10 with --data DIR, or fetch "
                "it: data_loader/fetch data\n",
                p->source);
    run->context.results = results_open(
        &(struct results_options){.folder = run->folder,
                                  .head = head,
                                  .config = config,
                                  .thresholds = o->thresholds,
                                  .report_s = o->report_every,
                                  .live = isatty(STDOUT_FILENO) || getenv("NBSGD_LIVE")});
    printf("%s: %s on %s, %d worker%s and %d server%s (%s), %s; data: %s\n", o->scheme, o->network,
           o->world, run->context.workers, run->context.workers > 1 ? "s" : "",
           run->context.servers, run->context.servers > 1 ? "s" : "", host, p->computes, p->source);
    fflush(stdout);
    free(head);
    free(config);
}

/* Which classes each worker draws from, as partition.csv. */
static void write_partition(const struct run_context *s, int ranks)
{
    const struct problem *p = s->problem;
    if (!p->kind->share)
        return;
    int64_t *samples = xcalloc((size_t)s->workers * (size_t)p->classes, sizeof *samples);
    for (int w = 0; w < s->workers; w++)
        p->kind->share(p, w, samples + (int64_t)w * p->classes);
    results_partition(s->results, ranks, s->workers, p->classes, samples);
    xfree(samples);
}

/* One rank, from its world's opening to its end. */
static void run_rank(struct net *net, void *argument)
{
    struct run *run = argument;
    if (!run->simulated) {
        if (net->rank > 0)
            net_barrier(net);
        bool serves = net->rank < run->options.servers, trains = net->ranks == 1 || !serves;
        open_context(run, net->ranks, net->cores, net->local_rank, serves, trains);
        net->on_allocation = problem_lend;
        net->allocation_listener = run->context.problem;
        if (net->rank ==
            0) /* alone until here: kernels are timed in peace, and mistakes are said once */
            net_barrier(net);
    }
    if (net->rank == 0) {
        open_results(run, net->ranks, net_host(net, 0));
        write_partition(&run->context, net->ranks);
    }
    struct node *n = node_open(net, &run->context);
    (n->worker >= 0 ? run->scheme->work : run->scheme->serve)(n);
    int status = n->status;
    node_close(n);
    if (status)
        run->status = status;
    if (!run->simulated) {
        net->on_allocation = NULL;
        close_context(&run->context);
    }
}

static void print_network(const struct options *o)
{
    struct model *a = xcalloc(1, sizeof *a);
    model_build(a,
                &(struct model_request){.name = o->network,
                                        .batch = (int)(o->batch / o->minibatches),
                                        .classes = 10,
                                        .channels = 3,
                                        .height = 32,
                                        .width = 32},
                o);
    model_print(a, stdout);
    xfree(a);
}

/* Draws FOLDER/NAME.png with plots/SCRIPT.gp, where gnuplot and the script are; the rows are there
 * in any case. */
static void draw(const char *folder, const char *script, const char *name, const char *argument)
{
    char program[200], image[4200];
    int status = 0;
    pid_t child;
    snprintf(program, sizeof program, "plots/%s.gp", script);
    snprintf(image, sizeof image, "%s/%s.png", folder, name);
    if (access(program, R_OK))
        return;
    char *const words[] = {"gnuplot", "-c", program, image, (char *)argument, NULL};
    if (posix_spawnp(&child, "gnuplot", NULL, NULL, words, environ) ||
        waitpid(child, &status, 0) < 0 || status)
        printf("no figure: gnuplot is missing or failed; draw it with gnuplot -c %s %s %s\n",
               program, image, argument);
    else
        printf("figure: %s\n", image);
}

static void draw_figures(const char *folder, const char *scheme)
{
    char source[4200], shares[4200];
    snprintf(source, sizeof source, "%s=%s", scheme, folder);
    snprintf(shares, sizeof shares, "%s/partition.csv", folder);
    draw(folder, "run", "figure", source);
    if (!access(shares, R_OK))
        draw(folder, "partition", "partition", folder);
}

/* Do world, launcher, scheme and servers go together? `started`: processes of this run. */
static void check_ranks(const struct run *run, int started)
{
    const struct options *o = &run->options;
    bool alone = run->scheme->flags & ALONE;
    if (run->simulated && started > 1)
        fatal("--world sim: one process simulates all ranks, here %d would do the same; start "
              "./nbsgd without a launcher",
              started);
    if (run->simulated || o->print_network || o->print_schemes || o->check_options)
        return;
    if (started == 1 && !alone)
        fatal("%s needs a server and at least one worker, this is one rank: mpirun -n 5 ./nbsgd "
              "..., or --world sim, or --scheme serial",
              o->scheme);
    if (started > 1 && alone)
        fatal("%s runs in one process, this is one of %d ranks: ./nbsgd --scheme %s --workers %d "
              "...",
              o->scheme, started, o->scheme, started - 1);
    if (started > 1 && options_given(o, "workers"))
        fatal("--workers has no effect under a launcher: all ranks that are not servers are "
              "workers, here %d; leave it out",
              started - (int)o->servers);
    if (started > 1 && started <= o->servers)
        fatal("--servers %lld leaves no worker among %d ranks: start more, mpirun -n %lld ...",
              (long long)o->servers, started, (long long)o->servers + 1);
}

int main(int argc, char **argv)
{
    static struct run run;
    int started = launched() ? mpi_join() : 1; /* before anything can be wrong */
    char *text = epilog();
    struct option_sets sets = option_sets();
    options_parse(&run.options, sets.list, argc, argv,
                  &(struct option_texts){"Trains a network by distributed SGD over MPI: rank 0 is "
                                         "a parameter server, the others are workers.",
                                         text, print_version});
    free(text);
    const struct options *o = &run.options;
    if (o->print_options) {
        options_print(o, stdout);
        return 0;
    }
    run.scheme = scheme_find(o->scheme);
    run.simulated = !strcmp(o->world, "sim");
    options_use(&run.options, run.scheme->options);
    options_use(&run.options, run.simulated ? &sim_option_set : NULL);
    options_refuse_unused(o);
    check_options(o);
    check_rates(o);
    check_ranks(&run, started);
    scheme_check(run.scheme, o,
                 run.simulated || started == 1 ? (int)o->workers : started - (int)o->servers);
    if (o->check_options)
        return 0;
    if (o->print_network || o->print_schemes) {
        o->print_network ? print_network(o) : schemes_table(stdout);
        return 0;
    }
    struct sigaction leave_action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &leave_action, NULL);
    sigaction(SIGUSR2, &leave_action, NULL);
    int ranks = run.scheme->flags & ALONE ? 1 : (int)(o->servers + o->workers);
    struct world_options world = {.ranks = ranks,
                                  .seed = (uint64_t)o->seed,
                                  .latency_s = o->sim_latency,
                                  .bandwidth = o->sim_bandwidth,
                                  .progress_thread = !strcmp(o->progress, "thread"),
                                  .pin = o->pin,
                                  .threads = (int)o->threads,
                                  .gpu = o->gpu_mpi};
    if (*o->machine && !run.simulated)
        fatal("--machine describes what --world sim simulates; here the ranks are real");
    if (run.simulated) {
        if (*o->machine) {
            run.machine = machine_load(o->machine);
            world.links = machine_links(run.machine, ranks);
        }
        open_context(&run, ranks, cores_available(), 0, true, true);
        sim_run(&world, run_rank, &run);
        close_context(&run.context);
        if (run.machine)
            machine_close(run.machine);
    } else {
        mpi_run(&world, run_rank, &run);
    }
    if (*run.folder)
        draw_figures(run.folder, o->scheme);
    return run.status;
}
