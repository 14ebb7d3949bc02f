/* The command line: the words of it are separated by line breaks. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/configuration.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct configuration c = {.argc = 2, .argv = {"nbsgd", "--check-options"}};
    char *text = malloc(size + 1), *save = NULL;
    memcpy(text, bytes, size);
    text[size] = 0;
    /* --config reads files of any name, as of a terminal: it has a harness of its own. */
    for (char *word = strtok_r(text, "\n", &save); word && c.argc < CONFIGURATION_WORDS;
         word = strtok_r(NULL, "\n", &save))
        if (!strstr(word, "config"))
            c.argv[c.argc++] = word;
    fuzz_try(configuration_check, &c);
    free(text);
    return 0;
}
