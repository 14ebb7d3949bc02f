/* Graphs of workers from files, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/death_test.h"
#include "topology/topology.h"

struct file_own { /* the options of topology file */
    const char *path;
};
struct bad {
    const char *name;
    int nodes, local;
    const char *text; /* of a file */
    const char *words[4];
};

static void open_bad(const void *argument)
{
    const struct bad *b = argument;
    char path[] = "/tmp/test_topology.XXXXXX";
    struct file_own own = {path};
    if (b->text) {
        int file = mkstemp(path);
        CHECK(write(file, b->text, strlen(b->text)) == (ssize_t)strlen(b->text), "write");
        close(file);
    }
    topology_close(topology_open(&(struct topology_options){
        .name = b->name, .nodes = b->nodes, .local = b->local, .own = b->text ? &own : NULL}));
}

static void test_refused(void **state)
{
    (void)state;
    const struct bad list[] = {
        {"one-peer-ring", 5, 1, NULL, {"an even number of nodes: 4 or 6, not 5"}},
        {"hypercube", 12, 1, NULL, {"a power of two: 8 or 16, not 12"}},
        {"aer", 12, 4, NULL, {"a power of two: 8 or 16, not 12"}},
        {"torus", 7, 1, NULL, {"no prime: 6 or 8, not 7"}},
        {"wheel", 3, 1, NULL, {"4 nodes or more: 4, not 3"}},
        {"ring", 0, 1, NULL, {"0 nodes; take 1 to"}},
        {"dsik", 8, 1, NULL, {"did you mean 'disk'"}},
        {"file", 3, 1, "0 1\n", {"not connected"}},
        {"file", 3, 1, "directed\n0 1\n1 2\n", {"not connected"}},
        {"file", 2, 1, "0 2\n", {"line 1: '2' is no node; they are 0 to 1"}},
        {"file", 2, 1, "# a graph\n\n0 1 0.5 x\n", {"line 3: 'x' is one word too many"}},
        {"file", 2, 1, "0 1 1.5\n", {"line 1: weight '1.5'"}},
        {"file", 2, 1, "0 1 nan\n", {"line 1: weight 'nan'"}},
        {"file", 3, 1, "0 1 0.5\n1 2\n", {"line 2: some edges have a weight and some have none"}},
        {"file", 3, 1, "0 1 0.7\n1 2 0.7\n", {"the weights of node 1 add to 1.4"}},
        {"file", 2, 1, "1 1\n", {"line 1: node 1 is its own neighbour"}},
        {"file", 2, 1, "0 1\ndirected\n", {"line 2: 'directed' belongs before all edges"}},
        {"file", 2, 1, "0\n", {"line 1: '0' alone"}},
        {"file", 2, 1, "", {"no edge is in it"}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_dies(EXIT_USER, open_bad, &list[i], list[i].words);
}

static double weight(const struct topology *t, int64_t step, int node, int source)
{
    struct neighbour list[3];
    int count = topology_sources(t, step, node, list);
    for (int k = 0; k < count; k++)
        if (list[k].node == source)
            return list[k].weight;
    return 0;
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/test_topology.XXXXXX";
    const char *text = "# two steps\n0 1 0.25\n1 0 0.25\nstep\n1 2 0.5 # both ways\n";
    int file = mkstemp(path);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    const struct file_own own = {path};
    struct topology *t = topology_open(
        &(struct topology_options){.name = "file", .nodes = 3, .local = 1, .own = &own});
    unlink(path);
    assert_int_equal(topology_period(t), 2);
    assert_float_equal(weight(t, 0, 0, 1), 0.25, 0);
    assert_float_equal(weight(t, 0, 0, 0), 0.75, 0);
    assert_float_equal(weight(t, 0, 2, 2), 1, 0);
    assert_float_equal(weight(t, 3, 2, 1), 0.5, 0);
    assert_true(topology_measure(t).weighted);
    topology_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
