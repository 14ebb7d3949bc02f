/* Experiments (nbsgd study): one that is taken is written, and read as the same. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/study.h"

static char *text_of(const struct experiment *e)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    experiment_write(e, f);
    fclose(f);
    return text;
}

static void load(void *path)
{
    struct experiment *first = experiment_load(&(struct experiment_request){.path = path});
    char *text = text_of(first);
    const char *copy = fuzz_file((const uint8_t *)text, strlen(text));
    struct experiment *second = experiment_load(&(struct experiment_request){.path = copy});
    char *again = text_of(second);
    if (strcmp(text, again))
        fuzz_defect("written and read it is another one:\n%s\n---\n%s", text, again);
    free(text);
    free(again);
    experiment_free(first);
    experiment_free(second);
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    static const char *const seeds[] = {
        "[study]\nseeds = 1-3 7\ntargets = 60 70.5\n[base]\nworld = sim\n[case a]\nslow = 4=4\n"
        "[setting s]\nscheme = ssgd\n[setting s in a]\nlr = 0.1 ; a comment\n",
        "[study]\ntitle = \"a ; b\"\nseeds = 5\n[setting x.y-z]\nscheme=asgd\n[tune]\n"
        "lr = log 1e-3 1\n[tune x.y-z]\nmomentum = choice 0 0.9\n"};
    if (number >= 2)
        return 0;
    memcpy(bytes, seeds[number], strlen(seeds[number]));
    return strlen(seeds[number]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_try(load, (void *)fuzz_file(bytes, size));
    return 0;
}
