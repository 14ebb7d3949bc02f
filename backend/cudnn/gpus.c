/* Which GPUs of this machine run our kernels, and why none does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"

enum { MOST_GPUS = 64 };

struct gpus {
    int count, seen; /* of those that can be used; of those that CUDA shows */
    int gpu[MOST_GPUS];
    int old;                  /* one that is too old, where seen > count */
    int old_major, old_minor; /* its compute capability */
    cudaError_t error;        /* of the search */
};

static bool capability(int gpu, int *major, int *minor)
{
    return cudaDeviceGetAttribute(major, cudaDevAttrComputeCapabilityMajor, gpu) == cudaSuccess &&
           cudaDeviceGetAttribute(minor, cudaDevAttrComputeCapabilityMinor, gpu) == cudaSuccess;
}

/* A GPU that our kernels were not compiled for is passed over; it hides no other. */
static struct gpus find_gpus(void)
{
    struct gpus g = {.count = 0};
    g.error = cudaGetDeviceCount(&g.seen);
    if (g.error != cudaSuccess)
        g.seen = 0;
    for (int i = 0; i < g.seen && g.count < MOST_GPUS; i++) {
        int major = 0, minor = 0;
        if (capability(i, &major, &minor) && 10 * major + minor >= CUDA_ARCH) {
            g.gpu[g.count++] = i;
            continue;
        }
        g.old = i;
        g.old_major = major;
        g.old_minor = minor;
    }
    (void)cudaGetLastError(); /* an answer, and no call's failure */
    return g;
}

void cuda_name(int gpu, char *text, size_t size)
{
    struct cudaDeviceProp properties;
    CUDA(cudaGetDeviceProperties(&properties, gpu));
    snprintf(text, size, "%s", properties.name);
}

bool cuda_has(enum backend_dtype dtype)
{
    (void)dtype; /* all that CUDA_ARCH allows have both */
    return find_gpus().count > 0;
}

bool cuda_explain_files(const char *folder, char *text, size_t size)
{
    static const char *const names[] = {"nvidiactl", "nvidia0", "nvidia-uvm"};
    char path[200];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%.100s/%s", folder, names[i]);
        if (!access(path, R_OK | W_OK))
            continue;
        if (errno == ENOENT)
            snprintf(text, size,
                     "no CUDA device is found: there is no %s; a container wants --gpus all, a "
                     "Slurm job --gpus=1",
                     path);
        else
            snprintf(text, size,
                     "no CUDA device is found: %s may not be opened (%s); ask for access to it",
                     path, strerror(errno));
        return true;
    }
    return false;
}

void cuda_why_not(enum backend_dtype dtype, char *text, size_t size)
{
    const struct gpus g = find_gpus();
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char name[256];
    int driver = 0, runtime = 0;
    (void)dtype;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (g.seen > 0) {
        cuda_name(g.old, name, sizeof name);
        snprintf(text, size,
                 "no CUDA device is new enough: %s has compute capability %d.%d, this program's "
                 "kernels want %d.%d (make CUDA_ARCH=...)",
                 name, g.old_major, g.old_minor, CUDA_ARCH / 10, CUDA_ARCH % 10);
    } else if (driver == 0) {
        snprintf(text, size,
                 "no CUDA device is found: the NVIDIA driver is missing; install it, until "
                 "nvidia-smi lists the GPUs");
    } else if (g.error == cudaErrorInsufficientDriver) {
        snprintf(text, size,
                 "no CUDA device is found: the NVIDIA driver is for CUDA %d.%d, this program wants "
                 "%d.%d; update the driver",
                 driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    } else if (visible && (!*visible || *visible == '-')) {
        snprintf(text, size,
                 "no CUDA device is found: CUDA_VISIBLE_DEVICES='%.100s' hides them; unset it",
                 visible);
    } else if (!cuda_explain_files("/dev", text, size)) {
        bool none = g.error == cudaSuccess || g.error == cudaErrorNoDevice;
        int used = snprintf(text, size, "no CUDA device is found (%s)",
                            none ? "the driver shows none" : cudaGetErrorString(g.error));
        if (visible && none && used > 0 && (size_t)used < size)
            snprintf(text + used, size - (size_t)used,
                     ": is that of CUDA_VISIBLE_DEVICES='%.100s' one that nvidia-smi -L lists?",
                     visible);
    }
}

void cuda_version(char *text, size_t size)
{
    const struct gpus g = find_gpus();
    int runtime = 0;
    char cudnn[64], name[256] = "no device";
    cudaRuntimeGetVersion(&runtime);
    planner_version(cudnn, sizeof cudnn);
    if (g.count > 0)
        cuda_name(g.gpu[0], name, sizeof name);
    int used = snprintf(text, size, "CUDA %d.%d, %s, %s", runtime / 1000, runtime % 1000 / 10,
                        cudnn, name);
    if (g.count > 1 && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, " x %d", g.count);
}

int cuda_choose(int number)
{
    const struct gpus g = find_gpus();
    CHECK(g.count > 0, "no CUDA device");
    int gpu = g.gpu[number % g.count];
    CUDA(cudaInitDevice(gpu, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid));
    CUDA(cudaSetDevice(gpu));
    return gpu;
}
