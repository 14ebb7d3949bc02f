/* A whole network on the fake device, for tests of what the host does with one. */
#ifndef TESTS_FAKE_NETWORK_H
#define TESTS_FAKE_NETWORK_H

#include "tests/fake_device.h"
#include "tests/network_fixture.h"

enum { FAKE_NETWORK_SEED = 3 }; /* of the options below */

/* Shortcuts without parameters; shortcuts whose parameters lie after those of the unit that adds
 * them, and a max pool. */
extern const struct fixture_options fake_network_small, fake_network_large;

void fake_network_open(struct network_fixture *r, const struct fixture_options *options,
                       enum fake_device_mode mode);
void fake_network_close(struct network_fixture *r); /* fails when a block is still registered */

#endif
