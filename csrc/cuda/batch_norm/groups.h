// What the rungs of the batch norm ladder share. x is (N, C, S); a group is the set of elements that share a mean and a variance:
// for batch_norm the N S elements of a channel, for group_norm (and instance_norm) the C / G channels of a sample and a group.
//
//   y = (x - mean) rstd weight[c] + bias[c]
//   dx = rstd (gw - mean(gw) - xhat mean(gw xhat)),  gw = g weight[c];  dweight[c] = sum of g xhat,  dbias[c] = sum of g
// Statistics run in float (double for double) around the group's first element, so that a large mean costs no digits.
#pragma once
#include <cmath>

#include "../../core/registry.h"
#include "../../device/element.cuh"
#include "../../device/moments.cuh"

namespace tg::batch_norm {

using device::Wide;

struct Shape {
    int64_t N, C, S;
    int64_t per;  // channels of a group of group_norm; 0: batch_norm
    int64_t groups;
    int count;  // elements of a group

    // Where element i of a group lies, and its channel.
    __device__ int64_t at(int64_t group, int i) const { return per ? group * count + i : (i / S * C + group) * S + i % S; }
    __device__ int64_t channel(int64_t group, int i) const { return per ? group * per % C + i / S : group; }
};

template <class T> struct Forward {
    Shape shape;
    T* y;
    double *mean, *rstd;
    device::WrittenParameter<T> running_mean, running_var;
    const T* x;
    device::Parameter<T> weight, bias;
    bool training;
    double momentum, eps;

    // What one thread of a group writes once its statistics are known.
    __device__ void keep(int64_t group, double mean_, double variance) const {
        mean[group] = mean_;
        rstd[group] = 1 / std::sqrt(variance + eps);
        const double n = double(shape.count);
        const auto move = [&](const device::WrittenParameter<T>& running, double value) {
            if (running) running.store(group, Wide<T>((1 - momentum) * double(running[group]) + momentum * value));
        };
        move(running_mean, mean_);
        move(running_var, variance * (n / (n - 1)));
    }

    __device__ void write(int64_t group, int thread, int threads, double mean_, Wide<T> rstd_) const {
        for (int i = thread; i < shape.count; i += threads)
            write_one(shape.at(group, i), shape.channel(group, i), device::Split<Wide<T>>(mean_), rstd_);
    }
    __device__ void write_one(int64_t at, int64_t c, device::Split<Wide<T>> m, Wide<T> rstd_) const {
        Wide<T> v = ((static_cast<Wide<T>>(x[at]) - m.high) - m.low) * rstd_;
        if (weight) v *= weight[c];
        if (bias) v += bias[c];
        y[at] = static_cast<T>(v);
    }
};

template <class A> struct Pair {  // sums over a group, of gw and of gw xhat
    A total, dot;
};
struct AddPairs {
    template <class A> __device__ Pair<A> operator()(const Pair<A>& a, const Pair<A>& b) const { return {a.total + b.total, a.dot + b.dot}; }
};

template <class T> struct Backward {
    Shape shape;
    T* dx;  // may be missing, as may the others
    device::WrittenParameter<T> dweight, dbias;
    const T *g, *x;
    device::Parameter<T> weight;
    const double *mean, *rstd;
    bool training;
    double* partial = nullptr;  // (2, N, C), of group_norm: the sums of g xhat and of g over a channel of a sample

    __device__ Wide<T> xhat(int64_t group, int64_t at) const {
        const device::Split<Wide<T>> m(mean[group]);
        return ((static_cast<Wide<T>>(x[at]) - m.high) - m.low) * Wide<T>(rstd[group]);
    }
    // gw; where a group is a channel its weight is a factor of everything, and stays out of the sums.
    __device__ Wide<T> gradient(int64_t at, int64_t group, int i) const {
        const auto value = static_cast<Wide<T>>(g[at]);
        return shape.per ? value * weight_of(shape.channel(group, i)) : value;
    }
    __device__ Wide<T> weight_of(int64_t c) const { return weight ? weight[c] : Wide<T>(1); }

    // The sums of g and g xhat over a channel: of a sample for group_norm, else of the batch.
    __device__ void leave(int64_t sample, int64_t c, const Pair<Wide<T>>& sums) const {
        if (!shape.per) {
            dweight.store(c, sums.dot);
            dbias.store(c, sums.total);
        } else if (dweight || dbias) {
            partial[sample * shape.C + c] = double(sums.dot);
            partial[(shape.N + sample) * shape.C + c] = double(sums.total);
        }
    }
};

constexpr int THREADS = 256;
constexpr int MOST_THREADS = 512, LARGEST_CLUSTER = 8;  // of a block of a cluster; larger clusters than 8 are not on every chip
constexpr int64_t CLUSTER_ROOM = 112 * 1024;             // bytes that such a block of v04 keeps: there are two on a multiprocessor

// A block per group. `Rung::statistics` and `Rung::sums` say how a group is summed: that is what the rungs differ in.
template <class Rung, class T> __global__ void __launch_bounds__(THREADS) norm_groups(const __grid_constant__ Forward<T> p) {
    using A = Wide<T>;
    const int64_t group = blockIdx.x;
    const A shift = static_cast<A>(p.x[p.shape.at(group, 0)]);
    const auto moments = Rung::template statistics<T>(p, group, shift);
    const double mean = double(shift) + double(moments.mean);
    if (threadIdx.x == 0) p.keep(group, mean, double(moments.variance()));
    p.write(group, threadIdx.x, THREADS, mean, A(1) / std::sqrt(moments.variance() + A(p.eps)));
}

template <class Rung, class T> __global__ void __launch_bounds__(THREADS, 1) norm_groups_backward(const __grid_constant__ Backward<T> p) {
    using A = Wide<T>;
    const int64_t group = blockIdx.x;
    const A rstd = A(p.rstd[group]), n = A(p.shape.count);
    Pair<A> sums{A(0), A(0)};
    if (p.training || p.dweight || p.dbias) sums = Rung::template sums<T>(p, group);
    if (!p.shape.per && threadIdx.x == 0) {  // a channel is a group, and its weight was left out
        p.dweight.store(group, sums.dot);
        p.dbias.store(group, sums.total);
    }
    if (!p.dx) return;
    for (int i = threadIdx.x; i < p.shape.count; i += THREADS) {
        const int64_t at = p.shape.at(group, i);
        A v = p.gradient(at, group, i);
        if (p.training) v -= sums.total / n + p.xhat(group, at) * (sums.dot / n);
        p.dx[at] = static_cast<T>(v * (p.shape.per ? rstd : rstd * p.weight_of(group)));
    }
}

// Inference: a thread per element.
template <class T> __global__ void __launch_bounds__(THREADS) norm_inference(const __grid_constant__ Forward<T> p) {
    const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= p.shape.N * p.shape.C * p.shape.S) return;
    const int64_t c = at / p.shape.S % p.shape.C;
    p.write_one(at, c, device::Split<Wide<T>>(p.mean[c]), Wide<T>(p.rstd[c]));
}

// dweight and dbias where a channel belongs to N groups: a block per channel.
template <class T> __global__ void __launch_bounds__(THREADS) norm_channels_backward(const __grid_constant__ Backward<T> p) {
    using A = Wide<T>;
    const Shape& s = p.shape;
    const int64_t c = blockIdx.x;
    A dweight = 0, dbias = 0;
    for (int64_t i = threadIdx.x; i < s.N * s.S; i += THREADS) {
        const int64_t sample = i / s.S, at = (sample * s.C + c) * s.S + i % s.S;
        const A g = static_cast<A>(p.g[at]);
        dweight += g * p.xhat(sample * (s.C / s.per) + c / s.per, at);
        dbias += g;
    }
    dweight = device::block_reduce(dweight, A(0), device::Sum<A>{});
    dbias = device::block_reduce(dbias, A(0), device::Sum<A>{});
    if (threadIdx.x != 0) return;
    p.dweight.store(c, dweight);
    p.dbias.store(c, dbias);
}

// dweight and dbias of group_norm: the sums of a channel in each sample, one after the other.
template <class T> __global__ void __launch_bounds__(THREADS) norm_samples_add(const __grid_constant__ Backward<T> p) {
    const int64_t c = int64_t(blockIdx.x) * THREADS + threadIdx.x, all = p.shape.N * p.shape.C;
    if (c >= p.shape.C) return;
    double dweight = 0, dbias = 0;
    for (int64_t at = c; at < all; at += p.shape.C) {
        dweight += p.partial[at];
        dbias += p.partial[all + at];
    }
    p.dweight.store(c, Wide<T>(dweight));
    p.dbias.store(c, Wide<T>(dbias));
}

template <class T> void add_samples(const Backward<T>& p) {
    if (p.shape.per && (p.dweight || p.dbias)) launch(norm_samples_add<T>, device::blocks_for(p.shape.C, THREADS), THREADS, 0, current_stream, p);
}

template <class Rung> struct Launched {
    template <class T> static void solve(const Forward<T>& p) {
        if (p.training) launch(norm_groups<Rung, T>, device::blocks_for(p.shape.groups, 1), THREADS, 0, current_stream, p);
        else launch(norm_inference<T>, device::blocks_for(p.shape.N * p.shape.C * p.shape.S, THREADS), THREADS, 0, current_stream, p);
    }
    template <class T> static void solve(const Backward<T>& p) {
        launch(norm_groups_backward<Rung, T>, device::blocks_for(p.shape.groups, 1), THREADS, 0, current_stream, p);
        if (p.shape.per && (p.dweight || p.dbias))
            launch(norm_channels_backward<T>, device::blocks_for(p.shape.C, 1), THREADS, 0, current_stream, p);
    }
};

// f.operator()<W>() for packs of 16 bytes, or for single elements where rows of this length at these addresses are not made of packs.
template <class T, class F> void by_width(int64_t length, std::initializer_list<const void*> pointers, F&& f) {
    bool packed = length % device::PACK<T> == 0;
    for (const void* p : pointers) packed = packed && device::aligned_16(p);
    if (packed) f.template operator()<device::PACK<T>>();
    else f.template operator()<1>();
}

// Of planes (N, C, S) or of rows (N S, C), where batch_norm need not know N.
inline Shape shape_of(const Array& x, int64_t per, int64_t samples = 1) {
    const bool planes = x.ndim == 3;
    Shape s{planes ? x.shape[0] : samples, x.shape[1], planes ? x.shape[2] : x.shape[0] / samples, per, 0, 0};
    s.groups = per ? s.N * (s.C / per) : s.C;
    s.count = device::length_of(per ? per * s.S : s.N * s.S, "a group");
    return s;
}

template <class Solver> void batch_norm(Array& y, Array& mean, Array& rstd, Array& running_mean, Array& running_var, const Array& x, const Array& weight,
                                      const Array& bias, int64_t training, double momentum, double eps) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        Solver::template solve<T>(Forward<T>{shape_of(x, 0), y.ptr<T>(), mean.ptr<double>(), rstd.ptr<double>(),
                                           device::WrittenParameter<T>(running_mean), device::WrittenParameter<T>(running_var), x.ptr<T>(),
                                           device::Parameter<T>(weight), device::Parameter<T>(bias), training != 0, momentum, eps});
    });
}

template <class Solver> void group_norm(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        const device::WrittenParameter<T> none{Array()};
        Solver::template solve<T>(Forward<T>{shape_of(x, x.shape[1] / mean.shape[1], mean.shape[0]), y.ptr<T>(), mean.ptr<double>(), rstd.ptr<double>(), none, none,
                                           x.ptr<T>(), device::Parameter<T>(weight), device::Parameter<T>(bias), true, 0, eps});
    });
}

template <class Solver> void batch_norm_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight,
                                               const Array& mean, const Array& rstd, int64_t training) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        Solver::template solve<T>(Backward<T>{shape_of(x, 0), dx.ptr<T>(), device::WrittenParameter<T>(dweight), device::WrittenParameter<T>(dbias),
                                            g.ptr<T>(), x.ptr<T>(), device::Parameter<T>(weight), mean.ptr<double>(), rstd.ptr<double>(),
                                            training != 0});
    });
}

template <class Solver> void group_norm_backward(Array& dx, Array& dweight, Array& dbias, Array& partial, const Array& g, const Array& x,
                                               const Array& weight, const Array& mean, const Array& rstd) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        Solver::template solve<T>(Backward<T>{shape_of(x, x.shape[1] / mean.shape[1], mean.shape[0]), dx.ptr<T>(), device::WrittenParameter<T>(dweight),
                                            device::WrittenParameter<T>(dbias), g.ptr<T>(), x.ptr<T>(),
                                            device::Parameter<T>(weight), mean.ptr<double>(), rstd.ptr<double>(), true, partial.ptr<double>()});
    });
}

// `solve` of a Solver takes a Forward or a Backward; chips may follow.
#define BATCH_NORM_RUNG(path, Solver, ...)                                                                             \
    TG_KERNEL(batch_norm, path, device::FLOATS, batch_norm<Solver> __VA_OPT__(, ) __VA_ARGS__)                         \
    TG_KERNEL(batch_norm_backward, path, device::FLOATS, batch_norm_backward<Solver> __VA_OPT__(, ) __VA_ARGS__)       \
    TG_KERNEL(group_norm, path, device::FLOATS, group_norm<Solver> __VA_OPT__(, ) __VA_ARGS__)                         \
    TG_KERNEL(group_norm_backward, path, device::FLOATS, group_norm_backward<Solver> __VA_OPT__(, ) __VA_ARGS__)

}  // namespace tg::batch_norm
