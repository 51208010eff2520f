// What the rungs of the layer norm ladder share: y = (x - mean) rstd weight + bias over rows, and its gradients. rms_norm has no mean.
//
// Backward, with xhat = (x - mean) rstd and gw = g weight:
//   dx = rstd (gw - mean(gw) - xhat mean(gw xhat)),  dweight = sum over rows of g xhat,  dbias = sum over rows of g.
// Sums run in float (double for double) around the row's first element, so that a large mean costs no digits.
#pragma once
#include <cmath>

#include "../../core/registry.h"
#include "../../device/element.cuh"
#include "../../device/moments.cuh"

namespace tg::layer_norm {

using device::Wide;

template <class T> struct Rows {
    T* y;
    double *mean, *rstd;  // no mean: rms_norm
    const T* x;
    device::Parameter<T> weight, bias;
    int64_t rows;
    int n;
    double eps;
    bool packed;  // all of these may be moved 16 bytes at a time
};

template <class T> struct Gradients {
    T* dx;  // may be missing, as may the others
    device::WrittenParameter<T> dweight, dbias;
    double* partial;  // (chunks, 2, n)
    const T *g, *x;
    device::Parameter<T> weight;
    const double *mean, *rstd;
    int64_t rows;
    int n, chunks;
    bool packed;  // dx, g, x and weight may be moved 16 bytes at a time

    __device__ Wide<T> xhat(int64_t row, int i) const {
        const device::Split<Wide<T>> m(mean ? mean[row] : 0);
        return ((static_cast<Wide<T>>(x[row * n + i]) - m.high) - m.low) * Wide<T>(rstd[row]);
    }
    __device__ Wide<T> gw(int64_t row, int i) const {
        const auto value = static_cast<Wide<T>>(g[row * n + i]);
        return weight ? value * weight[i] : value;
    }
};

template <class A> struct Sums {  // over a row, of gw and of gw xhat
    A total, dot;
};
struct AddSums {
    template <class A> __device__ Sums<A> operator()(Sums<A> a, Sums<A> b) const { return {a.total + b.total, a.dot + b.dot}; }
};

// Merged over the threads of a row: a warp, or the block.
template <int ROW, class V, class Merge> __device__ V of_row(V value, V nothing, Merge merge) {
    if constexpr (ROW == 32) return device::warp_reduce(value, merge);
    else return device::block_reduce(value, nothing, merge);
}

constexpr int COLUMNS = 256;

// The last step of dweight and dbias: the lines of partial sums, one after the other.
template <class T> __global__ void __launch_bounds__(COLUMNS) layer_norm_backward_columns(const __grid_constant__ Gradients<T> r) {
    const int i = blockIdx.x * COLUMNS + threadIdx.x;
    if (i >= r.n) return;
    double dweight = 0, dbias = 0;
    for (int64_t chunk = 0; chunk < r.chunks; ++chunk) {
        dweight += r.partial[chunk * 2 * r.n + i];
        dbias += r.partial[(chunk * 2 + 1) * r.n + i];
    }
    r.dweight.store(i, Wide<T>(dweight));
    r.dbias.store(i, Wide<T>(dbias));
}

template <class T> void add_lines(const Gradients<T>& r) {
    launch(layer_norm_backward_columns<T>, device::blocks_for(r.n, COLUMNS), COLUMNS, 0, current_stream, r);
}

template <class Rung> void layer_norm(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        bool packed = x.shape[1] % device::PACK<T> == 0;
        for (const Array* a : {&x, static_cast<const Array*>(&y), &weight, &bias}) packed = packed && device::aligned_16(a->data);
        Rung::template solve<T>(Rows<T>{y.ptr<T>(), mean.ptr<double>(), rstd.ptr<double>(), x.ptr<T>(), device::Parameter<T>(weight),
                                        device::Parameter<T>(bias), x.shape[0], device::length_of(x.shape[1], "a row"), eps, packed});
    });
}

template <class Rung> void rms_norm(Array& y, Array& rstd, const Array& x, const Array& weight, double eps) {
    Array none;
    layer_norm<Rung>(y, none, rstd, x, weight, none, eps);
}

template <class Rung> void norm_backward(Array& dx, Array& dweight, Array& dbias, Array& partial, const Array& g, const Array& x, const Array& weight,
                                         const Array& mean, const Array& rstd) {
    if (x.shape[1] == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        bool packed = x.shape[1] % device::PACK<T> == 0;
        for (const Array* a : {&x, &g, static_cast<const Array*>(&dx), &weight}) packed = packed && device::aligned_16(a->data);
        Rung::template solve<T>(Gradients<T>{dx.ptr<T>(), device::WrittenParameter<T>(dweight), device::WrittenParameter<T>(dbias),
                                             partial.ptr<double>(), g.ptr<T>(), x.ptr<T>(), device::Parameter<T>(weight), mean.ptr<double>(),
                                             rstd.ptr<double>(), x.shape[0], device::length_of(x.shape[1], "a row"), int(partial.shape[0]), packed});
    });
}

#define LAYER_NORM_RUNG(path, Rung)                                        \
    TG_KERNEL(layer_norm, path, device::FLOATS, layer_norm<Rung>)          \
    TG_KERNEL(rms_norm, path, device::FLOATS, rms_norm<Rung>)              \
    TG_KERNEL(norm_backward, path, device::FLOATS, norm_backward<Rung>)

}  // namespace tg::layer_norm
