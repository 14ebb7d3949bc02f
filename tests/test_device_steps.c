/* What a network on a device plans to do: the steps of a gradient, their segments, and where the
 * memory of raw images lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "network/private.h"
#include "tests/fake_network.h"

/* What images are made from lies in the way of nothing that is alive by then. */
static void test_raw_batch(void **state)
{
    (void)state;
    struct network_fixture r;
    fake_network_open(&r, &fake_network_small, COPIES_EARLY);
    const struct memory_plan *plans[] = {&r.network->training, &r.network->evaluation};
    for (int k = 0; k < 2; k++) {
        const struct memory_plan *p = plans[k];
        const struct piece *from = &p->raw_batch,
                           *alive[] = {&p->images, &p->labels, &p->output[0], &p->saved[0]};
        assert_true(from->bytes >= p->images.bytes && from->offset + from->bytes <= p->bytes);
        for (int i = 0; i < 4; i++)
            assert_true(from->offset + from->bytes <= alive[i]->offset ||
                        alive[i]->offset + alive[i]->bytes <= from->offset);
    }
    fake_network_close(&r);
}

/* Each unit once forward and once back, in order; hook points and final floats as the hook hears
 * them; every float of w goes up once and every float of g comes down once; segments have no
 * gap. */
static void test_steps(void **state)
{
    (void)state;
    struct network_fixture r;
    fake_network_open(&r, &fake_network_large, COPIES_EARLY);
    const struct steps *s = &r.network->gradient_steps;
    int hooks = 0, units = r.a.units, next = 0;
    int64_t up = 0, down = 0;
    for (int i = 0; i < s->count; i++) {
        const struct step *step = &s->step[i];
        if (step->kind == STEP_WEIGHTS_UPLOAD)
            up += step->floats.to - step->floats.from;
        if (step->kind == STEP_GRADIENT_DOWNLOAD)
            down += step->floats.to - step->floats.from;
        if (step->kind == STEP_LOSS)
            assert_int_equal(hooks, units);
        if (step->kind != STEP_FORWARD && step->kind != STEP_BACKWARD)
            continue;
        assert_int_equal(step->kind, hooks < units ? STEP_FORWARD : STEP_BACKWARD);
        assert_int_equal(step->unit, hooks < units ? hooks : 2 * units - 1 - hooks);
        assert_int_equal(step->hook, hooks);
        assert_int_equal(step->final_from, network_final_from(r.network, hooks));
        hooks++;
    }
    assert_int_equal(hooks, 2 * units);
    assert_int_equal(up, r.floats);
    assert_int_equal(down, r.floats);
    assert_true(s->segments > 4 && s->segments % 2 == 0);
    for (int k = 0; k < s->segments; k++) {
        const struct segment *g = &s->segment[k];
        assert_int_equal(g->first_hook, next);
        assert_int_equal(g->end, k + 1 < s->segments ? g[1].first : s->count);
        assert_int_equal(g->final_before, k ? g[-1].final_after : r.floats);
        next = g->last_hook + 1;
    }
    assert_int_equal(next, 2 * units);
    assert_int_equal(s->segment[s->segments - 1].final_after, 0);
    fake_network_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_batch),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
