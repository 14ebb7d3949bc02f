/* One training step on generated pictures: forward, backward, SGD with momentum and weight decay; images a second.
 *
 *   step [--network resnet50] [--stem cifar|imagenet] [--batch N] [--threads N] [--dtype f32|bf16] [--backend NAME] [--cache FILE]
 *        [--warm STEPS] [--seconds S] [--turns]     (turns.h; without --turns: S seconds and one line of text)
 *
 * The peer is bench/pytorch.py with the same words. No loader and no messages: those are measured on the whole program. */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "bench/turns.h"
#include "network.h"
#include "optimizer.h"
#include "resnet.h"

enum { CLASSES = 10, CHANNELS = 3, SIDE = 32, MOST = 100000 };

struct setting {
    const char *network, *stem, *dtype, *backend, *cache;
    int batch, threads, warm;
    double seconds;
    bool turns;
};

struct step {
    struct setting setting;
    struct architecture architecture;
    const struct backend *backend;
    struct device *device;
    struct network *network;
    struct optimizer *optimizer;
    int64_t count; /* floats in w */
    float *w, *g, *pictures;
    int32_t *labels;
    uint64_t stamp;
    double loss;
};

static struct setting read_arguments(int argc, char **argv)
{
    static const struct option words[] = {{"network", 1, NULL, 'n'},
                                          {"stem", 1, NULL, 's'},
                                          {"batch", 1, NULL, 'b'},
                                          {"threads", 1, NULL, 't'},
                                          {"dtype", 1, NULL, 'd'},
                                          {"backend", 1, NULL, 'B'},
                                          {"cache", 1, NULL, 'c'},
                                          {"warm", 1, NULL, 'w'},
                                          {"seconds", 1, NULL, 'S'},
                                          {"turns", 0, NULL, 'T'},
                                          {0}};
    struct setting s = {"resnet50", "cifar", "f32", "auto", NULL, 32, 1, 2, 5, false};
    int word;
    while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
        switch (word) {
        case 'n':
            s.network = optarg;
            break;
        case 's':
            s.stem = optarg;
            break;
        case 'd':
            s.dtype = optarg;
            break;
        case 'B':
            s.backend = optarg;
            break;
        case 'c':
            s.cache = optarg;
            break;
        case 'b':
            s.batch = atoi(optarg);
            break;
        case 't':
            s.threads = atoi(optarg);
            break;
        case 'w':
            s.warm = atoi(optarg);
            break;
        case 'S':
            s.seconds = atof(optarg);
            break;
        case 'T':
            s.turns = true;
            break;
        default:
            exit(EXIT_USER);
        }
    }
    if (s.batch < 1 || s.batch > MOST || s.threads < 1 || s.threads > 1024 || s.warm < 0)
        fatal("--batch, --threads or --warm is out of range");
    if (strcmp(s.dtype, "f32") && strcmp(s.dtype, "bf16"))
        fatal("--dtype '%s': f32 or bf16", s.dtype);
    return s;
}

static void open_step(struct step *s)
{
    const struct setting *o = &s->setting;
    enum backend_dtype dtype = strcmp(o->dtype, "bf16") ? DTYPE_F32 : DTYPE_BF16;
    size_t floats = (size_t)o->batch * CHANNELS * SIDE * SIDE;
    resnet_describe(&s->architecture, &(struct resnet_options){o->network, o->stem, o->batch, CLASSES, CHANNELS, SIDE, SIDE});
    s->backend = backend_find(o->backend, dtype);
    s->device = s->backend->open(&(struct device_options){.threads = o->threads, .dtype = dtype, .cache = o->cache, .quiet = true});
    s->network = network_open(&s->architecture, s->backend, s->device, 0, true);
    s->count = architecture_parameters(&s->architecture);
    s->w = obtain((size_t)s->count, sizeof *s->w);
    s->g = obtain((size_t)s->count, sizeof *s->g);
    s->pictures = obtain(floats, sizeof *s->pictures);
    s->labels = obtain((size_t)o->batch, sizeof *s->labels);
    architecture_initialise(&s->architecture, 1, false, s->w);
    struct random r = random_at(RANDOM_PICTURE, 1, 0, 0, 0);
    for (size_t i = 0; i < floats; i++)
        s->pictures[i] = (float)random_normal(&r);
    for (int i = 0; i < o->batch; i++)
        s->labels[i] = (int32_t)random_below(&r, CLASSES);
    s->optimizer = optimizer_open(&(struct optimizer_options){.rule = "sgd", .momentum = 0.9, .decay = 1e-4, .threads = o->threads},
                                  (struct range){0, s->count}, NULL, 0);
}

static void close_step(struct step *s)
{
    optimizer_close(s->optimizer);
    network_close(s->network);
    s->backend->close(s->device);
    release(s->w);
    release(s->g);
    release(s->pictures);
    release(s->labels);
    release(s);
}

/* Images a second of one step. */
static double measure(void *self)
{
    struct step *s = self;
    struct loss loss = {0};
    double begin = turns_now();
    network_gradient(s->network, (struct weights){s->w, ++s->stamp}, s->pictures, s->labels, s->g, &loss, NULL, NULL);
    optimizer_step(s->optimizer, s->w, s->g, 0.01);
    double took = turns_now() - begin;
    s->loss = loss.sum / s->setting.batch;
    CHECK(isfinite(s->loss), "the loss is no number after %llu steps", (unsigned long long)s->stamp);
    return s->setting.batch / took;
}

/* Pairs of an output and a tap, along one axis, in which the tap sees the picture. */
static double living(int in, int out, const struct unit_shape *u)
{
    int count = 0;
    for (int o = 0; o < out; o++)
        for (int tap = 0; tap < u->kernel; tap++) {
            int at = o * u->stride + tap - u->pad;
            count += at >= 0 && at < in;
        }
    return count;
}

/* FLOPs a picture that a step cannot do without: no taps in the padding, no gradient of the pictures. */
static double needed_flops(const struct architecture *a)
{
    double sum = 0;
    for (int i = 0; i < a->units; i++) {
        const struct unit_shape *u = &a->unit[i].shape;
        double forward = u->kind == UNIT_CONV ? 2.0 * u->in_c * u->out_c * living(u->in_h, u->out_h, u) * living(u->in_w, u->out_w, u)
                                              : unit_flops(u) / u->batch;
        sum += forward * (u->first ? 2 : 3);
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct step *s = obtain(1, sizeof *s);
    struct rusage use;
    s->setting = read_arguments(argc, argv);
    open_step(s);
    for (int i = 0; i < s->setting.warm; i++)
        measure(s);
    double flops = 3 * architecture_flops(&s->architecture), needed = needed_flops(&s->architecture);
    getrusage(RUSAGE_SELF, &use);
    printf("ready backend=%s parameters=%lld flops=%.6g needed=%.6g rss_mb=%ld loss=%.5f\n", s->backend->name, (long long)s->count, flops,
           needed, use.ru_maxrss / 1024, s->loss);
    fflush(stdout);
    if (s->setting.turns) {
        turns_serve(measure, s);
    } else {
        printf("%s, %s stem, batch %d, %d thread%s, %s: images/s of each step\n", s->setting.network, s->setting.stem, s->setting.batch,
               s->setting.threads, s->setting.threads > 1 ? "s" : "", s->setting.dtype);
        turns_answer(s->setting.seconds, measure, s);
    }
    close_step(s);
    return 0;
}
