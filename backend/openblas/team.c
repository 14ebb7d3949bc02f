/* The backend's one parallel region. */
#include "backend/openblas/team.h"

#include <omp.h>

#include "base/check.h"

void team_run(int threads, team_work *work, const void *call)
{
#pragma omp parallel num_threads(threads)
    {
        CHECK(omp_get_thread_num() > 0 || omp_get_num_threads() == threads,
              "OpenMP gave %d threads where %d were asked for; unset OMP_DYNAMIC and OMP_THREAD_LIMIT", omp_get_num_threads(), threads);
        omp_set_num_threads(1); /* of regions within this one: OpenBLAS' OpenMP build opens none then, even where `threads` is 1 */
        work(call, omp_get_thread_num());
    }
}
