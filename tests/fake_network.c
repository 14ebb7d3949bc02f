#include "tests/fake_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const struct fixture_options fake_network_small = {
    .stem = "cifar",
    .model =
        {.name = "resnet20", .batch = 2, .classes = 10, .channels = 3, .height = 8, .width = 8},
    .smoothing = 0.1,
    .seed = FAKE_NETWORK_SEED,
    .threads = 1,
};
const struct fixture_options fake_network_large = {
    .stem = "imagenet",
    .model = {.name = "resnet18", .batch = 2, .classes = 7, .channels = 3, .height = 8, .width = 8},
    .seed = FAKE_NETWORK_SEED,
    .threads = 1,
};

void fake_network_open(struct network_fixture *r, const struct fixture_options *options,
                       enum fake_device_mode mode)
{
    const struct engine early = {
        .backend = &backend_fake_device, .dtype = DTYPE_F32, .name = "early"};
    const struct engine late = {
        .backend = &backend_fake_device, .dtype = DTYPE_F32, .name = "late"};
    fake_device_begin(mode);
    fixture_open(r, mode == COPIES_LATE ? &late : &early, options);
}

void fake_network_close(struct network_fixture *r)
{
    fixture_close(r);
    assert_int_equal(fake_device_counted()->registered, fake_device_counted()->unregistered);
}
