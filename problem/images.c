/* Classification of images: a model on a backend, a data set, and a loader for each worker.
 *
 * Evaluation uses whole mini-batches of the same size as training; mini-batch b belongs to shard b
 * mod shards. Loss and accuracy are those of the test images as they are. The statistics are those
 * of training images as training sees them: shuffled and augmented, by keys of their own that
 * depend on the seed alone. Those of plain images mislead: ResNet-20 after two passes of CIFAR-10
 * lost three points of accuracy by them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/text.h"
#include "data_loader/data_loader.h"
#include "problem/image_data.h"
#include "problem/kinds.h"
#include "serialization/serialization.h"

struct image {
    struct model model;
    const struct options *options;
    const struct backend *backend;
    struct device *device;
    struct network *network;
    struct image_data data;
    struct resident_dataset *training_resident, *judged_resident,
        *test_resident;         /* the same on the device, NULL: it doesn't lie there */
    struct loader *norm_loader; /* of the statistics' mini-batches; NULL: none is needed */
    float *given_statistics;    /* those of --init's file, which evaluations take; NULL: measured */
    float *scratch; /* one mini-batch, for loaders without a thread and for evaluation */
    size_t scratch_bytes;
    struct crop *crops; /* one mini-batch of an evaluation, where a data set is resident */
    int32_t *labels;
    int prefetch;
    int workers;    /* among which the samples are partitioned, 0: not known before the streams */
    double *speeds; /* [workers], NULL: all equal */
};

struct stream {
    uint64_t worker;
    struct loader *loader;
};

static void initialise(struct problem *p, float *w)
{
    struct image *q = p->self;
    if (*q->options->init)
        model_load(q->options->init, &q->model, w, NULL, NULL);
    else
        model_initialise(&q->model, (uint64_t)q->options->seed, w);
}

static const void *partition_own(const struct options *o)
{
    const struct option_set *set = partition_option_set(o->partition);
    return set ? options_of(o, set) : NULL;
}

/* The options by which samples are dealt to workers. */
static struct loader_options loader_options_of(const struct image *q, int worker, int workers)
{
    return (struct loader_options){.seed = (uint64_t)q->options->seed,
                                   .worker = worker,
                                   .workers = workers,
                                   .partition = q->options->partition,
                                   .partition_own = partition_own(q->options),
                                   .speeds = q->speeds};
}

static void shard(const struct problem *p, int worker, int64_t *by_class)
{
    const struct image *q = p->self;
    const struct loader_options o = loader_options_of(q, worker, q->workers);
    dataset_shard(q->data.training, &o, by_class);
}

static struct stream *stream_open(struct problem *p, int worker, int workers)
{
    struct image *q = p->self;
    assert(!q->workers || workers == q->workers);
    struct stream *s = xcalloc(1, sizeof *s);
    struct loader_options o = loader_options_of(q, worker, workers);
    o.batch = p->minibatch;
    o.augment = q->options->augment;
    o.crops = q->training_resident;
    o.prefetch = o.crops ? 0 : q->prefetch; /* drawing them takes no time */
    if (!q->prefetch &&
        !q->backend->device) /* a device still copies from it when an evaluation comes in between */
        o.scratch = q->scratch;
    o.register_memory = problem_register_memory;
    o.unregister_memory = problem_unregister_memory;
    o.memory_owner = p;
    s->worker = (uint64_t)worker;
    s->loader = loader_open(q->data.training, &o);
    return s;
}

static void stream_close(struct problem *p, struct stream *s)
{
    (void)p;
    loader_close(s->loader);
    xfree(s);
}

static double stream_wait_s(const struct stream *s)
{
    return loader_wait_s(s->loader);
}

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    struct image *q = p->self;
    struct batch b = loader_batch(s->loader, index);
    struct random key =
        random_at(RANDOM_DROPOUT, (uint64_t)q->options->seed, s->worker, (uint64_t)index, 0);
    const struct images images = {
        .floats = b.images, .resident = q->training_resident, .crops = b.crops, .key = key.key};
    return network_gradient(q->network, w, images, b.labels, g, loss, hook, self);
}

static double step_share(const struct problem *p, int step)
{
    const struct image *q = p->self;
    return model_unit_share(&q->model, step);
}

static int64_t final_from(const struct problem *p, int step)
{
    const struct image *q = p->self;
    return network_final_from(q->network, step);
}

/* Samples first .. first + count - 1 of images that are judged, as they are: one mini-batch, the
 * rest of which is any image. */
static struct images plain(const struct problem *p, const struct dataset *d,
                           const struct resident_dataset *resident, int64_t first, int count)
{
    struct image *q = p->self;
    if (!resident) {
        dataset_read(d, first, count, q->scratch, q->labels);
        return (struct images){.floats = q->scratch};
    }
    for (int i = 0; i < p->minibatch; i++) {
        q->crops[i] = (struct crop){.sample = (int32_t)(i < count ? first + i : 0)};
        q->labels[i] = i < count ? d->labels[first + i] : 0;
    }
    return (struct images){.resident = resident, .crops = q->crops};
}

/* Any number of workers, any scheme and any partition has the same mini-batches. */
static void open_norm_loader(struct problem *p, struct image *q)
{
    const struct options *o = q->options;
    int64_t there = p->training_samples / p->minibatch,
            wanted = o->eval_batches ? o->eval_batches
                                     : (o->norm_samples + p->minibatch - 1) / p->minibatch;
    p->statistics_batches = !p->statistics ? 0 : wanted < there ? wanted : there;
    if (p->statistics_batches)
        q->norm_loader = loader_open(
            q->data.training,
            &(struct loader_options){.batch = p->minibatch,
                                     .seed = random_at(RANDOM_NORM, (uint64_t)o->seed, 0, 0, 0).key,
                                     .workers = 1,
                                     .augment = o->augment,
                                     .crops = q->training_resident,
                                     .scratch = q->scratch});
}

static void statistics(struct problem *p, struct weights w, int shard_index, int shards,
                       double *sums, void (*progress)(void *), void *self)
{
    struct image *q = p->self;
    for (int64_t b = shard_index; b < p->statistics_batches; b += shards) {
        struct batch batch = loader_batch(q->norm_loader, b);
        const struct images images = {
            .floats = batch.images, .resident = q->training_resident, .crops = batch.crops};
        network_statistics(q->network, w, images, sums);
        progress(self);
    }
}

static void finish_statistics(const struct problem *p, const double *sums, float *statistics)
{
    const struct image *q = p->self;
    if (q->given_statistics)
        memcpy(statistics, q->given_statistics, (size_t)p->statistics * sizeof *statistics);
    else
        network_finish_statistics(q->network, sums, p->statistics_batches, statistics);
}

/* What kind->evaluate() is called with. */
struct shard_call {
    struct weights w;
    const float *at;
    int shard, shards;
    void (*progress)(void *);
    void *self;
};

static void evaluate_images(struct problem *p, const struct dataset *d,
                            const struct resident_dataset *resident, int64_t all,
                            const struct shard_call *call, struct loss *loss)
{
    struct image *q = p->self;
    for (int64_t first = (int64_t)call->shard * p->minibatch; first < all;
         first += (int64_t)call->shards * p->minibatch) {
        int count = (int)(all - first < p->minibatch ? all - first : p->minibatch);
        const struct images images = plain(p, d, resident, first, count);
        network_evaluate(q->network, call->w, call->at, images, q->labels, count, loss);
        call->progress(call->self);
    }
}

static void evaluate(struct problem *p, struct weights w, const float *at, int shard_index,
                     int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    struct image *q = p->self;
    const struct shard_call call = {w, at, shard_index, shards, progress, self};
    network_count_predictions(q->network, p->confusion);
    evaluate_images(p, q->data.judged, q->judged_resident, p->test_samples, &call, loss);
}

static int64_t last_samples(const struct problem *p)
{
    const struct image *q = p->self;
    return q->data.test ? image_data_judged(q->data.test, q->options) : 0;
}

static void evaluate_last(struct problem *p, struct weights w, const float *at, int shard_index,
                          int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    struct image *q = p->self;
    const struct shard_call call = {w, at, shard_index, shards, progress, self};
    network_count_predictions(q->network, NULL);
    evaluate_images(p, q->data.test, q->test_resident, last_samples(p), &call, loss);
}

static bool save(struct problem *p, const struct weights_target *to, const float *w,
                 const float *at)
{
    struct image *q = p->self;
    return model_save(to, &q->model, w, at);
}

static void register_memory(struct problem *p, void *block, size_t bytes)
{
    const struct image *q = p->self;
    if (q->backend->device)
        q->backend->device->register_memory(q->device, block, bytes);
}

static void unregister_memory(struct problem *p, void *block)
{
    const struct image *q = p->self;
    if (q->backend->device)
        q->backend->device->unregister_memory(q->device, block);
}

static void image_close(struct problem *p)
{
    struct image *q = p->self;
    network_close(q->network);
    if (q->norm_loader)
        loader_close(q->norm_loader);
    if (q->backend->device) {
        problem_unregister_memory(p, q->scratch);
        q->backend->device->resident_close(q->training_resident);
        q->backend->device->resident_close(q->judged_resident);
        q->backend->device->resident_close(q->test_resident);
    }
    q->backend->close(q->device);
    image_data_close(&q->data);
    xfree(q->given_statistics);
    xfree(q->scratch);
    xfree(q->crops);
    xfree(q->labels);
    xfree(q->speeds);
    xfree(q);
}

static const struct problem_kind image_kind = {
    .initialise = initialise,
    .stream_open = stream_open,
    .stream_close = stream_close,
    .stream_wait_s = stream_wait_s,
    .shard = shard,
    .gradient = gradient,
    .step_share = step_share,
    .final_from = final_from,
    .statistics = statistics,
    .evaluate = evaluate,
    .last_samples = last_samples,
    .evaluate_last = evaluate_last,
    .save = save,
    .register_memory = register_memory,
    .unregister_memory = unregister_memory,
    .close = image_close,
    .finish_statistics = finish_statistics,
};

/* Done here, not when the first stream is opened: an impossible partition is reported before
 * anything begins. */
static void partition_samples(const struct problem *p, struct image *q,
                              const struct problem_options *o)
{
    q->workers = o->workers;
    if (o->speeds) {
        q->speeds = xcalloc((size_t)o->workers, sizeof *q->speeds);
        memcpy(q->speeds, o->speeds, (size_t)o->workers * sizeof *q->speeds);
    }
    int64_t *by_class = xcalloc((size_t)p->classes, sizeof *by_class);
    if (o->workers)
        shard(p, 0, by_class);
    xfree(by_class);
}

/* Where timed choices of kernels are stored: --kernel-cache, else the user's cache folder (made if
 * need be); false: nowhere. */
static bool find_cache(const struct options *o, char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (*o->kernel_cache)
        return snprintf(path, size, "%s", o->kernel_cache) < (int)size;
    if (cache && *cache)
        snprintf(path, size, "%.3000s", cache);
    else if (home && *home)
        snprintf(path, size, "%.3000s/.cache", home);
    else
        return false;
    mkdir(path, 0777);
    strcat(path, "/nbsgd");
    mkdir(path, 0777);
    strcat(path, "/kernels");
    return true;
}

static void list_tensors(struct problem *p, const struct image *q)
{
    int count;
    struct tensor *tensors = model_tensors(&q->model, &count);
    p->no_decay = xcalloc((size_t)count, sizeof *p->no_decay);
    p->layers = xcalloc((size_t)count, sizeof *p->layers);
    p->layer_count = count;
    for (int i = 0; i < count; i++) {
        p->layers[i] = (struct range){tensors[i].offset, tensors[i].offset + tensors[i].count};
        if (!tensors[i].decays && !q->options->decay_norms)
            p->no_decay[p->no_decay_count++] = p->layers[i];
    }
    xfree(tensors);
}

static void check_init(struct problem *p, struct image *q, bool says)
{
    const char *path = q->options->init;
    if (!*path)
        return;
    float *w = xcalloc((size_t)p->count, sizeof *w);
    bool has = true;
    if (p->statistics && !q->options->norm_samples && !q->options->eval_batches)
        q->given_statistics = xcalloc((size_t)p->statistics, sizeof *w);
    const char *prefix = model_load(path, &q->model, w, q->given_statistics, &has);
    if (q->given_statistics && !has)
        fatal("--norm-samples 0: %s has no statistics of norms (running_mean, running_var); take 1 "
              "or more, and they are measured",
              path);
    if (*prefix && says)
        fprintf(stderr, "nbsgd: --init %s: its names begin with '%s', which is taken off\n", path,
                prefix);
    p->init_digest = digest_of(w, (size_t)p->count * sizeof *w);
    xfree(w);
}

/* Normalised, a channel's only value is 0 whatever it was: nothing before that unit learns. Two are
 * -1 and 1, with next to no gradient. */
static void check_norms(const struct model *m, bool says)
{
    const struct unit_spec *least = NULL;
    int64_t values = INT64_MAX;
    for (int i = 0; i < m->units; i++) {
        const struct unit_shape *s = &m->unit[i].shape;
        int64_t of_unit = (int64_t)s->batch * s->out_h * s->out_w;
        if (s->norm && of_unit < values) {
            values = of_unit;
            least = &m->unit[i];
        }
    }
    if (values == 1)
        fatal("%s: in a mini-batch of one image the norm %s sees one value a channel, and makes 0 "
              "of it: nothing would learn; take mini-batches of more images (--batch over "
              "--minibatches)",
              m->name, least->norm);
    if (values == 2 && says)
        fprintf(stderr,
                "nbsgd: %s: in a mini-batch the norm %s sees two values a channel, and makes -1 "
                "and 1 of them: what is before it hardly learns; take mini-batches of more images "
                "(--batch over --minibatches)\n",
                m->name, least->norm);
}

static struct resident_dataset *open_resident(const struct image *q, const struct dataset *d)
{
    float levels[MAX_CHANNELS][256];
    dataset_levels(d, levels);
    return q->backend->device->resident_open(q->device, &(struct pixels){.bytes = d->pixels,
                                                                         .count = d->count,
                                                                         .channels = d->channels,
                                                                         .height = d->height,
                                                                         .width = d->width,
                                                                         .levels = levels[0]});
}

/* A rank that does not train needs the training set for the statistics alone. */
static void open_residents(const struct problem *p, struct image *q, bool trains)
{
    const struct image_data *d = &q->data;
    if (d->judged->pixels)
        q->judged_resident = open_resident(q, d->judged);
    if (d->test && d->test->pixels)
        q->test_resident = open_resident(q, d->test);
    if (d->training->pixels && (trains || p->statistics))
        q->training_resident = open_resident(q, d->training);
}

static void tell(const struct problem_options *po, const char *what)
{
    if (po->listener.call)
        po->listener.call(po->listener.self, what);
}

void image_open(struct problem *p, const struct problem_options *po)
{
    const struct options *o = po->options;
    struct image *q = xcalloc(1, sizeof *q);
    p->kind = &image_kind;
    p->self = q;
    q->options = o;
    q->prefetch = po->prefetch;
    tell(po, "reading the data");
    image_data_open(&q->data, p, o, po->threads, po->serves);
    tell(po, "opening the network");
    partition_samples(p, q, po);
    const struct dataset *d = q->data.training;
    model_build(&q->model,
                &(struct model_request){.name = o->network,
                                        .batch = p->minibatch,
                                        .classes = d->classes,
                                        .channels = d->channels,
                                        .height = d->height,
                                        .width = d->width},
                o);
    bool says = po->serves && po->local_rank == 0;
    check_norms(&q->model, says);
    enum backend_dtype dtype = strcmp(o->dtype, "bf16") ? DTYPE_F32 : DTYPE_BF16;
    q->backend = network_backend(&q->model, backend_find(o->backend, dtype), dtype, says);
    const struct cudnn_options *cudnn = options_of(o, &cudnn_option_set);
    if (cudnn->tf32 && !q->backend->tf32)
        fatal("--tf32: backend %s has no TF32; leave it out, or take --backend cudnn",
              q->backend->name);
    char cache[4096];
    bool cached = find_cache(o, cache, sizeof cache);
    q->device = q->backend->open(&(struct device_options){.threads = po->threads,
                                                          .dtype = dtype,
                                                          .cache = cached ? cache : NULL,
                                                          .number = po->local_rank,
                                                          .tf32 = cudnn->tf32});
    p->is_device = q->backend->device;
    p->device_buffer = q->backend->device ? q->backend->device->buffer : NULL;
    q->network = network_open(&q->model, q->backend, q->device, (float)o->label_smoothing,
                              po->trains, po->listener);
    q->scratch_bytes =
        (size_t)p->minibatch * (size_t)(d->channels * d->height * d->width) * sizeof *q->scratch;
    q->scratch = alloc_pages(q->scratch_bytes);
    q->crops = xcalloc((size_t)p->minibatch, sizeof *q->crops);
    q->labels = xcalloc((size_t)p->minibatch, sizeof *q->labels);
    p->count = model_parameters(&q->model);
    p->statistics = model_statistics(&q->model);
    p->steps = 2 * q->model.units;
    list_tensors(p, q);
    problem_register_memory(p, q->scratch, q->scratch_bytes);
    if (q->backend->device && cudnn->data_on_device)
        open_residents(p, q, po->trains);
    open_norm_loader(p, q);
    if (po->serves)
        check_init(p, q, says);
    snprintf(p->computes, sizeof p->computes, "%s %s%s, %d thread%s per rank%s", q->backend->name,
             o->dtype, cudnn->tf32 ? " with TF32" : "", po->threads, po->threads > 1 ? "s" : "",
             q->training_resident ? ", images on the device" : "");
}
