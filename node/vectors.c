/* Vectors of a rank's own, in a list: a checkpoint of a simulated run takes them as they are. */
#include "base/journal.h"
#include "base/list.h"
#include "node/private.h"

struct vector {
    struct link link; /* in the node's list */
    size_t bytes;
    _Alignas(64) char data[];
};

void vectors_open(struct node *n)
{
    list_clear(&n->own->vectors);
}

static void *take(void *self, size_t bytes)
{
    struct node_private *own = self;
    struct vector *v = xcalloc(1, sizeof *v + bytes);
    v->bytes = bytes;
    list_append(&own->vectors, &v->link);
    return v->data;
}

static void give_back(void *self, void *data)
{
    struct vector *v = container_of(struct vector, data, data);
    (void)self;
    list_remove(&v->link);
    xfree(v);
}

struct allocator node_allocator(const struct node *n)
{
    return (struct allocator){.alloc = take, .free = give_back, .owner = n->own};
}

float *node_vector(struct node *n, int64_t count)
{
    return take(n->own, (size_t)count * sizeof(float));
}

void node_vector_free(struct node *n, float *vector)
{
    if (vector)
        give_back(n->own, vector);
}

void vectors_visit(struct node *n, void (*visit)(void *self, void *block, size_t bytes), void *self)
{
    const struct link *all = &n->own->vectors;
    for (struct link *link = all->next; link != all; link = link->next) {
        struct vector *v = container_of(struct vector, link, link);
        visit(self, v->data, v->bytes);
    }
}

struct coder *node_coder(const struct node *n, const struct codec *codec, int64_t count, int stream,
                         bool only_unpacks)
{
    const struct options *o = n->context->options;
    return coder_open(codec, &(struct coder_options){.count = count,
                                                     .own = codec_own(codec, o),
                                                     .seed = (uint64_t)o->seed,
                                                     .worker = n->worker < 0 ? 0 : n->worker,
                                                     .stream = stream,
                                                     .only_unpacks = only_unpacks,
                                                     .allocator = node_allocator(n),
                                                     .journal = course_journal(n)});
}
