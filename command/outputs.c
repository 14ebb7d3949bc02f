/* Each file is judged where it will be written: by rank 0, for other hosts may not have its folder.
 */
#include "command/outputs.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/messaging.h"
#include "parameter_server/parameter_server.h"

struct claim_request outputs_claim(const struct options *o)
{
    return (struct claim_request){.wanted = o->results,
                                  .scheme = o->scheme,
                                  .save = o->save,
                                  .overwrite = o->overwrite,
                                  .resume = *o->resume};
}

/* A FIFO would be read for ever, and nothing but a plain file is replaced. */
static void check_cache(const char *path)
{
    struct stat s;
    if (*path && !stat(path, &s) && !S_ISREG(s.st_mode))
        fatal("--kernel-cache %s: that is %s; name a file", path,
              S_ISDIR(s.st_mode) ? "a folder" : "a device or a pipe");
}

static void check_tensorboard(const char *path)
{
    struct stat s;
    if (!*path)
        fatal("--tensorboard=: a folder is missing; without `=` it is tensorboard/ in the results");
    if (strcmp(path, "no") && strcmp(path, "yes") && !stat(path, &s) && !S_ISDIR(s.st_mode))
        fatal("--tensorboard %s: that is no folder; name one, or none", path);
}

void outputs_check_saved(const struct options *o, const struct claim *claim)
{
    if (*o->resume)
        saving_check(o, claim_saved(claim));
}

void outputs_note_saved(const struct options *o, const struct claim *claim)
{
    if (*o->save && claim_saved(claim))
        claim_set_saved(claim, o->save);
}

void outputs_check(const struct options *o, int started)
{
    const struct claim_request request = outputs_claim(o);
    check_cache(o->kernel_cache);
    if (mpi_rank() > 0)
        return;
    results_check(o->thresholds);
    check_tensorboard(o->tensorboard);
    claim_check(&request);
    if (!*o->resume) /* else when it is known whose the folder is: outputs_check_saved() */
        saving_check(o, NULL);
    ps_check_order(o, started > 1 ? started - (int)o->servers : (int)o->workers);
}

void outputs_partition(struct run_context *c, int ranks)
{
    double all = 0;
    const struct problem *p = c->problem;
    if (!p->kind->shard)
        return;
    int64_t *samples = xcalloc((size_t)c->workers * (size_t)p->classes, sizeof *samples);
    for (int w = 0; w < c->workers; w++)
        p->kind->shard(p, w, samples + (int64_t)w * p->classes);
    results_partition(c->results, &(struct partition_result){.ranks = ranks,
                                                             .workers = c->workers,
                                                             .classes = p->classes,
                                                             .samples = samples,
                                                             .class_names = p->class_names});
    xfree(c->data_share);
    c->data_share = xcalloc((size_t)c->workers, sizeof *c->data_share);
    for (int i = 0; i < c->workers * p->classes; i++) {
        c->data_share[i / p->classes] += (double)samples[i];
        all += (double)samples[i];
    }
    for (int w = 0; w < c->workers; w++)
        c->data_share[w] /= all;
    xfree(samples);
}
