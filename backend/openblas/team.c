/* The backend's one parallel region. */
#include "backend/openblas/team.h"

#include <omp.h>

#include "backend/blas.h"
#include "base/check.h"

void team_run(int threads, team_work *work, const void *call)
{
#pragma omp parallel num_threads(threads)
    {
        CHECK(omp_get_thread_num() > 0 || omp_get_num_threads() == threads,
              "OpenMP gave %d threads where %d were asked for; unset OMP_DYNAMIC and "
              "OMP_THREAD_LIMIT",
              omp_get_num_threads(), threads);
        blas_stay();
        work(call, omp_get_thread_num());
    }
}
