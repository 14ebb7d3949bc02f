/* A machine file: the links, memory and processors of a cluster, as test.s measured them or as
 * somebody thought them out.
 *
 *   latency_s = 1.6e-6                  between hosts; jitter_s is optional
 *   jitter_s = 2e-7
 *   bandwidth_bytes_per_s = 11e9        of each rank's link port
 *   host_bandwidth_bytes_per_s = 12e9   of the port that a host's ranks share (optional)
 *   ranks_per_host = 8                  ranks 0 to 7 on the first host, and so on; without it each
 *                                       has a host of its own
 *   local_latency_s = 4e-7              within a host; local_jitter_s is optional
 *   local_bandwidth_bytes_per_s = 6e9   of a copy while all ranks of the host copy: that of a
 *                                       receive into a buffer, or of a worker that pulls weights
 *                                       (otherwise payloads are borrowed where they lie); sums
 *                                       among workers read and write twice as much
 *   vector_bandwidth_bytes_per_s = 12e9 that a sum of vectors by one rank reads and writes, in all
 *                                       (optional; without it vector work takes no time)
 *   step_bandwidth_bytes_per_s = 20e9   the same of the weights and the state in an optimizer's
 *                                       step; its gradients pass as those of a sum (optional)
 *   copy_bandwidth_bytes_per_s = 14e9   the same of a copy by one rank alone (optional)
 *   crowded_bandwidth_bytes_per_s = 7e9 a sum by each rank while all of the host sum: workers do
 *                                       all their vector work that much more slowly (optional)
 *   message_core_s_per_byte = 4e-10     that a byte between hosts takes from the cores of each of
 *                                       its two hosts (optional, else 0)
 *   cores_per_host = 2                  that the ranks of a host share while they compute; where
 *                                       these want more, all are slower (optional: enough)
 *   host_jitter_share = 0.4             part of the variance of mini-batches' times that a host's
 *                                       ranks have in common (optional, else 0)
 *   [rank 3]                            exceptions: speed 0.5 computes half as fast as the others
 *   speed = 0.5
 *   bandwidth_bytes_per_s = 1e9
 *   [link 1 2]                          from rank 1 to rank 2, this direction alone
 *   latency_s = 0.05
 *   [minibatch_s]                       network, variant, samples, type, threads = seconds a
 *   resnet50 cifar 32 f32 1 = 0.73 0.04 mini-batch, jitter: standard deviation / mean (optional,
 *                                       else 0), slowness/jitter.h
 *
 * '#' and ';' begin comments. Nothing is guessed: whoever needs a key that is missing names it. */
#ifndef SLOWNESS_MACHINE_H
#define SLOWNESS_MACHINE_H

#include "messaging/messaging.h"

struct machine;

/* Reads the file. What is not understood is fatal: file, line, and what was expected. */
const struct machine *machine_load(const char *path);
void machine_close(const struct machine *m);

/* For world_options.links, borrowed until machine_close(); fatal when a world of so many ranks
 * needs a key that is missing. */
const struct links *machine_links(const struct machine *m, int ranks);

/* Kinds of vector work by how memory is read and written. */
enum vector_pass { PASS_SUM, PASS_STEP, PASS_COPY, VECTOR_PASSES };

/* Bytes per second; 0: not known. `crowded`: the host's other ranks work meanwhile. A step or copy
 * that was not measured passes as a sum. */
double machine_vector_bandwidth(const struct machine *m, enum vector_pass pass, bool crowded);

/* 1 if the file has none; 2 computes twice as fast */
double machine_speed(const struct machine *m, int rank);

/* The number, from 0, of the host, or of the machine of virtual ones, that has its cores. */
int machine_host(const struct machine *m, int rank);
double machine_host_jitter_share(const struct machine *m); /* 0 .. 1 */
int machine_cores(const struct machine *m); /* of a host; 0: as many as its ranks want */
/* Core seconds that a byte from or to another host takes a rank. */
double machine_message_core_s(const struct machine *m);

/* Bytes per second of a copy from memory of rank `from` into that of rank `to` on its host (which
 * may be `from`), while all ranks of the host copy. 0: not known, or they have no host in common,
 * or each has its own. */
double machine_copy_bandwidth(const struct machine *m, int from, int to);

/* Seconds that one mini-batch of so many samples takes a rank of speed 1 (dtype: "f32", "bf16");
 * NAN: not known. */
double machine_minibatch_s(const struct machine *m, const char *network, const char *stem,
                           int samples, const char *dtype, int threads);
/* Their standard deviation / mean; 0: not known. */
double machine_minibatch_jitter(const struct machine *m, const char *network, const char *stem,
                                int samples, const char *dtype, int threads);

#endif
