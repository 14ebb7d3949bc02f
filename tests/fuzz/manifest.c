/* Manifests of checkpoints: a JSON object, and the digest that ends it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "checkpoint/private.h"

/* NULL, or whether what is found by a name is a field of that name. */
static const char *check_fields(const struct manifest *m)
{
    uint64_t number;
    for (int i = 0; i < m->fields; i++) {
        const char *value = manifest_value(m, m->field[i].name);
        if (!value)
            return "a field is not found by its name";
        manifest_number(m, m->field[i].name, &number);
        manifest_digest(m, m->field[i].name, &number);
    }
    return manifest_value(m, "\1none") ? "a field is found that is not there" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct manifest m = {.fields = 0};
    char why[WHY_SIZE] = "";
    const struct mapped file = {bytes, size};
    manifest_is_whole(&file, why, sizeof why);
    *why = 0;
    bool taken = manifest_parse(&m, bytes, size, why, sizeof why);
    const char *wrong = taken ? check_fields(&m) : *why ? NULL : "refused without a word";
    if (wrong)
        fuzz_defect("%s", wrong);
    manifest_close(&m);
    *(taken ? &fuzz_counts()->taken : &fuzz_counts()->refused) += 1;
    return 0;
}
