/* One training step on generated images: forward, backward, SGD with momentum and weight decay;
 * images per second.
 *
 *   step [--network resnet50] [--stem cifar|imagenet] [--side PIXELS] [--batch N] [--threads N]
 *        [--dtype f32|bf16] [--backend NAME] [--cache FILE] [--warm STEPS] [--seconds S]
 *        [--gradient] [--without NAME[,NAME]] [--turns]
 *
 * With --turns see turns.h; else S seconds and one line. --gradient leaves out the update.
 * --without leaves out algorithms of a convolution (as_is, inner, product, direct, simd, winograd):
 * what is each of them worth? --check reads the words and exits. The peer is
 * bench/pytorch.py with the same words. No loader and no messages: those are measured on the whole
 * program. */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "bench/turns.h"
#include "network/network.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"
#include "resnet/resnet.h"

enum { CLASSES = 10, CHANNELS = 3, MOST = 100000, MOST_PIXELS = 1 << 28, PAGE = 4096 };

struct setting {
    const char *network, *stem, *dtype, *backend, *cache, *without;
    int side, batch, threads, warm;
    const char *seconds_text;
    bool gradient, check, turns;
};

struct step {
    struct setting setting;
    struct model model;
    const struct backend *backend;
    struct device *device;
    struct network *network;
    struct optimizer *optimizer;
    int64_t count; /* floats in w */
    float *w, *g, *images;
    void *block[3]; /* that they lie in */
    int32_t *labels;
    uint64_t weights_version;
    double loss;
};

static void read_arguments(struct setting *s, int argc, char **argv)
{
    const struct {
        const char *name, **text;
        int *number;
        bool *flag;
    } known[] = {
        {"network", &s->network, NULL, NULL},   {"stem", &s->stem, NULL, NULL},
        {"dtype", &s->dtype, NULL, NULL},       {"backend", &s->backend, NULL, NULL},
        {"cache", &s->cache, NULL, NULL},       {"seconds", &s->seconds_text, NULL, NULL},
        {"side", NULL, &s->side, NULL},         {"batch", NULL, &s->batch, NULL},
        {"threads", NULL, &s->threads, NULL},   {"warm", NULL, &s->warm, NULL},
        {"gradient", NULL, NULL, &s->gradient}, {"check", NULL, NULL, &s->check},
        {"turns", NULL, NULL, &s->turns},       {"without", &s->without, NULL, NULL},
    };
    enum { WORDS = sizeof known / sizeof *known };
    struct option words[WORDS + 1] = {{0}};
    for (int i = 0; i < WORDS; i++)
        words[i] = (struct option){known[i].name, known[i].flag ? no_argument : required_argument,
                                   NULL, i};
    for (int i; (i = getopt_long(argc, argv, "", words, NULL)) != -1;) {
        if (i < 0 || i >= WORDS)
            exit(EXIT_USER);
        if (known[i].text)
            *known[i].text = optarg;
        if (known[i].number)
            *known[i].number = atoi(optarg);
        if (known[i].flag)
            *known[i].flag = true;
    }
    if (optind < argc)
        fatal("step takes no '%s': a word begins with --", argv[optind]);
    if (s->batch < 1 || s->batch > MOST || s->threads < 1 || s->threads > 1024 || s->warm < 0)
        fatal("--batch, --threads or --warm is out of range");
    if (s->side < 8 || s->side > MOST || (int64_t)s->side * s->side * s->batch > MOST_PIXELS)
        fatal("--side %d, a batch of %d: take 8 pixels or more, and no more than %d in all",
              s->side, s->batch, MOST_PIXELS);
    if (strcmp(s->dtype, "f32") && strcmp(s->dtype, "bf16"))
        fatal("--dtype '%s': f32 or bf16", s->dtype);
}

/* Whole pages, which a GPU's backend copies from and to fastest. */
static float *take(struct step *s, int which, size_t floats)
{
    size_t bytes = (floats * sizeof(float) + PAGE - 1) / PAGE * PAGE;
    s->block[which] = xcalloc(bytes + PAGE, 1);
    char *pages = (char *)(((uintptr_t)s->block[which] + PAGE - 1) / PAGE * PAGE);
    if (s->backend->device)
        s->backend->device->register_memory(s->device, pages, bytes);
    return (float *)pages;
}

static void give(struct step *s, int which, float *pages)
{
    if (s->backend->device)
        s->backend->device->unregister_memory(s->device, pages);
    xfree(s->block[which]);
}

static void open_step(struct step *s)
{
    const struct setting *o = &s->setting;
    enum backend_dtype dtype = strcmp(o->dtype, "bf16") ? DTYPE_F32 : DTYPE_BF16;
    size_t floats = (size_t)o->batch * CHANNELS * (size_t)o->side * (size_t)o->side;
    model_find(o->network)
        ->build(&s->model,
                &(struct model_request){.name = o->network,
                                        .batch = o->batch,
                                        .classes = CLASSES,
                                        .channels = CHANNELS,
                                        .height = o->side,
                                        .width = o->side,
                                        .own = &(struct resnet_options){.stem = o->stem}});
    s->backend = backend_find(o->backend, dtype);
    if (o->without && !s->backend->without)
        fatal("--without: backend %s has no algorithms to leave out", s->backend->name);
    s->device = s->backend->open(&(struct device_options){.threads = o->threads,
                                                          .dtype = dtype,
                                                          .cache = o->cache,
                                                          .without = o->without,
                                                          .quiet = true});
    s->network = network_open(&s->model, s->backend, s->device, 0, true,
                              (struct network_listener){NULL, NULL});
    s->count = model_parameters(&s->model);
    s->w = take(s, 0, (size_t)s->count);
    s->g = take(s, 1, (size_t)s->count);
    s->images = take(s, 2, floats);
    s->labels = xcalloc((size_t)o->batch, sizeof *s->labels);
    model_initialise(&s->model, 1, s->w);
    struct random r = random_at(RANDOM_IMAGE, 1, 0, 0, 0);
    for (size_t i = 0; i < floats; i++)
        s->images[i] = (float)random_normal(&r);
    for (int i = 0; i < o->batch; i++)
        s->labels[i] = (int32_t)random_below(&r, CLASSES);
    s->optimizer = optimizer_open(
        &(struct optimizer_options){
            .rule = "sgd", .momentum = 0.9, .decay = 1e-4, .threads = o->threads},
        (struct range){0, s->count}, NULL, 0);
    if (!o->gradient)
        /* the update is the GPU's, too */
        optimizer_offload(s->optimizer, s->backend->device ? s->backend->device->optimizer : NULL,
                          s->w, 1, 0);
    optimizer_register_memory(s->optimizer, s->g, (size_t)s->count * sizeof *s->g);
}

static void close_step(struct step *s)
{
    optimizer_close(s->optimizer);
    network_close(s->network);
    give(s, 0, s->w);
    give(s, 1, s->g);
    give(s, 2, s->images);
    s->backend->close(s->device);
    xfree(s->labels);
    xfree(s);
}

/* Images per second of one step. Without an update the weights stay, and so does their
 * weights_version. */
static double measure(void *self)
{
    struct step *s = self;
    struct loss loss = {0};
    double begin = turns_now();
    s->weights_version += !s->weights_version || !s->setting.gradient;
    network_gradient(s->network, (struct weights){s->w, s->weights_version},
                     (struct images){.floats = s->images}, s->labels, s->g, &loss, NULL, NULL);
    if (!s->setting.gradient)
        optimizer_step(s->optimizer, s->w, s->g, 0.01);
    double took = turns_now() - begin;
    s->loss = loss.sum / s->setting.batch;
    CHECK(isfinite(s->loss), "the loss is no number after %llu steps",
          (unsigned long long)s->weights_version);
    return s->setting.batch / took;
}

/* Pairs of an output and a tap, along one axis, in which the tap sees the image. */
static double active(int in, int out, const struct unit_shape *u)
{
    int count = 0;
    for (int o = 0; o < out; o++)
        for (int tap = 0; tap < u->kernel; tap++) {
            int at = o * u->stride + tap - u->pad;
            count += at >= 0 && at < in;
        }
    return count;
}

/* FLOPs per image that a step by plain sums cannot do without: no taps in the padding, no gradient
 * of the images. */
static double needed_flops(const struct model *a)
{
    double sum = 0;
    for (int i = 0; i < a->units; i++) {
        const struct unit_shape *u = &a->unit[i].shape;
        double forward = u->kind == UNIT_CONV
                             ? 2.0 * u->in_c * u->out_c * active(u->in_h, u->out_h, u) *
                                   active(u->in_w, u->out_w, u)
                             : unit_flops(u) / u->batch;
        sum += forward * (u->first ? 2 : 3);
    }
    return sum;
}

/* Bytes per image that activations must move when none stays in a cache; network_traffic() counts
 * those that the backend moves. A convolution reads its input and writes its output; backward it
 * reads both again, reads the output's gradient and writes the input's (the first has none). A
 * shortcut is read once forward, and once more where gradients meet. Norm, ReLU, sums and additions
 * are done on the way; what else there is, is small. */
static double moved_bytes(const struct model *a, int bytes)
{
    double sum = 0;
    for (int i = 0; i < a->units; i++) {
        const struct unit_shape *u = &a->unit[i].shape;
        double in = (double)u->in_c * u->in_h * u->in_w,
               out = (double)u->out_c * u->out_h * u->out_w;
        if (u->kind == UNIT_CONV)
            sum += bytes * ((u->first ? 2 : 3) * in + 3 * out + (u->skip ? 2 : 0) * out);
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct step *s = xcalloc(1, sizeof *s);
    struct rusage use;
    s->setting = (struct setting){.network = "resnet50",
                                  .stem = "cifar",
                                  .dtype = "f32",
                                  .backend = "auto",
                                  .side = 32,
                                  .batch = 32,
                                  .threads = 1,
                                  .warm = 2,
                                  .seconds_text = "5"};
    read_arguments(&s->setting, argc, argv);
    if (s->setting.check)
        return 0;
    open_step(s);
    for (int i = 0; i < s->setting.warm; i++)
        measure(s);
    double flops = 3 * model_flops(&s->model), needed = needed_flops(&s->model),
           moved = moved_bytes(&s->model, strcmp(s->setting.dtype, "bf16") ? 4 : 2);
    getrusage(RUSAGE_SELF, &use);
    printf("ready backend=%s parameters=%lld flops=%.6g needed=%.6g moved=%.6g traffic=%.6g "
           "rss_mb=%ld loss=%.5f\n",
           s->backend->name, (long long)s->count, flops, needed, moved,
           network_traffic(s->network) / s->setting.batch, use.ru_maxrss / 1024, s->loss);
    fflush(stdout);
    if (s->setting.turns) {
        turns_serve(measure, s);
    } else {
        printf("%s, %s stem, %d x %d, batch %d, %d thread%s, %s: images/s of each step\n",
               s->setting.network, s->setting.stem, s->setting.side, s->setting.side,
               s->setting.batch, s->setting.threads, s->setting.threads > 1 ? "s" : "",
               s->setting.dtype);
        turns_answer(atof(s->setting.seconds_text), measure, s);
    }
    close_step(s);
    return 0;
}
