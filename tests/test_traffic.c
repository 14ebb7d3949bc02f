/* Bytes that a step moves, as backend onednn counts them: by hand for two units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"

enum { BATCH = 2, SIDE = 4, IN = 16, OUT = 32 };

/* A build without oneDNN has none. */
static const struct backend *counting(void)
{
    for (int i = 0; backends[i]; i++)
        if (backends[i]->traffic && backends[i]->has(DTYPE_F32))
            return backends[i];
    skip();
    return NULL;
}

static double traffic_of(const struct unit_shape *s, const struct unit_io *io)
{
    const struct backend *b = counting();
    struct device *d = b->open(&(struct device_options){.threads = 1, .quiet = true});
    struct unit_sizes sizes;
    struct unit *u = b->unit_open(d, s, NULL, NULL, &sizes);
    double bytes = b->traffic(u, io);
    b->unit_close(u);
    b->close(d);
    return bytes;
}

static const struct unit_shape convolution = {.kind = UNIT_CONV,
                                              .batch = BATCH,
                                              .in_c = IN,
                                              .in_h = SIDE,
                                              .in_w = SIDE,
                                              .out_c = OUT,
                                              .out_h = SIDE,
                                              .out_w = SIDE,
                                              .kernel = 3,
                                              .stride = 1,
                                              .pad = 1,
                                              .norm = true,
                                              .relu = true};
static const double x = 4.0 * BATCH * SIDE * SIDE * IN, y = 4.0 * BATCH * SIDE * SIDE * OUT;
static char tensor; /* there is one; nothing is read */

/* Forward: x, z; z; z, y. Backward: z, dy; z, dy, dz; x, dz. */
static void test_first_unit(void **state)
{
    (void)state;
    struct unit_shape s = convolution;
    s.first = true;
    double bytes = traffic_of(&s, &(struct unit_io){.dy = &tensor});
    assert_true(bytes == 2 * x + 10 * y);
}

/* Forward: x, z; z; z, skip, y. Backward: z, dy, dy2, y, dskip; z, dskip, dz; dz, dx; x, dz. */
static void test_join(void **state)
{
    (void)state;
    struct unit_shape s = convolution;
    s.skip = true;
    double bytes = traffic_of(
        &s, &(struct unit_io){.dy = &tensor, .dy2 = &tensor, .dx = &tensor, .dskip = &tensor});
    assert_true(bytes == 3 * x + 15 * y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_unit),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
