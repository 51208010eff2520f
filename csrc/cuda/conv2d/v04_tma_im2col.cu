// The idea: the copy engine gathers: TMA's im2col mode walks the patches, padding and strides included, into the tiles wgmma reads.
// Before it (v03): every thread computed where its pixels lie, step after step. Blocks stay and are specialists, as in matmul's v10.
// Ownership: block b owns tiles b, b + gridDim.x, ... of 128 pixels x 64 to 256 channels; warpgroup 0 fetches, 1 and 2 own 64 pixels each.
// Bottleneck: the epilogue, beside which only the next loads run; and channels that do not fill a step of 64.
// Measure: python benchmarks/ladder.py conv2d v04_tma_im2col (emulated time)
#include "epilogue.h"
#include "hopper_pipeline.h"
#include "parts.h"

namespace tg::conv2d {

namespace {

template <int BN> constexpr size_t PIPELINE_BYTES = size_t(STAGES) * (BM + BN) * BK * 2;
template <int BN> constexpr size_t SHARED = PIPELINE_BYTES<BN> + 2 * 64 * 64 * sizeof(float);

template <int BN> constexpr bool MOVED = BN > 64;  // registers, from the producer to the consumers: 64 columns do not need them

template <class T> struct alignas(8) Quad {
    T of[4];
};

constexpr int64_t OUTSIDE = INT64_MIN;

struct Places {  // of a warpgroup's 64 pixels, in elements
    int64_t output[64], residual[64];
};

// The sums of a warpgroup, 64 pixels x BN channels, on their way to the output: 64 channels at a time go through shared memory, so that
// afterwards sixteen lanes hold a pixel, four channels each.
template <class T, int BN>
__device__ void store(const float (&sum)[BN / 2], const Problem<T>& p, const Epilogue<T>& epilogue, bool whole, float* out, Places& places,
                      int pixel, int first_row, int warpgroup, int thread) {
    const int line = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2, quad = thread % 16;
#pragma unroll
    for (int box = 0; box < BN / 64; ++box) {
        if (first_row + box * 64 >= p.rows) break;
        device::named_barrier_sync(1 + warpgroup, 128);  // what stood there before has been read
        if (box == 0 && thread < 64) {
            const bool real = pixel + thread < p.pixels();
            const auto at = p.pixel(real ? pixel + thread : 0);
            const auto place = [&](const Strided<T>& s) { return s.at(at.n, 0, at.y, at.x) - s.data; };
            places.output[thread] = real ? place(p.output) : OUTSIDE;
            if (epilogue.residual.data) places.residual[thread] = place(epilogue.residual);
        }
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            const int i = line + j % 2 * 8, c = j / 2 * 8 + pair;
            const float* s = &sum[box * 32 + j * 2];
            *reinterpret_cast<float2*>(&out[i * 64 + (c / 4 ^ i % 4 * 2) * 4 + c % 4]) = make_float2(s[0], s[1]);
        }
        device::named_barrier_sync(1 + warpgroup, 128);
        const int row = first_row + box * 64 + quad * 4, count = min(4, p.rows - row);
        if (count <= 0) continue;
        typename Epilogue<T>::Row rows[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) rows[e] = epilogue.of_row(p, 0, min(row + e, p.rows - 1));
        for (int i = thread / 16; i < 64; i += 8) {
            float value[4];
            *reinterpret_cast<float4*>(value) = *reinterpret_cast<const float4*>(&out[i * 64 + (quad ^ i % 4 * 2) * 4]);
            const int64_t at = places.output[i];
            if (at == OUTSIDE) break;  // so are all that follow
            Quad<T> residual{}, result;
            if (epilogue.residual.data) {
                const T* from = epilogue.residual.data + places.residual[i] + row * epilogue.residual.stride[1];
                if (whole) residual = *reinterpret_cast<const Quad<T>*>(from);
                else
                    for (int e = 0; e < count; ++e) residual.of[e] = from[e * epilogue.residual.stride[1]];
            }
#pragma unroll
            for (int e = 0; e < 4; ++e) result.of[e] = epilogue(value[e], rows[e], float(residual.of[e]));
            T* const to = p.output.data + at + row * p.output.stride[1];
            if (whole) *reinterpret_cast<Quad<T>*>(to) = result;
            else
                for (int e = 0; e < count; ++e) to[e * p.output.stride[1]] = result.of[e];
        }
    }
}

}  // namespace

// `whole`: four channels of the output, and of the residual, are eight bytes at a multiple of eight.
template <class T, int BN>
__global__ void __launch_bounds__(THREADS)
    conv2d_tma(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap image, const __grid_constant__ CUtensorMap weight,
               Raster raster, bool whole, const __grid_constant__ Epilogue<T> epilogue) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, shared);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    __shared__ Places places[2];
    const int thread = threadIdx.x % 128, group = threadIdx.x / 128;
    Pipeline<T, BN> pipeline(shared, full, empty);
    int row, column;
    if (group == 0) {  // the producer
        if constexpr (MOVED<BN>) device::fewer_registers<40>();
        if (thread != 0) return;
        for (int tile = blockIdx.x; tile < raster.tiles(); tile += gridDim.x) {
            raster.place(tile, row, column);
            const auto at = p.pixel(row * BM);
            const int w = low(p.x) + at.x * p.x.step, h = low(p.y) + at.y * p.y.step;
            for (int i = 0; i < p.y.taps; ++i)
                for (int j = 0; j < p.x.taps; ++j)
                    for (int c = 0; c < p.channels; c += BK)
                        pipeline.produce([&](T* A, T* B, uint64_t* barrier) {
                            device::tma_load_im2col(A, image, c, w, h, at.n, offset(p.x, j), offset(p.y, i), barrier);
                            device::tma_load_2d(B, weight, int(i * p.weight.stride[2] + j * p.weight.stride[3]) + c, column * BN, barrier);
                        });
        }
        return;
    }
    if constexpr (MOVED<BN>) device::more_registers<232>();  // consumers
    const int warpgroup = group - 1, steps = p.y.taps * p.x.taps * ceil_div(p.channels, BK);
    float* const out = reinterpret_cast<float*>(shared + STAGES * Pipeline<T, BN>::STAGE) + warpgroup * 64 * 64;
    for (int tile = blockIdx.x; tile < raster.tiles(); tile += gridDim.x) {
        raster.place(tile, row, column);
        float sum[BN / 2] = {};
        pipeline.template consume<0, 0>(sum, steps, warpgroup, thread % 32);
        store<T, BN>(sum, p, epilogue, whole, out, places[warpgroup], row * BM + warpgroup * 64, column * BN, warpgroup, thread);
    }
#endif
}

namespace {

// Whether four neighbours along the channels may be moved at once.
template <class T> bool in_quads(const Strided<T>& s, const Problem<T>& p) {
    const bool good = s.stride[1] == 1 && p.rows % 4 == 0 && reinterpret_cast<uintptr_t>(s.data) % 8 == 0;
    return good && (p.N == 1 || s.stride[0] % 4 == 0) && (p.y.grid == 1 || s.stride[2] % 4 == 0) && (p.x.grid == 1 || s.stride[3] % 4 == 0);
}

}  // namespace

template <class T, int BN> void run_tiles(Problem<T> p, Array& space, const Epilogue<T>& epilogue) {
    CUtensorMap image{}, weight{};
    if (p.depth()) {
        image = map_of_images(p.image, p.N, p.channels, p.y, p.x, BM);
        weight = map_of_weights(p, space, BN);
    }
    const bool whole = in_quads(p.output, p) && (!epilogue.residual.data || in_quads(epilogue.residual, p));
    const Raster raster = matmul::hopper::raster_of(ceil_div(p.pixels(), BM), ceil_div(p.rows, BN));
    launch(conv2d_tma<T, BN>, std::min(raster.tiles(), multiprocessors()), THREADS, SHARED<BN>, current_stream, p, image, weight, raster,
           whole, epilogue);
}

template <class T> void tma_im2col(const Problem<T>& p, Array& space, const Epilogue<T>& epilogue) {
    check_one_group(p.groups);
    if (!p.pixels() || !p.rows) return;
    if (p.rows > 128) run_tiles<T, 256>(p, space, epilogue);
    else if (p.rows > 64) run_tiles<T, 128>(p, space, epilogue);
    else run_tiles<T, 64>(p, space, epilogue);
}

void tma_fused(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
               int64_t dh, int64_t dw, int64_t groups, const Array& scale, const Array& shift, const Array& residual, int64_t activation) {
    by_dtype<__nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        tma_im2col(forward_problem<T>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}), space,
                   Epilogue<T>(y, scale, shift, residual, activation, groups));
    });
}

void tma_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top,
                 int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    tma_fused(y, x, w, bias, space, sh, sw, top, left, dh, dw, groups, Array(), Array(), Array(), 0);
}

void tma_input_grad(Array& dx, const Array& gy, const Array& w, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left, int64_t dh,
                    int64_t dw, int64_t groups) {
    by_dtype<__nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        for_phases<T>(dx, gy, w, {sh, sw, top, left, dh, dw, groups}, [&](const Problem<T>& p) { tma_im2col(p, space, Epilogue<T>()); });
    });
}

constexpr Chips HOPPER{90, 99};
TG_KERNEL(conv2d, "cuda/v04_tma_im2col", "bfloat16 float16", tma_forward, HOPPER)
TG_KERNEL(conv2d_fused, "cuda/v04_tma_im2col", "bfloat16 float16", tma_fused, HOPPER)
TG_KERNEL(conv2d_input_grad, "cuda/v04_tma_im2col", "bfloat16 float16", tma_input_grad, HOPPER)

}  // namespace tg::conv2d
