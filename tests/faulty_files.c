/* Here alone a test's code is made for one kernel and two processors: system calls are caught by a
 * seccomp filter and made by faulty_call(), whose place the filter knows and lets pass. */
#define _GNU_SOURCE /* REG_RDI and so on */
#include "tests/faulty_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

long faulty_call(long number, long a, long b, long c, long d, long e, long f);
extern const char faulty_called[]; /* behind the instruction that makes it */

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
__asm__(".text\n"
        ".globl faulty_call, faulty_called\n"
        ".hidden faulty_call, faulty_called\n"
        "faulty_call:\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        "mov %rdx, %rsi\n"
        "mov %rcx, %rdx\n"
        "mov %r8, %r10\n"
        "mov %r9, %r8\n"
        "mov 8(%rsp), %r9\n"
        "syscall\n"
        "faulty_called:\n"
        "ret\n");
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
__asm__(".text\n"
        ".globl faulty_call, faulty_called\n"
        ".hidden faulty_call, faulty_called\n"
        "faulty_call:\n"
        "mov x8, x0\n"
        "mov x0, x1\n"
        "mov x1, x2\n"
        "mov x2, x3\n"
        "mov x3, x4\n"
        "mov x4, x5\n"
        "mov x5, x6\n"
        "svc 0\n"
        "faulty_called:\n"
        "ret\n");
#endif

/* --- the state, of the process --- */

enum { FILES = 64, PATH = 4096, SLOW_S = 8 };

struct written { /* a file that was written: what of it is on the disk */
    dev_t device;
    ino_t number;
    int descriptor; /* of our own */
    off_t synced;
};

static struct {
    enum faulty_kind kind;
    char file[PATH];
    int64_t at, own, *count;
    int log;
    struct written written[FILES];
    int files;
} state = {.log = -1};

struct call { /* a system call that was caught */
    long number, argument[6];
    bool writes, creates; /* bytes; a file, or makes one empty */
};

static long pass(const struct call *c)
{
    const long *a = c->argument;
    return faulty_call(c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- which file --- */

static bool path_of_descriptor(int descriptor, char path[PATH])
{
    char link[40] = "/proc/self/fd/", digits[12] = "";
    int used = 0;
    if (descriptor < 0)
        return false;
    do
        digits[used++] = (char)('0' + descriptor % 10);
    while (descriptor /= 10);
    for (size_t end = strlen(link); used; link[end] = 0)
        link[end++] = digits[--used];
    ssize_t length = readlink(link, path, PATH - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* Takes apart which argument says what is changed. False: nothing of a file is. */
static bool find_path(struct call *c, char path[PATH])
{
    const long *a = c->argument;
    const char *named = NULL;
    switch (c->number) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
        c->writes = true;
        return path_of_descriptor((int)a[0], path);
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_ftruncate:
        return path_of_descriptor((int)a[0], path);
    case SYS_openat:
        c->creates = a[2] & (O_CREAT | O_TRUNC);
        named = c->creates ? (const char *)a[1] : NULL;
        break;
    case SYS_mkdirat:
        c->creates = true;
        named = (const char *)a[1];
        break;
    case SYS_unlinkat:
        named = (const char *)a[1];
        break;
    case SYS_renameat:
    case SYS_renameat2:
        named = (const char *)a[3];
        break;
#ifdef SYS_open
    case SYS_open:
        c->creates = a[1] & (O_CREAT | O_TRUNC);
        named = c->creates ? (const char *)a[0] : NULL;
        break;
    case SYS_mkdir:
        c->creates = true;
        named = (const char *)a[0];
        break;
    case SYS_unlink:
        named = (const char *)a[0];
        break;
    case SYS_rename:
        named = (const char *)a[1];
        break;
#endif
    }
    if (!named)
        return false;
    strncpy(path, named, PATH - 1);
    path[PATH - 1] = 0;
    return true;
}

/* --- what is on the disk --- */

static struct written *written_of(int descriptor, const struct stat *s)
{
    for (int i = 0; i < state.files; i++)
        if (state.written[i].device == s->st_dev && state.written[i].number == s->st_ino)
            return &state.written[i];
    if (state.files == FILES)
        return NULL;
    state.written[state.files] =
        (struct written){s->st_dev, s->st_ino, fcntl(descriptor, F_DUPFD_CLOEXEC, 100), s->st_size};
    return &state.written[state.files++];
}

/* Before a write its file is known as it is; after a sync all of it is on the disk. */
static void follow(const struct call *c)
{
    struct stat s;
    bool syncs = c->number == SYS_fsync || c->number == SYS_fdatasync;
    if (!(c->writes || syncs) || fstat((int)c->argument[0], &s) || !S_ISREG(s.st_mode))
        return;
    struct written *w = written_of((int)c->argument[0], &s);
    if (w && syncs)
        w->synced = s.st_size;
}

static void cut_power(void)
{
    for (int i = 0; i < state.files; i++) {
        const struct written *w = &state.written[i];
        struct stat s;
        if (!fstat(w->descriptor, &s) && s.st_size > w->synced)
            faulty_call(SYS_ftruncate, w->descriptor, w->synced, 0, 0, 0, 0);
    }
}

/* --- what happens --- */

static void die_now(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The write's bytes, in one piece; of a writev the first piece. */
static long write_part(const struct call *c, size_t part, size_t of, bool flip)
{
    static char copy[1 << 20];
    const char *from = (const char *)c->argument[1];
    size_t bytes = (size_t)c->argument[2];
    if (c->number == SYS_writev) {
        const struct iovec *piece = (const struct iovec *)c->argument[1];
        while (piece->iov_len == 0)
            piece++;
        from = piece->iov_base;
        bytes = piece->iov_len;
    }
    bytes = bytes * part / of;
    if (bytes > sizeof copy)
        bytes = sizeof copy;
    memcpy(copy, from, bytes);
    if (flip && bytes)
        copy[bytes / 2] ^= 4;
    return c->number == SYS_pwrite64
               ? faulty_call(SYS_pwrite64, c->argument[0], (long)copy, (long)bytes, c->argument[3],
                             0, 0)
               : faulty_call(SYS_write, c->argument[0], (long)copy, (long)bytes, 0, 0, 0);
}

static long strike(const struct call *c)
{
    switch (state.kind) {
    case FAULTY_POWER:
        cut_power();
        die_now();
        break;
    case FAULTY_TORN:
        if (c->writes)
            write_part(c, 1, 2, false);
        die_now();
        break;
    case FAULTY_KILL:
        die_now();
        break;
    case FAULTY_EIO:
        return -EIO;
    case FAULTY_SHORT:
        return c->writes && c->argument[2] > 1 ? write_part(c, 1, 2, false) : pass(c);
    case FAULTY_FLIP:
        return c->writes ? write_part(c, 1, 1, true) : pass(c);
    case FAULTY_SLOW:
        faulty_call(SYS_nanosleep, (long)&(struct timespec){.tv_sec = SLOW_S}, 0, 0, 0, 0, 0);
        break;
    default:
        break;
    }
    return pass(c);
}

static bool fills_disk(const struct call *c)
{
    return c->writes || c->creates || c->number == SYS_fsync || c->number == SYS_fdatasync;
}

static void write_log(const struct call *c, const char *path)
{
    const char *what = c->writes                                              ? "write "
                       : c->creates                                           ? "create "
                       : c->number == SYS_fsync || c->number == SYS_fdatasync ? "sync "
                                                                              : "change ";
    char line[PATH + 10];
    size_t used = strlen(what), length = strlen(path);
    if (state.log < 0)
        return;
    memcpy(line, what, used);
    memcpy(line + used, path, length);
    line[used + length] = '\n';
    faulty_call(SYS_write, state.log, (long)line, (long)(used + length + 1), 0, 0, 0);
}

static long meet(struct call *c)
{
    char path[PATH];
    if (!find_path(c, path) || !strstr(path, state.file))
        return pass(c);
    int64_t number = __atomic_add_fetch(state.count, 1, __ATOMIC_RELAXED);
    write_log(c, path);
    if (state.kind == FAULTY_FULL && number >= state.at)
        return fills_disk(c) ? -ENOSPC : pass(c);
    long result = 0;
    if (c->writes)
        follow(c);
    result = number == state.at ? strike(c) : pass(c);
    if (!c->writes && result >= 0)
        follow(c);
    return result;
}

/* --- catching --- */

static void handle(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    struct call c = {.number = info->si_syscall};
    int error = errno;
    (void)signal;
#if defined __x86_64__
    greg_t *r = u->uc_mcontext.gregs;
    static const int place[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    for (int i = 0; i < 6; i++)
        c.argument[i] = (long)r[place[i]];
    r[REG_RAX] = meet(&c);
#elif defined __aarch64__
    for (int i = 0; i < 6; i++)
        c.argument[i] = (long)u->uc_mcontext.regs[i];
    u->uc_mcontext.regs[0] = (unsigned long long)meet(&c);
#endif
    errno = error;
}

#ifdef ARCHITECTURE
static const int caught[] = {
    SYS_write,  SYS_pwrite64, SYS_writev,   SYS_fsync,    SYS_fdatasync, SYS_ftruncate,
    SYS_openat, SYS_mkdirat,  SYS_unlinkat, SYS_renameat, SYS_renameat2,
#ifdef SYS_open
    SYS_open,   SYS_mkdir,    SYS_unlink,   SYS_rename,
#endif
};

/* Calls of that list trap, but those that faulty_call() makes. */
static bool install(void)
{
    enum { CALLS = sizeof caught / sizeof *caught };
    struct sock_filter code[16 + CALLS];
    const uint64_t passes = (uint64_t)(uintptr_t)faulty_called;
    size_t n = 0;
    const uint32_t ip = offsetof(struct seccomp_data, instruction_pointer);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip);
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)passes, 0, 3);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + 4);
    code[n++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(passes >> 32), 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)caught[i],
                                                 (uint8_t)(CALLS - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    const struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#else
static bool install(void)
{
    return false;
}
#endif

bool faulty_begin(enum faulty_kind kind, const char *file, int64_t at, int64_t *count)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
    state.kind = kind;
    state.at = at;
    state.count = count ? count : &state.own;
    strncpy(state.file, file, sizeof state.file - 1);
    return !sigaction(SIGSYS, &action, NULL) && install();
}

/* Preloaded: a thread that blocks the filter's signal would be killed by it. */
#if defined __PIC__ && !defined __PIE__
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t without;
    if (set && how != SIG_UNBLOCK) {
        without = *set;
        sigdelset(&without, SIGSYS);
        set = &without;
    }
    return syscall(SYS_rt_sigprocmask, how, set, old, _NSIG / 8) ? errno : 0;
}
#endif

__attribute__((constructor)) static void begin_by_environment(void)
{
    static const char *const kinds[] = {"none", "kill",  "torn", "power", "full",
                                        "eio",  "short", "flip", "slow"};
    const char *kind = getenv("FAULTY"), *at = getenv("FAULTY_AT"), *file = getenv("FAULTY_FILE"),
               *log = getenv("FAULTY_LOG");
    if (!kind || !file)
        return;
    if (log)
        state.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kind, kinds[i]) &&
            !faulty_begin((enum faulty_kind)i, file, at ? atoll(at) : 0, NULL))
            _exit(77);
}
