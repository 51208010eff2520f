// The idea: the product of two picked rows is one warp's: lanes walk the columns together, then merge their sums by shuffles.
// Before it: nothing. It is the gradient of a scale that add_rows multiplies rows by.
// Ownership: warp w owns product w, then those a whole grid further on; lane l owns the columns l, l + 32, ...
// Bottleneck: bandwidth of memory; rows shorter than a warp leave lanes without work.
// Measure: python -m pytest tests/test_lab.py -k row_dots; its operands are arrays, which the command line does not make
#include "../../device/reduce.cuh"
#include "places.h"

namespace tg::indexing {

template <class T> __global__ void __launch_bounds__(THREADS)
    row_dots(T* out, const T* a, const T* b, const int64_t* ia, const int64_t* ib, int64_t count, int64_t columns) {
    const int lane = threadIdx.x % 32;
    for (int64_t p = first_item() / 32; p < count; p += items_at_once() / 32) {
        const T *x = a + ia[p] * columns, *y = b + ib[p] * columns;
        Sum<T> sum = 0;
        for (int64_t i = lane; i < columns; i += 32) sum += widened(x[i]) * widened(y[i]);
        sum = device::warp_reduce(sum, device::Sum<Sum<T>>{});
        if (lane == 0) out[p] = rounded<T>(sum);
    }
}

void all_row_dots(Array& out, const Array& a, const Array& b, const Array& ia, const Array& ib) {
    if (out.size() == 0) return;
    device::by_dtype(a.dtype, [&]<class T>() {
        launch(row_dots<T>, blocks_for(out.size() * 32), THREADS, 0, current_stream, out.ptr<T>(), a.ptr<const T>(), b.ptr<const T>(),
               ia.ptr<const int64_t>(), ib.ptr<const int64_t>(), out.size(), a.shape[1]);
    });
}

TG_KERNEL(row_dots, "cuda/row_dots", FLOATS, all_row_dots)

}  // namespace tg::indexing
