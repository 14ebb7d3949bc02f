/* Every option of the program, in one list.
 *
 * OPTIONS(X) makes the struct, the command line (--name), the configuration file (name = value),
 * --help and the header of every result. X(group, type, field, default, placeholder, help); the
 * option's name is the field's, with '-' for '_'. TEXT borrows its string for the program's life. A
 * choice is a TEXT whose help begins with its words, "one|two|three: ...". */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS(X)                                                                                 \
    X(WHAT, TEXT, scheme, "nbssgd", "NAME",                                                        \
      "who sends what to allocation_listener, and when; see the list below")                       \
    X(WHAT, TEXT, network, "resnet50", "NAME",                                                     \
      "resnet18 .. resnet152, He's resnet20 .. resnet110, or quadratic (a toy of 1,000 floats)")   \
    X(WHAT, TEXT, stem, "cifar", "KIND",                                                           \
      "cifar|imagenet: first layers of resnet18 .. resnet152, 3x3 stride 1, or 7x7 stride 2 and "  \
      "pool")                                                                                      \
    X(WHAT, FLAG, zero_gamma, "no", "",                                                            \
      "start each residual block as the identity (gamma 0 in its last norm)")                      \
    X(WHAT, REAL, label_smoothing, "0", "PART", "part of the target spread over all classes")      \
    X(WHAT, INT, seed, "1", "N", "of weights, order, augmentation and delays")                     \
    X(DATA, TEXT, data, "", "DIR",                                                                 \
      "where CIFAR-10's binary files are; without it $DATA, then data/, then generated images")    \
    X(DATA, TEXT, dataset, "auto", "NAME",                                                         \
      "auto|cifar10|synthetic: auto takes cifar10 where its files are found")                      \
    X(DATA, INT, train_samples, "0", "N", "use only the first N training images (0: all)")         \
    X(DATA, FLAG, augment, "yes", "", "pad by 4 and crop, flip")                                   \
    X(DATA, TEXT, partition, "split", "HOW",                                                       \
      "split|shared|label|label-unscaled|dirichlet|speed: whose images are whose: disjoint equal " \
      "shares, all draw from all, "                                                                \
      "classes apart (cut to equal shares, or not), shares of each class by Dirichlet, shares by " \
      "--slow's speeds")                                                                           \
    X(DATA, REAL, dirichlet, "1", "ALPHA",                                                         \
      "of partition dirichlet: small is uneven, large is even")                                    \
    X(DATA, INT, prefetch, "2", "N", "mini-batches that are prepared ahead of need")               \
    X(DATA, FLAG, data_on_device, "yes", "",                                                       \
      "cudnn: the data set lies in the GPU's memory where it fits, and is cropped and flipped "    \
      "there")                                                                                     \
    X(WORK, INT, batch, "256", "N", "samples a batch, of each worker")                             \
    X(WORK, INT, minibatches, "8", "N", "mini-batches a batch; must divide it")                    \
    X(WORK, REAL, epochs, "10", "N",                                                               \
      "stop after N passes over the training set, all workers together")                           \
    X(WORK, INT, samples, "0", "N", "stop after N samples instead (0: by epochs)")                 \
    X(WORK, REAL, seconds, "0", "S", "stop after S seconds of the training clock (0: no limit)")   \
    X(WORK, INT, updates, "0", "N", "stop after N updates of the weights (0: no limit)")           \
    X(WORK, REAL, target, "0", "PERCENT",                                                          \
      "stop at the first evaluation whose top-1 is this high (0: go on)")                          \
    X(RATE, TEXT, optimizer, "sgd", "RULE",                                                        \
      "sgd|nesterov|adam|adamw|adagrad: what a gradient does to the weights")                      \
    X(RATE, REAL, lr, "0.1", "R", "the greatest learning rate")                                    \
    X(RATE, REAL, momentum, "0.9", "M", "of sgd and nesterov")                                     \
    X(RATE, REAL, weight_decay, "5e-4", "D", "weight decay")                                       \
    X(RATE, FLAG, decay_norms, "no", "", "weight decay on norms and biases as well")               \
    X(RATE, REAL, beta1, "0.9", "B", "of adam, adamw")                                             \
    X(RATE, REAL, beta2, "0.999", "B", "of adam, adamw")                                           \
    X(RATE, REAL, epsilon, "1e-8", "E", "of adam, adamw, adagrad")                                 \
    X(RATE, TEXT, schedule, "cosine", "SHAPE",                                                     \
      "constant|step|exponential|cosine|one-cycle: the rate over the run")                         \
    X(RATE, REAL, warmup, "0.05", "PART", "part of the run in which the rate rises from rate/25")  \
    X(RATE, TEXT, milestones, "0.5,0.75", "PARTS",                                                 \
      "schedule step: parts of the run where the rate falls")                                      \
    X(RATE, REAL, gamma, "0.1", "G",                                                               \
      "schedule step: by this factor; exponential: rate at the end / at the start")                \
    X(MACHINE, TEXT, world, "mpi", "KIND",                                                         \
      "mpi|sim: ranks are processes, or coroutines on a virtual clock")                            \
    X(MACHINE, INT, workers, "4", "N",                                                             \
      "sim and serial: how many workers (mpi: all ranks that are not servers)")                    \
    X(MACHINE, INT, servers, "1", "N",                                                             \
      "the first N ranks are servers, each with a slice of the weights")                           \
    X(MACHINE, TEXT, server_device, "cpu", "WHERE",                                                \
      "cpu|gpu: where a server holds its weights, sums and steps")                                 \
    X(MACHINE, TEXT, compress, "f32", "FORMAT",                                                    \
      "f32|bf16|f16|int8|topk|randk|sign: of vectors on the wire; where weights would not "        \
      "survive it, they go as f32")                                                                \
    X(MACHINE, REAL, compress_ratio, "0.01", "PART",                                               \
      "of a vector's floats that topk and randk send")                                             \
    X(MACHINE, TEXT, allreduce, "auto", "HOW",                                                     \
      "auto|direct|ring|vendor|nccl: how workers sum among themselves; auto: nccl where each has " \
      "a GPU of its own, else direct "                                                             \
      "within a host, else ring; vendor: MPI's own")                                               \
    X(MACHINE, TEXT, gpu_mpi, "auto", "HOW",                                                       \
      "auto|yes|no: does MPI take memory of a GPU, so that vendor sums there? auto: as MPI says")  \
    X(MACHINE, TEXT, backend, "auto", "NAME",                                                      \
      "auto|cudnn|onednn|openblas|ref: what computes; auto takes the fastest that is there")       \
    X(MACHINE, TEXT, dtype, "f32", "TYPE", "f32|bf16: of the activations")                         \
    X(MACHINE, FLAG, tf32, "no", "",                                                               \
      "cudnn: multiply float32 as TF32 (10 bits) on the tensor cores: faster, less exact")         \
    X(MACHINE, INT, threads, "0", "N", "a rank (0: cores of the host / ranks on it, at least 1)")  \
    X(MACHINE, FLAG, pin, "yes", "", "pin ranks apart where there are cores enough")               \
    X(MACHINE, TEXT, progress, "poll", "HOW",                                                      \
      "poll|thread: what keeps messages between hosts moving while a rank computes")               \
    X(MACHINE, FLAG, early_push, "yes", "",                                                        \
      "between hosts a gradient's end leaves while backward computes the rest (wire f32)")         \
    X(MACHINE, REAL, deadline, "60", "S",                                                          \
      "a rank without a sign of life for so long ends the run")                                    \
    X(MACHINE, TEXT, kernel_cache, "", "FILE",                                                     \
      "where timed choices of kernels are kept (default: ~/.cache/nbsgd/kernels)")                 \
    X(SLOWNESS, TEXT, slow, "", "R=F,..",                                                          \
      "speed factors: '3=4.0,4=2' makes rank 3 take 4 times, rank 4 twice as long")                \
    X(SLOWNESS, TEXT, delay, "", "WHAT",                                                           \
      "a mini-batch: constant:S gaussian:MEAN,DEV exponential:MEAN pareto:MIN,SHAPE uniform:A,B "  \
      "stall:PROBABILITY,S; '@R' behind: rank R alone; several with ';'")                          \
    X(SLOWNESS, TEXT, depart, "", "R=N,..",                                                        \
      "'3=40': rank 3 leaves after its 40th mini-batch, the others go on without it")              \
    X(NBSSGD, TEXT, nb_payload, "gradient", "WHAT", "gradient|weights: what a worker pushes")      \
    X(NBSSGD, TEXT, nb_inflight, "abort", "HOW",                                                   \
      "abort|finish|carry: the mini-batch in the works when the signal comes")                     \
    X(NBSSGD, TEXT, nb_batch, "keep", "HOW",                                                       \
      "keep|reset: an interrupted worker goes on with its own batch, or all start anew")           \
    X(NBSSGD, TEXT, nb_server, "locked", "HOW",                                                    \
      "locked|racing: one update of all pushes, or each push at once")                             \
    X(NBSSGD, TEXT, nb_signal, "direct", "HOW",                                                    \
      "direct|relay: the finisher signals every worker, or the server does")                       \
    X(NBSSGD, TEXT, nb_weigh, "finished", "BY",                                                    \
      "finished|full: divide by the mini-batches finished, or by workers x mini-batches")          \
    X(SCHEMES, TEXT, stale_lr, "plain", "HOW",                                                     \
      "plain|inverse: asgd: the rate as it is, or divided by the staleness")                       \
    X(SCHEMES, INT, stale_bound, "0", "N", "asgd, dcasgd: drop gradients staler than N (0: none)") \
    X(SCHEMES, INT, softsync, "0", "N",                                                            \
      "asgd: one update from every W/N gradients (0: from each)")                                  \
    X(SCHEMES, TEXT, dc, "constant", "HOW", "constant|adaptive: dcasgd: how strong")               \
    X(SCHEMES, REAL, dc_lambda, "0.04", "LAMBDA", "dcasgd: strength; 2 is usual for adaptive")     \
    X(SCHEMES, REAL, dc_decay, "0.95", "M",                                                        \
      "dcasgd, adaptive: of the mean square of the gradients")                                     \
    X(SCHEMES, INT, n_push, "1", "N", "downpour: batches between pushes")                          \
    X(SCHEMES, INT, n_fetch, "1", "N", "downpour: batches between fetches")                        \
    X(SCHEMES, REAL, warm_start, "0", "PART",                                                      \
      "downpour: part of the run in which the first worker trains alone")                          \
    X(SCHEMES, INT, ssp_staleness, "3", "S",                                                       \
      "ssp: how many batches the fastest worker may be ahead of the slowest")                      \
    X(SCHEMES, INT, backup_workers, "1", "B",                                                      \
      "backup: workers whose gradients are not waited for")                                        \
    X(SCHEMES, INT, rennala_batch, "0", "S",                                                       \
      "rennala: mini-batches an update (0: workers x mini-batches)")                               \
    X(SCHEMES, REAL, anytime_seconds, "1", "S", "anytime: seconds of computing an update")         \
    X(SCHEMES, INT, local_steps, "8", "H",                                                         \
      "localsgd, easgd, eamsgd: mini-batches between exchanges")                                   \
    X(SCHEMES, REAL, post_local, "0", "PART",                                                      \
      "localsgd: part of the run with an exchange after every mini-batch")                         \
    X(SCHEMES, REAL, easgd_beta, "0.9", "BETA", "easgd, eamsgd: workers x moving rate")            \
    X(SCHEMES, TEXT, eager_trigger, "solo", "HOW",                                                 \
      "solo|majority: eager: the first to finish triggers, or one drawn at random")                \
    X(SIM, TEXT, machine, "", "FILE",                                                              \
      "links, speeds and compute times of a cluster, as test.s writes them; instead of the three " \
      "--sim-*")                                                                                   \
    X(SIM, REAL, sim_latency, "20e-6", "S", "of every link")                                       \
    X(SIM, REAL, sim_bandwidth, "1.25e9", "B/S", "of every link, bytes a second")                  \
    X(SIM, REAL, sim_minibatch, "0.1", "S", "that one mini-batch takes a worker of speed 1")       \
    X(RESULTS, TEXT, results, "", "DIR",                                                           \
      "where rows, summary and figures of this run go (default: results/run-DATE-SCHEME)")         \
    X(RESULTS, INT, eval_every, "0", "N", "evaluate every N samples (0: sixteen times a run)")     \
    X(RESULTS, INT, eval_samples, "0", "N", "test images an evaluation (0: all)")                  \
    X(RESULTS, INT, eval_batches, "16", "N",                                                       \
      "training mini-batches from which an evaluation re-estimates the batch-norm statistics")     \
    X(RESULTS, TEXT, thresholds, "30,40,50,60,70,80,90,93", "LIST",                                \
      "top-1 in percent whose time to accuracy is reported")                                       \
    X(RESULTS, TEXT, record, "", "FILE",                                                           \
      "write the order in which pushes arrive, a file a server (asynchronous schemes)")            \
    X(RESULTS, TEXT, replay, "", "FILE",                                                           \
      "take pushes in the order that --record wrote, to the end of that run")                      \
    X(RESULTS, INT, chance_samples, "0", "N",                                                      \
      "say so when top-1 is still at chance after N samples (0: one epoch)")                       \
    X(RESULTS, TEXT, init, "", "FILE", "start from these weights (safetensors, PyTorch's names)")  \
    X(RESULTS, TEXT, save, "", "FILE",                                                             \
      "write the weights there at each evaluation and at the end")                                 \
    X(RESULTS, REAL, report_every, "10", "S",                                                      \
      "seconds between two lines of progress in a log file")                                       \
    X(RESULTS, FLAG, print_network, "no", "", "print the table of units and leave")                \
    X(RESULTS, FLAG, print_schemes, "no", "", "print the table of schemes, in Markdown, and leave")

struct options {
#define OPTION_FIELD_TEXT(name) const char *name;
#define OPTION_FIELD_INT(name) int64_t name;
#define OPTION_FIELD_REAL(name) double name;
#define OPTION_FIELD_FLAG(name) bool name;
#define OPTION_FIELD(group, type, name, preset, placeholder, help) OPTION_FIELD_##type(name)
    OPTIONS(OPTION_FIELD)
#undef OPTION_FIELD
    struct config_text *texts; /* from files; TEXTs borrow them */
};

/* Fills *o from the defaults, then --config FILE, then the command line (later wins). An unknown
 * name or a value that cannot be is fatal and names the nearest known one. --help prints the
 * groups, then `epilog`, and exits 0; --version calls `version` and exits 0. */
void config_parse(struct options *o, int argc, char **argv, const char *epilog,
                  void (*version)(FILE *));

/* Writes the resolved configuration, a line an option: `prefix`, name, `between`, value. With ""
 * and " = " --config reads it again. */
void config_write(const struct options *o, FILE *to, const char *prefix, const char *between);

/* The word of the list nearest to `word` (Levenshtein), NULL when none is near. */
const char *config_nearest(const char *word, const char *const *list, int count);

#endif
