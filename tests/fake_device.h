/* A GPU made of the reference backend, for tests of what the host does with one.
 *
 * Its memory cannot be read or written by the host (a touch is a fault of the machine), and a
 * pointer of the host's that reaches it fails the test. Its calls are queued: uploads, computing
 * and downloads are three queues that move on only when somebody asks how far it is, each as early
 * or as late as the contract allows. Segments are run once, then recorded, then replayed from what
 * was recorded, and a recording that differs from the first run fails the test, as does any call
 * that a recording could not hold. */
#ifndef TESTS_FAKE_DEVICE_H
#define TESTS_FAKE_DEVICE_H

#include "backend/backend.h"

extern const struct backend backend_fake_device;

/* When copies happen: as soon as they are asked for and can be, or not before somebody waits for
 * them. */
enum fake_device_mode { COPIES_EARLY, COPIES_LATE };

struct fake_device_counts {
    int64_t uploaded_bytes, downloaded_bytes;
    int64_t run, recorded, replayed;  /* segments */
    int most_ahead;                   /* segments ended and not known to be done, at the most */
    int64_t waiting;                  /* things asked for and not done */
    int64_t registered, unregistered; /* blocks */
};

/* From the next device that is opened on; counts begin anew. One device at a time. */
void fake_device_begin(enum fake_device_mode mode);

const struct fake_device_counts *fake_device_counted(void);

#endif
