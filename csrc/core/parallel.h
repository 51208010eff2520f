// Sharing rows of work among OpenMP threads, only where it pays.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace tg {

constexpr int64_t PARALLEL_FROM = 1 << 16;  // elements: waking a sleeping thread costs about as much as touching these

// Calls f(begin, end) for parts of [0, n) that cover it. One call here for small `work` (about how many elements are touched);
// else one call per thread. A part's rows must not depend on how the range was cut, so that any thread count gives the same result.
template <class F> void parallel_ranges(int64_t n, int64_t work, F&& f) {
    if (n <= 0) return;
    const int threads = int(std::min<int64_t>(omp_get_max_threads(), n));
    if (threads == 1 || work < PARALLEL_FROM || omp_in_parallel()) {
        f(int64_t(0), n);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        const int64_t count = omp_get_num_threads(), t = omp_get_thread_num();
        const int64_t begin = n * t / count, end = n * (t + 1) / count;
        if (begin < end) f(begin, end);
    }
}

}  // namespace tg
