// CUDA's names for the emulator: qualifiers, built-in variables, barriers, warp functions, atomics, maths.
#pragma once
#include <algorithm>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../core/stream.h"
#include "record.h"
#include "runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ thread_local
#define __forceinline__ inline __attribute__((always_inline, artificial))  // its instructions count for the line that calls
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

#define threadIdx (::emu::current.fiber->thread)
#define blockIdx (::emu::current.block)
#define blockDim (::emu::current.block_dim)
#define gridDim (::emu::current.grid_dim)
constexpr int warpSize = 32;

#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(::emu::dynamic_shared())

using cudaStream_t = CUstream_st*;

namespace tg {

inline int multiprocessors() { return 2; }  // few, so that persistent blocks have several tiles each on small shapes

template <class... P, class... A>
void launch_clusters(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared, cudaStream_t, A&&... args) {
    struct Call {
        void (*kernel)(P...);
        std::tuple<std::decay_t<P>...> args;
    } call{kernel, {std::forward<A>(args)...}};
    const auto body = [](void* c) { std::apply(static_cast<Call*>(c)->kernel, static_cast<Call*>(c)->args); };
    emu::run_grid(grid, cluster, block, shared, body, &call, reinterpret_cast<const void*>(kernel));
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A&&... args) {
    launch_clusters(kernel, grid, 1, block, shared, stream, std::forward<A>(args)...);
}

}  // namespace tg

// ---- barriers
inline void __syncthreads(EMU_HERE) { emu::sync_block(at); }
inline int __syncthreads_count(int predicate, EMU_HERE) { return emu::sync_block_count(predicate, at); }
inline int __syncthreads_or(int predicate, EMU_HERE) { return emu::sync_block_count(predicate, at) != 0; }
inline int __syncthreads_and(int predicate, EMU_HERE) { return emu::sync_block_count(!predicate, at) == 0; }
inline void __syncwarp(unsigned mask = ~0u, EMU_HERE) {
    emu::record::instruction(emu::record::Kind::syncwarp, at);
    emu::warp_collective(mask, "__syncwarp", nullptr, nullptr, at);
}
namespace emu {
inline void fence(bool of_device, Site at) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    record::instruction(record::Kind::fence, at);
    record::fence(of_device);
}
}  // namespace emu
inline void __threadfence(EMU_HERE) { emu::fence(true, at); }
inline void __threadfence_block(EMU_HERE) { emu::fence(false, at); }

// ---- warp functions
namespace emu {
template <class T> T shuffled(unsigned mask, Shuffle::Kind kind, T value, int lane, int width, Site at) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    Shuffle s{kind, lane, width, 0, 0};
    std::memcpy(&s.in, &value, sizeof(T));
    shuffle(mask, s, at);
    std::memcpy(&value, &s.out, sizeof(T));
    return value;
}
}  // namespace emu
template <class T> T __shfl_sync(unsigned mask, T v, int lane, int width = 32, EMU_HERE) {
    return emu::shuffled(mask, emu::Shuffle::index, v, lane, width, at);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, EMU_HERE) {
    return emu::shuffled(mask, emu::Shuffle::up, v, int(delta), width, at);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, EMU_HERE) {
    return emu::shuffled(mask, emu::Shuffle::down, v, int(delta), width, at);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, EMU_HERE) {
    return emu::shuffled(mask, emu::Shuffle::exclusive_or, v, lanes, width, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_HERE) { return emu::ballot(mask, predicate != 0, at); }
inline int __any_sync(unsigned mask, int predicate, EMU_HERE) { return emu::ballot(mask, predicate != 0, at) != 0; }
inline int __all_sync(unsigned mask, int predicate, EMU_HERE) { return emu::ballot(mask, predicate == 0, at) == 0; }

// ---- atomics
namespace emu {
template <class T, class F> T exchange_with(T* p, F&& next, Site at) {
    record::atomic(p, sizeof(T), at);
    T old, now;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do now = next(old);
    while (!__atomic_compare_exchange(p, &old, &now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
}  // namespace emu
template <class T> T atomicAdd(T* p, std::type_identity_t<T> v, EMU_HERE) {
    return emu::exchange_with(p, [v](T old) { return T(old + v); }, at);
}
template <class T> T atomicMax(T* p, std::type_identity_t<T> v, EMU_HERE) {
    return emu::exchange_with(p, [v](T old) { return std::max(old, v); }, at);
}
template <class T> T atomicMin(T* p, std::type_identity_t<T> v, EMU_HERE) {
    return emu::exchange_with(p, [v](T old) { return std::min(old, v); }, at);
}
template <class T> T atomicExch(T* p, std::type_identity_t<T> v, EMU_HERE) {
    return emu::exchange_with(p, [v](T) { return v; }, at);
}
template <class T> T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v, EMU_HERE) {
    return emu::exchange_with(p, [=](T old) { return old == expected ? v : old; }, at);
}

// ---- maths and bits
using std::erfc;
using std::exp;
using std::max;
using std::min;
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
template <class T> __forceinline__ T __ldg(const T* p) { return *p; }
inline size_t __cvta_generic_to_shared(const void* p, EMU_HERE) { return emu::shared_address(p, at); }
