#include "problem/image_data.h"

#include <string.h>

#include "base/check.h"
#include "base/digest.h"
#include "base/text.h"

static bool judges_held_out(const struct options *o)
{
    return !strcmp(o->evaluate, "val");
}

/* Of training images, until a test set is asked for. */
static struct dataset_options training_of(const struct options *o, int threads)
{
    struct dataset_options d = {
        .train = true, .limit = o->train_samples, .seed = (uint64_t)o->seed, .threads = threads};
    dataset_find(o->dataset, o->data, &d.name, &d.folder);
    const struct option_set *own = dataset_option_set(d.name, d.folder);
    d.own = own ? options_of(o, own) : NULL;
    return d;
}

/* NULL: the data set has none. */
static struct dataset *open_test(struct dataset_options d, const struct options *o)
{
    d.train = false;
    d.limit = o->eval_samples;
    return dataset_has_test(d.name, d.folder) ? dataset_open(&d) : NULL;
}

static void open_judged(struct image_data *d, const struct options *o,
                        const struct dataset_options *training, bool serves)
{
    struct dataset_options test = *training;
    test.train = false;
    test.limit = o->eval_samples;
    d->judged = judges_held_out(o) ? d->held_out : dataset_open(&test);
    d->test = d->judged == d->held_out && serves ? open_test(*training, o) : NULL;
}

int64_t image_data_judged(const struct dataset *d, const struct options *o)
{
    return o->eval_samples && o->eval_samples < d->count ? o->eval_samples : d->count;
}

/* The problem's own words. */
static void describe(struct problem *p, const struct image_data *d)
{
    char number[TEXT_NUMBER];
    int used = snprintf(p->source, sizeof p->source, "%s", d->training->source);
    if (d->held_out)
        snprintf(p->source + used, sizeof p->source - (size_t)used, ", %lld held out",
                 (long long)d->held_out->count);
    snprintf(p->judged, sizeof p->judged, "%s %s images", text_number(number, p->test_samples),
             d->judged == d->held_out ? "held-out" : "test");
    p->class_names = d->training->class_names;
    p->generated = d->training->generated;
    p->classes = d->training->classes;
}

void image_data_open(struct image_data *d, struct problem *p, const struct options *o, int threads,
                     bool serves)
{
    const struct dataset_options training = training_of(o, threads);
    d->training = dataset_open(&training);
    uint64_t digests[] = {dataset_digest(d->training), 0};
    d->held_out =
        o->val_split > 0 ? dataset_hold_out(d->training, o->val_split, o->val_fold) : NULL;
    open_judged(d, o, &training, serves);
    if (d->judged != d->held_out)
        digests[1] = dataset_digest(d->judged);
    p->data_digest = digest_of(digests, sizeof digests);
    p->training_samples = d->training->count;
    p->test_samples = image_data_judged(d->judged, o);
    if (d->training->count < p->minibatch)
        fatal("%lld training images are fewer than one mini-batch of %d: take a smaller --batch or "
              "more --train-samples",
              (long long)d->training->count, p->minibatch);
    describe(p, d);
}

void image_data_close(struct image_data *d)
{
    if (d->test)
        dataset_close(d->test);
    if (d->held_out)
        dataset_close(d->held_out);
    if (d->judged != d->held_out)
        dataset_close(d->judged);
    dataset_close(d->training);
}

uint64_t problem_data_digest(const struct options *o)
{
    const struct dataset_options of = training_of(o, 1);
    struct dataset *training = dataset_open(&of), *test = open_test(of, o);
    const uint64_t digests[] = {dataset_digest(training), test ? dataset_digest(test) : 0};
    dataset_close(training);
    if (test)
        dataset_close(test);
    return digest_of(digests, sizeof digests);
}
