// The idea: implicit GEMM on the tensor cores. With channels last, eight channels of a pixel are one chunk of 16 bytes for cp.async.
// Before it (v02): one multiply-add an instruction and lane; now 64. k runs ((i, j), c), so that a chunk lies within one tap.
// Ownership: a block owns 128 pixels x 64 channels (of dw: 128 output channels x 64 of channels and taps); warps as in tensor_loop.h.
// Bottleneck: shared memory; and for NCHW, or channels that are no multiple of 8, the gather element by element.
// Measure: python benchmarks/ladder.py conv2d v03_tensor_core (emulated time)
#include "epilogue.h"
#include "parts.h"
#include "tensor_loop.h"

namespace tg::conv2d {

template <class T>
__global__ void __launch_bounds__(THREADS)
    conv2d_tensor_core(const __grid_constant__ Problem<T> problem, bool image_chunked, bool weight_chunked,
                       const __grid_constant__ Epilogue<T> epilogue) {
#ifndef TG_NO_AMPERE
    DYNAMIC_SHARED(T, shared);
    constexpr int HALF = BK<T> / 2;
    static_assert(BK<T> / Q<T> == 4 && THREADS == 2 * BM);
    const int thread = threadIdx.x, pixels = problem.pixels(), depth = problem.depth();
    const Tile tile = tile_of_block<BN, BM>(problem.rows, pixels);
    const Problem<T> p = problem.of_group(tile.group);

    // The pixels this thread gathers for, all along: two of which it takes a chunk each, or one of which it takes half of k.
    const int first = image_chunked ? thread / 4 : thread % BM, first_k = image_chunked ? thread % 4 * Q<T> : thread / BM * HALF;
    const T* image[2];
    int top[2], left[2];
    bool real[2];
#pragma unroll
    for (int n = 0; n < 2; ++n) {
        const int q = tile.column + first + n * BM / 2;
        real[n] = q < pixels;
        const auto pixel = p.pixel(real[n] ? q : 0);
        image[n] = p.image.at(pixel.n, 0, 0, 0);
        top[n] = p.y.at(pixel.y, 0);
        left[n] = p.x.at(pixel.x, 0);
    }
    const auto gather = [&](int n, int k, auto&& copy) {
        const auto tap = tap_of(p, k);
        const int y = top[n] + tap.i * p.y.tap, x = left[n] + tap.j * p.x.tap;
        const bool inside = real[n] && k < depth && p.y.inside(y) && p.x.inside(x);
        copy(inside ? image[n] + tap.c * p.image.stride[1] + y * p.image.stride[2] + x * p.image.stride[3] : p.image.data, inside);
    };
    const auto load_image = [&](int k0, T* A) {
        A += first * TileA<T>::K_ROW + first_k;
        if (image_chunked)
            for (int n = 0; n < 2; ++n)
                gather(n, k0 + first_k, [&](const T* from, bool inside) {
                    device::cp_async_16(&A[n * BM / 2 * TileA<T>::K_ROW], from, inside ? 16 : 0);
                });
        else
            for (int k = 0; k < HALF; ++k) gather(0, k0 + first_k + k, [&](const T* from, bool inside) { copy_one(&A[k], from, inside); });
    };
    const auto load_weight = [&](int k0, T* B) {
        const int each = weight_chunked ? Q<T> : 1, across = BK<T> / each;
        for (int at = thread; at < BN * across; at += THREADS) {
            const int row = at / across, k = at % across * each;
            const auto tap = tap_of(p, k0 + k);
            const bool inside = tile.row + row < p.rows && k0 + k < depth;
            const T* from = inside ? p.weight.at(tile.row + row, tap.c, tap.i, tap.j) : p.weight.data;
            T* to = &B[row * TileB<T>::K_ROW + k];
            if (weight_chunked) device::cp_async_16(to, from, inside ? 16 : 0);
            else copy_one(to, from, inside);
        }
    };

    TensorLoop<T> loop;
    loop.run(shared, ceil_div(depth, BK<T>), Chunks::along_k, Chunks::along_k, [&](int step, T* A, T* B) {
        load_image(step * BK<T>, A);
        load_weight(step * BK<T>, B);
    });
    using Place = typename Epilogue<T>::Place;
    loop.each(
        [&](int i) {
            const auto pixel = p.pixel(min(tile.column + i, pixels - 1));
            return tile.column + i < pixels ? epilogue.place(p, tile.group, tile.row, pixel) : Place{};
        },
        [&](const Place& to, int row, float sum) {
            if (!to.output || tile.row + row >= p.rows) return;
            const float added = to.residual ? float(to.residual[row * epilogue.residual.stride[1]]) : 0.0f;
            to.output[row * p.output.stride[1]] = epilogue(sum, epilogue.of_row(p, tile.group, tile.row + row), added);
        });
#endif
}

// A part of dw: rows of gy times columns of the image, along pixels. With the channels last both tiles lie channel-fastest and are
// read by the transposing ldmatrix. Block (t, s) computes tile t of part s; a single part goes to dw itself.
template <class T>
__global__ void __launch_bounds__(THREADS, 2)
    conv2d_tensor_core_weight_grad(const __grid_constant__ Problem<T> problem, Parts parts, T* dw, float* space, int64_t size,
                                   Chunks gradient_way, Chunks image_way) {
#ifndef TG_NO_AMPERE
    DYNAMIC_SHARED(T, shared);
    const int thread = threadIdx.x, depth = problem.depth();
    const Tile tile = tile_of_block<BM, BN>(problem.rows, depth);
    const Problem<T> p = problem.of_group(tile.group);
    const int begin = int(blockIdx.y) * parts.span, end = min(problem.pixels(), begin + parts.span);

    const auto load = [&]<class Into, int LENGTH>(T* to, Chunks way, int q0, auto&& place) {  // place(i, pixel): where, or null
        const bool whole = way == Chunks::along_i;
        const int each = whole ? Q<T> : 1, across = LENGTH / each;
        for (int at = thread; at < BK<T> * across; at += THREADS) {
            const int k = whole ? at / across : at % BK<T>, i = whole ? at % across * each : at / BK<T>;
            const T* from = q0 + k < end ? place(i, p.pixel(q0 + k)) : nullptr;
            if (whole) device::cp_async_16(&to[k * Into::I_ROW + i], from ? from : p.image.data, from ? 16 : 0);
            else copy_one(&to[i * Into::K_ROW + k], from ? from : p.image.data, from != nullptr);
        }
    };
    TensorLoop<T> loop;
    loop.run(shared, ceil_div(max(end - begin, 0), BK<T>), gradient_way, image_way, [&](int step, T* A, T* B) {
        const int q0 = begin + step * BK<T>;
        load.template operator()<TileA<T>, BM>(A, gradient_way, q0, [&](int i, auto pixel) -> const T* {
            return tile.row + i < p.rows ? p.output.at(pixel.n, tile.row + i, pixel.y, pixel.x) : nullptr;
        });
        load.template operator()<TileB<T>, BN>(B, image_way, q0, [&](int i, auto pixel) -> const T* {
            if (tile.column + i >= depth) return nullptr;
            const auto tap = tap_of(p, tile.column + i);
            const int y = p.y.at(pixel.y, tap.i), x = p.x.at(pixel.x, tap.j);
            return p.y.inside(y) && p.x.inside(x) ? p.image.at(pixel.n, tap.c, y, x) : nullptr;
        });
    });
    loop.each([&](int i) { return tile.row + i; },
              [&](int row, int column, float sum) {
                  if (row >= p.rows || tile.column + column >= depth) return;
                  const auto tap = tap_of(p, tile.column + column);
                  const int64_t at = ((int64_t(tile.group * p.rows + row) * p.channels + tap.c) * p.y.taps + tap.i) * p.x.taps + tap.j;
                  if (gridDim.y == 1) dw[at] = T(sum);
                  else space[blockIdx.y * size + at] = sum;
              });
#endif
}

namespace {

template <class T> void tensor_core(Problem<T> p, Array& space, const Epilogue<T>& epilogue) {
    const unsigned tiles = tiles_of<BN, BM>(p.groups, p.rows, p.pixels());
    if (!tiles) return;
    if (p.depth() && !chunked(p.weight, 1, p.channels) && p.channels % Q<T> == 0) turned(p, space);
    launch(conv2d_tensor_core<T>, tiles, THREADS, SHARED<T>, current_stream, p, chunked(p.image, 1, p.channels),
           chunked(p.weight, 1, p.channels), epilogue);
}

template <class T> void tensor_core_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, const Options& o) {
    check_contiguous(dw);
    const auto p = forward_problem<T>(gy, x, dw, nullptr, o);
    const unsigned tiles = tiles_of<BM, BN>(p.groups, p.rows, p.depth());
    if (!tiles) return;
    const int64_t size = dw.size();
    const Parts parts(p.pixels(), tiles, size, space.size(), BK<T>);
    const auto way = [](bool whole) { return whole && sizeof(T) == 2 ? Chunks::along_i : Chunks::none; };
    launch(conv2d_tensor_core_weight_grad<T>, dim3(tiles, unsigned(parts.count)), THREADS, SHARED<T>, current_stream, p, parts, dw.ptr<T>(),
           space.ptr<float>(), size, way(chunked(p.output, 1, p.rows)), way(chunked(p.image, 1, p.channels)));
    if (parts.count > 1)
        launch(sum_parts<T>, blocks_for(size, THREADS), THREADS, 0, current_stream, dw.ptr<T>(),
               static_cast<const float*>(space.ptr<float>()), parts.count, size);
}

}  // namespace

template <class... T>
void tensor_core_fused(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top,
                       int64_t left, int64_t dh, int64_t dw, int64_t groups, const Array& scale, const Array& shift, const Array& residual,
                       int64_t activation) {
    by_dtype<T...>(y.dtype, [&]<class U>() {
        tensor_core(forward_problem<U>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}), space,
                    Epilogue<U>(y, scale, shift, residual, activation, groups));
    });
}

template <class... T>
void tensor_core_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top,
                         int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    tensor_core_fused<T...>(y, x, w, bias, space, sh, sw, top, left, dh, dw, groups, Array(), Array(), Array(), 0);
}

template <class... T>
void tensor_core_input_grad(Array& dx, const Array& gy, const Array& w, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                            int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<T...>(dx.dtype, [&]<class U>() {
        for_phases<U>(dx, gy, w, {sh, sw, top, left, dh, dw, groups}, [&](const Problem<U>& p) { tensor_core(p, space, Epilogue<U>()); });
    });
}

template <class... T>
void tensor_core_weights(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                         int64_t dh, int64_t dilation, int64_t groups) {
    by_dtype<T...>(dw.dtype, [&]<class U>() { tensor_core_weight_grad<U>(dw, gy, x, space, {sh, sw, top, left, dh, dilation, groups}); });
}

constexpr Chips AMPERE{80};
TG_KERNEL(conv2d, "cuda/v03_tensor_core", "bfloat16 float16", (tensor_core_forward<__nv_bfloat16, __half>), AMPERE)
TG_KERNEL(conv2d_fused, "cuda/v03_tensor_core", "bfloat16 float16", (tensor_core_fused<__nv_bfloat16, __half>), AMPERE)
TG_KERNEL(conv2d_input_grad, "cuda/v03_tensor_core", "bfloat16 float16", (tensor_core_input_grad<__nv_bfloat16, __half>), AMPERE)
TG_KERNEL(conv2d_weight_grad, "cuda/v03_tensor_core", "bfloat16 float16", (tensor_core_weights<__nv_bfloat16, __half>), AMPERE)
TG_KERNEL(conv2d, "cuda/v03_tensor_core_tf32", "float32", tensor_core_forward<float>, AMPERE)
TG_KERNEL(conv2d_fused, "cuda/v03_tensor_core_tf32", "float32", tensor_core_fused<float>, AMPERE)
TG_KERNEL(conv2d_input_grad, "cuda/v03_tensor_core_tf32", "float32", tensor_core_input_grad<float>, AMPERE)
TG_KERNEL(conv2d_weight_grad, "cuda/v03_tensor_core_tf32", "float32", tensor_core_weights<float>, AMPERE)

}  // namespace tg::conv2d
