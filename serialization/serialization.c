/* The list of codecs, made from the one in serialization/kinds.h, and what is common to
 * their coders. */
#include "serialization/serialization.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/journal.h"
#include "base/text.h"
#include "serialization/kinds.h"

const struct codec *const codecs[] = {
#define ENTRY(name) &codec_##name,
    CODECS(ENTRY)
#undef ENTRY
        NULL,
};

const char *codec_names(void)
{
#define NAME(name) "|" #name
    return &CODECS(NAME)[1];
#undef NAME
}

void codec_list(FILE *to)
{
    for (int i = 0; codecs[i]; i++)
        text_member(to, codecs[i]->name, codecs[i]->summary, codecs[i]->paper);
}

const struct codec *codec_find(const char *name)
{
    for (int i = 0; codecs[i]; i++)
        if (!strcmp(codecs[i]->name, name))
            return codecs[i];
    fatal("--compress: unknown codec '%s'; known are %s", name, codec_names());
}

const void *codec_own(const struct codec *codec, const struct options *o)
{
    return codec->options ? options_of(o, codec->options) : NULL;
}

struct coder *coder_open(const struct codec *codec, const struct coder_options *o)
{
    assert(o->count >= 1);
    struct coder *c = xcalloc(1, sizeof *c);
    *c = (struct coder){.codec = codec,
                        .count = o->count,
                        .seed = o->seed,
                        .worker = o->worker,
                        .stream = o->stream,
                        .allocator = o->allocator,
                        .journal = o->journal,
                        .only_unpacks = o->only_unpacks};
    if (codec->k)
        c->k = codec->k(o);
    if (codec->remembers && !o->only_unpacks)
        c->left = allocator_take(&c->allocator, (size_t)c->count, sizeof *c->left);
    if (codec->work_bytes && !o->only_unpacks)
        c->work = xcalloc(codec->work_bytes(c), 1);
    return c;
}

void coder_close(struct coder *c)
{
    if (!c)
        return;
    allocator_give_back(&c->allocator, c->left);
    xfree(c->work);
    xfree(c);
}

size_t coder_bytes(const struct coder *c)
{
    return c->codec->message_bytes(c);
}

void coder_pack(struct coder *c, void *to, const float *from)
{
    assert(c->left || !c->codec->remembers);
    if (!journal_forwards(c->journal))
        c->codec->encode(c, to, from);
    c->messages++;
}

const char *coder_unpack(const struct coder *c, float *to, const void *from)
{
    return journal_forwards(c->journal) ? NULL : c->codec->decode(c, to, from);
}

void coder_state(struct coder *c, state_visitor *visit, void *self)
{
    for (const char *const *name = c->codec->state; name && *name && !c->only_unpacks; name++)
        if (!strcmp(*name, "left"))
            visit(self, *name, STATE_F32, c->left, c->count);
        else
            visit(self, *name, STATE_I64, &c->messages, 1);
}

const float *coder_left(const struct coder *c)
{
    return c->left;
}
