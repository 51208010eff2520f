// The idea: the norm of all gradients, and their scaling by it, in three launches for any number of them; the norm never leaves the GPU.
// Before it (v01_multi_tensor): the same table and chunks, for what every parameter has alone. A norm is of all of them together.
// Ownership: a block has a chunk and leaves its sum in the caller's workspace; one block adds those up, in an order that sizes alone decide.
// Bottleneck: bandwidth of memory: gradients are read for the norm, and read and written where they are scaled.
// Measure: python -m tensorgrad lab total_norm --kernel cuda/clip --shape [4099,100x3]
#include "../../device/reduce.cuh"
#include "table.h"

namespace tg::optimizer {

constexpr int CHUNK = 8192;  // elements, of any dtype; tensorgrad/ops/total_norm.py makes a workspace of so many sums

enum class Norm { euclidean, largest, taxicab, general };

struct Merge {  // of sums, or of maxima: not a number wins
    bool largest;
    __device__ double operator()(double a, double b) const { return !largest ? a + b : a != a || a > b ? a : b; }
};

// |x|^p, or |x| where the largest is asked for. In double: the square of a large float is no float.
__device__ inline double term(double x, Norm norm, double p) {
    if (norm == Norm::euclidean) return x * x;
    x = fabs(x);
    return norm == Norm::general ? pow(x, p) : x;
}

template <class T> __global__ void __launch_bounds__(THREADS)
    chunk_norms(double* parts, const __grid_constant__ Table<1> table, Norm norm, double p) {
    const Chunk chunk = chunk_of<CHUNK>(table);
    const T* x = static_cast<const T*>(table.at[0][chunk.entry]) + chunk.begin;
    const Merge merge{norm == Norm::largest};
    double sum = 0;
    const int packs = table.packed[chunk.entry] ? chunk.length / device::PACK<T> : 0;
    for (int pack = int(threadIdx.x); pack < packs; pack += THREADS) {
        Wide<T> v[device::PACK<T>];
        device::load_pack(v, x + pack * device::PACK<T>);
#pragma unroll
        for (int i = 0; i < device::PACK<T>; ++i) sum = merge(sum, term(double(v[i]), norm, p));
    }
    for (int i = packs * device::PACK<T> + int(threadIdx.x); i < chunk.length; i += THREADS)
        sum = merge(sum, term(double(static_cast<Wide<T>>(x[i])), norm, p));
    sum = device::block_reduce(sum, 0.0, merge);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class T> __global__ void __launch_bounds__(THREADS) whole_norm(T* total, const double* parts, int64_t count, Norm norm, double p) {
    const Merge merge{norm == Norm::largest};
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) sum = merge(sum, parts[i]);
    sum = device::block_reduce(sum, 0.0, merge);
    if (norm == Norm::euclidean) sum = sqrt(sum);
    if (norm == Norm::general) sum = pow(sum, 1 / p);
    if (threadIdx.x == 0) *total = static_cast<T>(static_cast<Wide<T>>(sum));
}

// total (): the norm; parts (chunks of all arrays): memory to work in.
void total_norm(Array& total, Array& parts, const Arrays& x, double p) {
    const Norm norm = p == 2 ? Norm::euclidean : std::isinf(p) ? Norm::largest : p == 1 ? Norm::taxicab : Norm::general;
    device::by_dtype(total.dtype, [&]<class T>() {
        int64_t done = 0;
        with_tables<1, CHUNK>(x.count, [&](int64_t k) { return x[k].size(); }, [&](int64_t k, int) { return x[k].data; },
                              [&](const Table<1>& table, unsigned blocks) {
                                  if (done + blocks > parts.size()) throw std::invalid_argument("the workspace is too small");
                                  launch(chunk_norms<T>, blocks, THREADS, 0, current_stream, parts.ptr<double>() + done, table, norm, p);
                                  done += blocks;
                              });
        launch(whole_norm<T>, 1, THREADS, 0, current_stream, total.ptr<T>(), parts.ptr<const double>(), done, norm, p);
    });
}

struct Scale {  // to the norm max_norm, where it is more
    double max_norm;
    template <class T> __device__ Wide<T> factor(const T* total) const {
        return static_cast<Wide<T>>(static_cast<T>(static_cast<Wide<T>>(max_norm / (double(static_cast<Wide<T>>(*total)) + 1e-6))));
    }
    template <class C> __device__ static bool nothing_to_do(C factor) { return factor >= C(1); }  // not a number shows in all gradients
    template <class C> __device__ static C apply(C x, C factor) { return x * factor; }
};
struct Limit {  // each element to [-limit, limit]
    double limit;
    template <class T> __device__ Wide<T> factor(const T*) const { return static_cast<Wide<T>>(static_cast<T>(static_cast<Wide<T>>(limit))); }
    template <class C> __device__ static bool nothing_to_do(C) { return false; }
    template <class C> __device__ static C apply(C x, C limit) { return x < -limit ? -limit : x > limit ? limit : x; }
};

template <class T, class How> __global__ void __launch_bounds__(THREADS) change(const __grid_constant__ Table<1> table, const T* total, How how) {
    using C = Wide<T>;
    const C factor = how.factor(total);
    if (how.nothing_to_do(factor)) return;
    const Chunk chunk = chunk_of<CHUNK>(table);
    T* x = static_cast<T*>(table.at[0][chunk.entry]) + chunk.begin;
    const int packs = table.packed[chunk.entry] ? chunk.length / device::PACK<T> : 0;
    for (int pack = int(threadIdx.x); pack < packs; pack += THREADS) {
        C v[device::PACK<T>];
        device::load_pack(v, x + pack * device::PACK<T>);
#pragma unroll
        for (int i = 0; i < device::PACK<T>; ++i) v[i] = how.apply(v[i], factor);
        device::store_pack(x + pack * device::PACK<T>, v);
    }
    for (int i = packs * device::PACK<T> + int(threadIdx.x); i < chunk.length; i += THREADS)
        x[i] = static_cast<T>(how.apply(static_cast<C>(x[i]), factor));
}

template <class How> void change_all(const Arrays& x, const void* total, How how) {
    if (!x) return;
    device::by_dtype(x[0].dtype, [&]<class T>() {
        with_tables<1, CHUNK>(x.count, [&](int64_t k) { return x[k].size(); }, [&](int64_t k, int) { return x[k].data; },
                              [&](const Table<1>& table, unsigned blocks) {
                                  launch(change<T, How>, blocks, THREADS, 0, current_stream, table, static_cast<const T*>(total), how);
                              });
    });
}

void clip_to_norm(Arrays& x, const Array& total, double max_norm) { change_all(x, total.data, Scale{max_norm}); }
void clip_to_value(Arrays& x, double limit) { change_all(x, nullptr, Limit{limit}); }

TG_KERNEL(total_norm, "cuda/clip", FLOATS, total_norm)
TG_KERNEL(clip_to_norm_, "cuda/clip", FLOATS, clip_to_norm)
TG_KERNEL(clip_to_value_, "cuda/clip", FLOATS, clip_to_value)

}  // namespace tg::optimizer
