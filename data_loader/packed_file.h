/* A file that is read once, from its beginning to its end, plain or packed by gzip (RFC 1952; which
 * of them, its first two bytes say). Private to data_loader/.
 *
 * What is wrong with it is fatal: a line with its path, what is wrong, and the remedy that it was
 * opened with. */
#ifndef DATA_LOADER_PACKED_FILE_H
#define DATA_LOADER_PACKED_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct packed_file;

/* Borrows both; remedy: what to do about a bad file, a sentence's second half. */
struct packed_file *packed_open(const char *path, const char *remedy);

/* Fatal for a reason of the caller's, in the file's line: "%s: REASON; REMEDY". */
_Noreturn void packed_refuse(const struct packed_file *f, const char *reason, ...)
    __attribute__((format(printf, 2, 3)));

/* How many bytes it holds, at most: those of a plain file exactly. */
int64_t packed_most(const struct packed_file *f);

/* The next `bytes` of what it holds; `to` NULL: passed over. Fatal where there are fewer. */
void packed_read(struct packed_file *f, void *to, int64_t bytes);

/* Fatal where bytes are left. Returns the CRC-32 of all that it held. */
uint32_t packed_close(struct packed_file *f);

/* The CRC-32 of what a file holds: computed where it is plain and has at most `most` bytes, else as
 * gzip has noted it at the file's end, unchecked. false: it cannot be had. */
bool packed_crc(const char *path, int64_t most, uint32_t *crc);

#endif
