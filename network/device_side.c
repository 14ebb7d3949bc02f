/* Memory of a device for a network: weights by their weights_version, the gradient, the sums of
 * losses; and the host's registered pages that results come down to. */
#include "base/alloc.h"
#include "network/private.h"

enum { PAGE = 4096 };

static size_t parameter_bytes(const struct network *n)
{
    return (size_t)model_parameters(&n->a) * sizeof(float);
}

void device_side_open(struct network *n, bool training)
{
    const struct backend *b = n->backend;
    struct device_side *d = n->side = xcalloc(1, sizeof *d);
    size_t statistics = (size_t)model_statistics(&n->a) * sizeof(float);
    size_t host = (SLOTS * sizeof *d->sums + statistics + PAGE - 1) / PAGE * PAGE;
    d->w[SLOT_GRADIENT] = b->alloc(n->device, parameter_bytes(n));
    d->sums = b->alloc(n->device, SLOTS * sizeof *d->sums);
    d->host_sums = alloc_pages(host);
    d->host_statistics = (float *)(d->host_sums + SLOTS);
    b->device->register_memory(n->device, d->host_sums, host);
    if (!training)
        return;
    d->g = b->alloc(n->device, parameter_bytes(n));
    d->segment = xcalloc((size_t)n->gradient_steps.segments, sizeof(void *));
    for (int i = 0; i < n->gradient_steps.segments; i++)
        d->segment[i] = b->device->segment_open(n->device);
}

void device_side_close(struct network *n)
{
    const struct backend *b = n->backend;
    struct device_side *d = n->side;
    for (int i = 0; d->segment && i < n->gradient_steps.segments; i++)
        b->device->segment_close(d->segment[i]);
    b->device->unregister_memory(n->device, d->host_sums);
    void *blocks[] = {d->w[SLOT_GRADIENT], d->w[SLOT_ASIDE], d->g, d->sums};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        b->free(n->device, blocks[i]);
    xfree(d->segment);
    xfree(d->host_sums);
    xfree(d);
}

static bool is_resident(const struct device_side *d, int slot, uint64_t weights_version)
{
    return d->w[slot] && weights_version && d->weights_version[slot] == weights_version;
}

void device_side_begin(struct execution *x)
{
    struct network *n = x->n;
    struct device_side *d = n->side;
    const uint64_t version = x->host_w.weights_version;
    const bool gradient = x->g != NULL;
    int slot = SLOT_GRADIENT;
    if (!gradient && n->busy && !is_resident(d, SLOT_GRADIENT, version))
        slot = SLOT_ASIDE;
    if (!d->w[slot])
        d->w[slot] = n->backend->alloc(n->device, parameter_bytes(n));
    x->w_is_resident = is_resident(d, slot, version);
    d->weights_version[slot] = version;
    x->w = (struct weights){d->w[slot], 0};
    x->g = gradient ? d->g : NULL;
    x->w_slot = slot;
    x->sums_slot = gradient ? SLOT_GRADIENT : SLOT_ASIDE;
    x->loss = &d->sums[x->sums_slot];
}
