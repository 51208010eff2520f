// N neighbours of an array, one or whole packs of 16 bytes, to and from the type they are computed in.
#pragma once
#include "element.cuh"

namespace tg::device {

template <int N, class S> __device__ inline void read(Wide<S> (&to)[N], const S* from) {
    if constexpr (N == 1) to[0] = static_cast<Wide<S>>(from[0]);
    else
#pragma unroll
        for (int i = 0; i < N; i += PACK<S>) load_pack(reinterpret_cast<Wide<S>(&)[PACK<S>]>(to[i]), from + i);
}

template <int N, class S> __device__ inline void write(S* to, const Wide<S> (&from)[N]) {
    if constexpr (N == 1) to[0] = static_cast<S>(from[0]);
    else
#pragma unroll
        for (int i = 0; i < N; i += PACK<S>) store_pack(to + i, reinterpret_cast<const Wide<S>(&)[PACK<S>]>(from[i]));
}

}  // namespace tg::device
