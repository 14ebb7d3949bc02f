/* The sanitizers' hooks see each block that is allocated and freed. While a reader runs they are
 * listed; what is left of them when it has exited is freed. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

enum { BLOCKS = 1 << 16, FILES = 16 }; /* a power of two */

static struct {
    jmp_buf back;
    bool armed, overflowed;
    int code;
    const volatile void *block[BLOCKS]; /* open addressing */
    int blocks;
    FILE *file[FILES];
    int words; /* where defects are said */
    struct fuzz_counts *counts;
    char folder[240];
} all;

/* --- what an input leaves */

static size_t place_of(const volatile void *block)
{
    size_t i = ((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> 48;
    while (all.block[i & (BLOCKS - 1)] && all.block[i & (BLOCKS - 1)] != block)
        i++;
    return i & (BLOCKS - 1);
}

static void on_malloc(const volatile void *block, size_t size)
{
    (void)size;
    if (!all.armed || !block || all.overflowed)
        return;
    all.overflowed = all.blocks == BLOCKS / 2;
    if (all.overflowed)
        return;
    all.blocks++;
    all.block[place_of(block)] = block;
}

/* Those after it are entered anew, as open addressing wants it. */
static void on_free(const volatile void *block)
{
    if (!all.armed || !block || all.overflowed)
        return;
    size_t i = place_of(block);
    if (!all.block[i])
        return;
    all.block[i] = NULL;
    all.blocks--;
    for (i = (i + 1) & (BLOCKS - 1); all.block[i]; i = (i + 1) & (BLOCKS - 1)) {
        const volatile void *moved = all.block[i];
        all.block[i] = NULL;
        all.block[place_of(moved)] = moved;
    }
}

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *))
    __attribute__((weak));

static void forget_blocks(void)
{
    if (all.blocks || all.overflowed)
        memset(all.block, 0, sizeof all.block);
    all.blocks = 0;
    all.overflowed = false;
}

/* What closing a file frees is still taken off the list. */
static void give_back(void)
{
    for (int i = 0; i < FILES; i++)
        if (all.file[i])
            fclose(all.file[i]);
    all.armed = false;
    for (size_t i = 0; i < BLOCKS && all.blocks && !all.overflowed; i++)
        free((void *)all.block[i]);
}

/* Streams are in a list of the library's: they are closed, not only freed. */
static FILE *note_file(FILE *file)
{
    for (int i = 0; file && all.armed && i < FILES; i++)
        if (!all.file[i]) {
            all.file[i] = file;
            break;
        }
    return file;
}

#define WRAP(name, parameters, arguments)                                                          \
    FILE *__real_##name parameters;                                                                \
    FILE *__wrap_##name parameters;                                                                \
    FILE *__wrap_##name parameters                                                                 \
    {                                                                                              \
        return note_file(__real_##name arguments);                                                 \
    }

WRAP(fopen, (const char *path, const char *mode), (path, mode))
WRAP(fdopen, (int file, const char *mode), (file, mode))
WRAP(fmemopen, (void *block, size_t size, const char *mode), (block, size, mode))
WRAP(open_memstream, (char **text, size_t *size), (text, size))

int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);

int __wrap_fclose(FILE *file)
{
    for (int i = 0; i < FILES; i++)
        if (all.file[i] == file)
            all.file[i] = NULL;
    return __real_fclose(file);
}

/* --- trying */

_Noreturn void __real_exit(int code);
_Noreturn void __wrap_exit(int code);

_Noreturn void __wrap_exit(int code)
{
    if (!all.armed)
        __real_exit(code);
    all.code = code;
    longjmp(all.back, 1);
}

int fuzz_try(void (*body)(void *self), void *self)
{
    all.code = 0;
    forget_blocks();
    all.armed = true;
    if (!setjmp(all.back))
        body(self);
    else
        give_back();
    all.armed = false;
    if (all.code == 1 || all.code < 0 || all.code > EXIT_UNWRITTEN)
        fuzz_defect("it ended with code %d", all.code);
    *(all.code ? &all.counts->refused : &all.counts->taken) += 1;
    return all.code;
}

void fuzz_defect(const char *format, ...)
{
    va_list args;
    all.armed = false;
    va_start(args, format);
    vdprintf(all.words, format, args);
    va_end(args);
    dprintf(all.words, "\n");
    abort();
}

struct fuzz_counts *fuzz_counts(void)
{
    return all.counts;
}

/* --- files */

const char *fuzz_folder(void)
{
    return all.folder;
}

static const char *input_path(void)
{
    static char path[260];
    snprintf(path, sizeof path, "%s/input", all.folder);
    return path;
}

const char *fuzz_file(const uint8_t *bytes, size_t size)
{
    const char *path = input_path();
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size || close(file))
        fuzz_defect("cannot write %s", path);
    return path;
}

static void remove_folder(void)
{
    char command[260];
    snprintf(command, sizeof command, "rm -rf '%s'", all.folder);
    if (system(command))
        dprintf(all.words, "cannot remove %s\n", all.folder);
}

/* --- numbers */

uint8_t fuzz_byte(struct fuzz_input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

uint64_t fuzz_number(struct fuzz_input *in, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number |= (uint64_t)fuzz_byte(in) << 8 * i;
    return number;
}

void fuzz_bytes(struct fuzz_input *in, void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = fuzz_byte(in);
}

/* --- beginning */

__attribute__((weak)) size_t fuzz_seed(int number, uint8_t *bytes)
{
    (void)number, (void)bytes;
    return 0;
}

__attribute__((weak)) void fuzz_open(void)
{
}

/* libFuzzer's last argument is the folder of the inputs that it finds: seeds go there. */
static void write_seeds(const char *folder)
{
    uint8_t bytes[FUZZ_SEED_MOST];
    size_t size;
    for (int i = 0; (size = fuzz_seed(i, bytes)); i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/seed-%d", folder, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
            fuzz_defect("cannot write %s", path);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *named = getenv("TMPDIR"), *folder = named && *named ? named : "/tmp";
    all.words = dup(STDERR_FILENO);
    all.counts =
        mmap(NULL, sizeof *all.counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(all.folder, sizeof all.folder, "%.200s/nbsgd-fuzz-XXXXXX", folder);
    if (all.words < 0 || all.counts == MAP_FAILED || !mkdtemp(all.folder))
        return 1;
    atexit(remove_folder);
    if (__sanitizer_install_malloc_and_free_hooks)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    fuzz_open();
    if (*argc > 1 && *(*argv)[*argc - 1] != '-')
        write_seeds((*argv)[*argc - 1]);
    return 0;
}
