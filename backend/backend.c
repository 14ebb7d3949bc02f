/* The table of what was built in, and what can be said of a unit without running it.
 *
 * The one place in the tree that knows which optional libraries there are: a backend is its folder
 * and a line here. */
#include "backend/backend.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define BACKENDS(X)                                                                                \
    X(cudnn)                                                                                       \
    X(onednn)                                                                                      \
    X(openblas)                                                                                    \
    X(ref)

#define DECLARE(name) extern const struct backend backend_##name;
BACKENDS(DECLARE)
#undef DECLARE

const struct backend *const backends[] = {
#ifdef WITH_CUDNN
    &backend_cudnn,
#endif
#ifdef WITH_ONEDNN
    &backend_onednn,
#endif
#ifdef WITH_OPENBLAS
    &backend_openblas,
#endif
    &backend_ref, /* always there */
    NULL,
};

const char *backend_names(void)
{
#define NAME(name) "|" #name
    return &BACKENDS(NAME)[1];
#undef NAME
}

/* "onednn openblas ref": those that are built in, or with `dtype` those that run it here. */
static void list_built_in(char *text, size_t size, const enum backend_dtype *dtype)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; backends[i]; i++)
        if ((!dtype || backends[i]->has(*dtype)) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "",
                                     backends[i]->name);
}

static bool is_known(const char *name)
{
#define NAME(name) #name,
    static const char *const known[] = {BACKENDS(NAME)};
#undef NAME
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i], name))
            return true;
    return false;
}

const struct backend *backend_find(const char *name, enum backend_dtype dtype)
{
    const char *type = dtype == DTYPE_BF16 ? "bf16" : "f32";
    char built_in[100], able[100], why[400];
    list_built_in(built_in, sizeof built_in, NULL);
    list_built_in(able, sizeof able, &dtype);
    bool any = !strcmp(name, "auto");
    for (int i = 0; backends[i]; i++) {
        if (!any && strcmp(backends[i]->name, name))
            continue;
        if (backends[i]->has(dtype))
            return backends[i];
        if (!any && backends[i]->why_not) {
            backends[i]->why_not(dtype, why, sizeof why);
            fatal("--backend %s: %s; choose one of: auto %s", name, why, *able ? able : "none");
        }
        if (!any)
            fatal("backend %s does not run %s on this machine (able: %s); choose one that does, or "
                  "--dtype f32",
                  name, type, *able ? able : "none");
    }
    if (any)
        fatal("no backend runs %s on this machine (built in: %s); choose --dtype f32", type,
              built_in);
    if (is_known(name))
        fatal("backend %s is not built in; choose one of: auto %s, or install its library and "
              "build again",
              name, built_in);
    fatal("unknown backend '%s'; choose one of: auto %s", name, built_in);
}

const struct device_optimizer_kind *backend_device_optimizer(const char *where)
{
    char why[400] = "";
    if (!strcmp(where, "cpu"))
        return NULL;
    for (int i = 0; backends[i]; i++) {
        const struct device_kind *device = backends[i]->device;
        if (!device || !device->optimizer)
            continue;
        if (backends[i]->has(DTYPE_F32))
            return device->optimizer;
        backends[i]->why_not(DTYPE_F32, why, sizeof why);
    }
    if (*why)
        fatal("--server-device gpu: %s; start this server where a GPU is, or choose cpu", why);
    fatal("--server-device gpu: this program was built without CUDA (make CUDA=1); choose cpu");
}

int64_t unit_bias_at(const struct unit_shape *s)
{
    return (int64_t)s->out_c * s->kernel * s->kernel * s->in_c;
}

int64_t unit_gamma_at(const struct unit_shape *s)
{
    return unit_bias_at(s) + (s->bias ? s->out_c : 0);
}

int64_t unit_parameters(const struct unit_shape *s)
{
    int64_t in_c = s->in_c, out_c = s->out_c;
    if (s->kind == UNIT_CONV)
        return unit_gamma_at(s) + (s->norm ? 2 * out_c : 0);
    if (s->kind == UNIT_GROUP_NORM)
        return 2 * out_c;
    return s->kind == UNIT_DENSE ? out_c * in_c * s->in_h * s->in_w + out_c : 0;
}

void unit_describe(const struct unit_shape *s, char *text, size_t size)
{
    static const char *const kinds[] = {
        [UNIT_CONV] = "conv",
        [UNIT_DENSE] = "dense",
        [UNIT_MAX_POOL] = "max pool",
        [UNIT_MEAN_POOL] = "mean pool",
        [UNIT_SHORTCUT] = "shortcut",
        [UNIT_DROPOUT] = "dropout",
        [UNIT_GROUP_NORM] = "group norm",
    };
    bool flat = s->kind == UNIT_DENSE && s->in_h * s->in_w > 1;
    snprintf(text, size, "%s%s%s%s%s%s", s->hidden ? "hidden " : "", kinds[s->kind],
             flat            ? " of an image"
             : s->by_channel ? " of channels"
                             : "",
             s->bias ? " + bias" : "", s->norm ? " + norm" : "", s->relu ? " + ReLU" : "");
}

bool unit_is_basic(const struct unit_shape *s)
{
    bool dense = s->kind == UNIT_DENSE, mean = s->kind == UNIT_MEAN_POOL;
    return s->kind != UNIT_DROPOUT && s->kind != UNIT_GROUP_NORM && !s->bias && !s->hidden &&
           !(dense && (s->relu || s->in_h * s->in_w > 1)) && !(mean && s->out_h * s->out_w > 1);
}

void unit_unsupported(const char *backend, const struct unit_shape *s)
{
    char unit[100];
    unit_describe(s, unit, sizeof unit);
    fatal("backend %s has no unit `%s`, which this network needs; choose --backend ref or another",
          backend, unit);
}

/* Multiplications by weights only: norms, pools and additions are below a hundredth of a ResNet. */
double unit_flops(const struct unit_shape *s)
{
    if (s->kind == UNIT_CONV)
        return 2.0 * s->batch * s->out_h * s->out_w * s->out_c * s->kernel * s->kernel * s->in_c;
    return s->kind == UNIT_DENSE ? 2.0 * s->batch * s->out_c * s->in_c * s->in_h * s->in_w : 0.0;
}
