/* What is written of the shards: a row a worker, and the names of classes, whatever is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metrics/metrics.h"

static void the_file_has_a_row_a_worker(void **state)
{
    (void)state;
    static const char wanted[] = "# "
                                 "head\n# class names: a cat, dog_ old, "
                                 "x_\nworker,rank,samples,class_0,class_1,class_2\n0,2,6,1,2,"
                                 "3\n1,3,3000000006,3000000000,0,6\n";
    char folder[] = "/tmp/nbsgd-test-partition-XXXXXX", text[400] = "", command[160];
    assert_non_null(mkdtemp(folder));
    struct results *r = results_open(&(struct results_options){.folder = folder,
                                                               .head = "# head\n",
                                                               .config = "",
                                                               .thresholds = "",
                                                               .report_s = 1,
                                                               .quiet = true});
    static const char *const class_names[] = {"a cat", "dog, old", "x\n"};
    const struct partition_result p = {.ranks = 4,
                                       .workers = 2,
                                       .classes = 3,
                                       .samples = (const int64_t[]){1, 2, 3, 3000000000, 0, 6},
                                       .class_names = class_names};
    results_partition(r, &p);
    results_partition(NULL, &p);
    results_close(r);
    snprintf(command, sizeof command, "cat %s/partition.csv; rm -r %s", folder, folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_true(fread(text, 1, sizeof text - 1, pipe) > 0);
    pclose(pipe);
    assert_string_equal(text, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_file_has_a_row_a_worker)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
