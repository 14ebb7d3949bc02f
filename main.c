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
#include "base/config.h"
#include "base/cores.h"
#include "collective/collective.h"
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

/* The rule and the paper, broken into lines that --help leaves as they are. */
static const char *wrapped(const struct scheme *s, char *to, size_t size)
{
    enum { MARGIN = 13, WIDTH = 78 };
    char words[400], *save = NULL;
    size_t at = 0, column = MARGIN;
    snprintf(words, sizeof words, "%s (%s)", s->rule, s->paper);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool fits = column + strlen(word) < WIDTH;
        at += (size_t)snprintf(to + at, size - at, "%s%*s%s", fits ? "" : "\n",
                               fits ? at > 0 : MARGIN, "", word);
        column = (fits ? column + 1 : MARGIN) + strlen(word);
    }
    snprintf(to + at, size - at, "\n");
    return to;
}

static char *list_schemes(void)
{
    char *text = NULL, line[800];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "Schemes:\n");
    for (const struct scheme *s = schemes; s->name; s++)
        fprintf(f, "  %-10s %s", s->name, wrapped(s, line, sizeof line));
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

static void check_options(const struct options *o)
{
    if (!o->batch || !o->minibatches || o->batch % o->minibatches)
        fatal("--batch %lld is not divided by --minibatches %lld: take a batch that is a multiple "
              "of it",
              (long long)o->batch, (long long)o->minibatches);
    if (o->batch > 1 << 20)
        fatal("--batch %lld is more than a million samples", (long long)o->batch);
    if (!o->workers || o->workers > 100000)
        fatal("--workers %lld: take 1 to 100,000", (long long)o->workers);
    if (!o->servers || o->servers > 64)
        fatal("--servers %lld: take 1 to 64", (long long)o->servers);
    if (!(o->momentum < 1) || !(o->beta1 < 1) || !(o->beta2 < 1))
        fatal("--momentum, --beta1 and --beta2 must be less than 1");
    if (!(o->label_smoothing < 1) || !(o->warmup < 1))
        fatal("--label-smoothing and --warmup are parts: less than 1");
    if (!(o->target <= 100))
        fatal("--target %g is more than 100 percent", o->target);
    if (o->samples == 0 && o->epochs <= 0)
        fatal("--epochs 0 and no --samples: nothing to do");
    if (!(o->sim_bandwidth > 0))
        fatal("--sim-bandwidth must be more than 0 bytes a second");
    if (o->threads > 1024)
        fatal("--threads %lld is more than 1,024", (long long)o->threads);
    if (!(o->compress_ratio > 0) || !(o->compress_ratio <= 1))
        fatal("--compress-ratio: %g is not a part of a vector; give a number above 0, at most 1",
              o->compress_ratio);
    if (!o->n_push || !o->n_fetch || !o->local_steps)
        fatal("--n-push, --n-fetch and --local-steps are at least 1");
    if (!(o->anytime_seconds > 0))
        fatal("--anytime-seconds must be more than 0 seconds");
    if (!(o->warm_start < 1) || !(o->post_local <= 1) || !(o->dc_decay <= 1) ||
        !(o->easgd_beta <= 1))
        fatal("--warm-start, --post-local, --dc-decay and --easgd-beta are parts: at most 1, "
              "--warm-start less");
    if (*o->record && *o->replay)
        fatal("--record and --replay in one run: the record would only be a copy; leave one out");
    if (!(o->deadline > 0))
        fatal("--deadline must be more than 0 seconds");
    if (!o->eval_batches)
        fatal("--eval-batches 0: at least one mini-batch is needed for the batch-norm statistics");
    if (o->prefetch > 1000)
        fatal("--prefetch %lld: take at most 1,000 mini-batches", (long long)o->prefetch);
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

/* Do pushes come to a server that steps with them? */
static bool is_served(const struct scheme *s)
{
    return !(s->flags & DECENTRAL) && strncmp(s->messages, "none", 4) != 0;
}

/* What goes with this scheme, and what doesn't. */
static void check_scheme(const struct run *run)
{
    const struct options *o = &run->options;
    const struct scheme *s = run->scheme;
    if (s->flags & DECENTRAL && o->servers > 1)
        fatal("--servers %lld: %s has no use for more than rank 0; leave it out",
              (long long)o->servers, s->name);
    if (s->flags & DECENTRAL && *o->depart)
        fatal("--depart: %s needs every worker in every update", s->name);
    if (!is_served(s) && strcmp(o->compress, "f32") != 0)
        fatal("--compress %s: nothing is pushed to a server in %s; leave it out", o->compress,
              s->name);
    if (!strcmp(s->name, "hogwild") && o->servers > 1)
        fatal("--servers %lld: hogwild's weights lie with rank 0 alone; leave it out",
              (long long)o->servers);
    if (!strcmp(s->name, "nbssgd") && !strcmp(o->nb_payload, "weights") &&
        !codec_find(o->compress)->weights)
        fatal(
            "--nb-payload weights: weights would not survive --compress %s; take f32, bf16 or f16",
            o->compress);
    const char *own = !strcmp(s->name, "easgd")    ? "sgd"
                      : !strcmp(s->name, "eamsgd") ? "nesterov"
                                                   : NULL;
    if (own && strcmp(o->optimizer, "sgd") != 0 && strcmp(o->optimizer, own) != 0)
        fatal("--optimizer %s: workers of %s step by %s, the centre by the elastic force alone; "
              "leave it out",
              o->optimizer, s->name, own);
    if (!strcmp(s->name, "asgd") && !strcmp(o->stale_lr, "inverse") &&
        strcmp(o->optimizer, "sgd") != 0 && strcmp(o->optimizer, "nesterov") != 0)
        fatal("--stale-lr inverse: %s hardly notices a gradient that is divided by its staleness; "
              "take --optimizer sgd or nesterov",
              o->optimizer);
    if (!is_served(s) && strcmp(o->server_device, "cpu") != 0)
        fatal("--server-device %s: no server steps in %s; leave it out", o->server_device, s->name);
    if (!(s->flags & REPLAYS) && (*o->record || *o->replay))
        fatal("--%s: more than the order of arrivals makes a run of %s what it is; it can't be "
              "replayed",
              *o->record ? "record" : "replay", s->name);
    bool by_clock = strcmp(o->schedule, "constant") != 0 || o->warmup > 0 ||
                    (o->warm_start > 0 && !strcmp(s->name, "downpour"));
    if ((*o->record || *o->replay) && o->seconds > 0 && by_clock)
        fatal("--%s with --seconds: the rate would follow the clock, which no record has; take "
              "--schedule constant --warmup 0 "
              "--warm-start 0, or end by --samples or --updates",
              *o->record ? "record" : "replay");
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
    if (!strcmp(o->scheme, "backup") && o->backup_workers >= s->workers)
        fatal("--backup-workers %lld leaves none of %d workers to wait for; take at most %d",
              (long long)o->backup_workers, s->workers, s->workers - 1);
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
    config_write(&run->options, f, prefix, *prefix ? ": " : " = ");
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
        if (net->ranks == 1 && strcmp(run->scheme->name, "serial"))
            fatal("%s needs a server and at least one worker, this is one rank: mpirun -n 5 "
                  "./nbsgd ..., or --world sim, or --scheme serial",
                  run->scheme->name);
        if (net->ranks > 1 && !strcmp(run->scheme->name, "serial"))
            fatal("serial runs in one process, this is one of %d ranks: ./nbsgd --scheme serial "
                  "--workers %d ...",
                  net->ranks, net->ranks - 1);
        if (net->ranks > 1 && net->ranks <= run->options.servers)
            fatal("--servers %lld leaves no worker among %d ranks: start more, mpirun -n %lld ...",
                  (long long)run->options.servers, net->ranks, (long long)run->options.servers + 1);
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

/* The README's table. */
static void print_schemes(void)
{
    puts("| scheme | rule | messages an update | floats of a worker an update | staleness | paper "
         "|\n|---|---|---|---|---|---|");
    for (const struct scheme *s = schemes; s->name; s++)
        printf("| `%s` | %s | %s | %s | %s | %s |\n", s->name, s->rule, s->messages, s->floats,
               s->staleness, s->paper);
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

int main(int argc, char **argv)
{
    static struct run run;
    int started = launched() ? mpi_join() : 1; /* before anything can be wrong */
    char *schemes_text = list_schemes();
    config_parse(&run.options, argc, argv, schemes_text, print_version);
    free(schemes_text);
    const struct options *o = &run.options;
    check_options(o);
    check_rates(o);
    run.scheme = scheme_find(o->scheme);
    check_scheme(&run);
    run.simulated = !strcmp(o->world, "sim");
    if (run.simulated && started > 1)
        fatal("--world sim: one process simulates all ranks, here %d would do the same; start "
              "./nbsgd without a launcher",
              started);
    if (o->print_network || o->print_schemes) {
        o->print_network ? print_network(o) : print_schemes();
        return 0;
    }
    struct sigaction leave_action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &leave_action, NULL);
    sigaction(SIGUSR2, &leave_action, NULL);
    int ranks = strcmp(o->scheme, "serial") ? (int)(o->servers + o->workers) : 1;
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
