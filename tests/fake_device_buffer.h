/* Device buffers (backend/device.h) whose GPU is the host's memory; what is queued is done when
 * somebody asks, in order and not all at once. */
#ifndef TESTS_FAKE_DEVICE_BUFFER_H
#define TESTS_FAKE_DEVICE_BUFFER_H

#include "backend/backend.h"

extern const struct device_buffer_kind fake_device_buffer;

int fake_device_buffers_open(void);   /* that are open */
int fake_device_buffers_opened(void); /* that ever were */
int fake_device_buffers_early(
    void); /* copies that were asked for before is_done() had said so of those before
                          that go the other way */

#endif
