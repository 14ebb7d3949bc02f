/* Twins (backend/device_buffer.h) whose GPU is the host's memory; what is queued is done when
 * somebody asks, in order and not all at once. */
#ifndef TESTS_FAKE_DEVICE_BUFFER_H
#define TESTS_FAKE_DEVICE_BUFFER_H

#include "backend/device_buffer.h"

extern const struct twin_kind here_twin;

int here_open(void);   /* twins that are open */
int here_opened(void); /* that ever were */
int here_early(void);  /* copies that were asked for before reached() had said so of those before
                          that go the other way */

#endif
