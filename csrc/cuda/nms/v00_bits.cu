// The idea: which boxes overlap is n x n independent questions, a bit each; only who is left depends on who was, and that reads bits.
// Before it: nothing; a loop over the boxes, each of which waits for those before it.
// Ownership: overlaps: a block owns 64 x 64 pairs, a thread a row of them, one word. Greedy: one block; a thread owns words of the result.
// Bottleneck: n^2 / 2 overlaps of some twenty operations; then n / 64 steps one after the other, each as long as two trips to memory.
// Measure: tensorgrad lab nms --kernel v00_bits --shape 200x4 --shape 200 --option iou_threshold=0.5
#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::nms {

using device::Wide;

constexpr int BITS = 64, THREADS = 256;

template <class A> struct Box {
    A left, top, right, bottom;

    __device__ A area() const { return (right - left) * (bottom - top); }
    __device__ bool overlaps(const Box& b, A threshold) const {  // the boxes share more than that part of their union
        const A width = max(min(right, b.right) - max(left, b.left), A(0)), height = max(min(bottom, b.bottom) - max(top, b.top), A(0));
        const A common = width * height;
        return common / (area() + b.area() - common) > threshold;
    }
};

// words[i][w]: bit b is whether box i overlaps box 64 w + b, which comes after it. Blocks below the diagonal have nothing to say.
template <class T>
__global__ void __launch_bounds__(BITS) nms_overlaps(uint64_t* words, const T* boxes, Wide<T> threshold, int n, int across) {
    using A = Wide<T>;
    __shared__ Box<A> columns[BITS];
    const int thread = threadIdx.x, row = blockIdx.y * BITS, column = blockIdx.x * BITS;
    if (column < row) return;
    const auto load = [&](int i) { return Box<A>{A(boxes[4 * i]), A(boxes[4 * i + 1]), A(boxes[4 * i + 2]), A(boxes[4 * i + 3])}; };
    if (column + thread < n) columns[thread] = load(column + thread);
    __syncthreads();
    if (row + thread >= n) return;
    const Box<A> own = load(row + thread);
    uint64_t word = 0;
    for (int b = 0; b < min(BITS, n - column); ++b) {  // the same b in all lanes: one read serves them
        const Box<A> other = columns[b];
        if (column + b > row + thread && own.overlaps(other, threshold)) word |= uint64_t(1) << b;
    }
    words[int64_t(row + thread) * across + blockIdx.x] = word;
}

// 64 boxes at a time: one thread finds out which of them stay, then all threads cross out whom these overlap.
__global__ void __launch_bounds__(THREADS) nms_greedy(uint8_t* keep, const uint64_t* words, int n, int across) {
    DYNAMIC_SHARED(uint64_t, gone);  // (across)
    __shared__ uint64_t among[BITS], kept;
    const int thread = threadIdx.x;
    for (int w = thread; w < across; w += THREADS) gone[w] = 0;
    for (int step = 0; step < across; ++step) {
        const int first = step * BITS, count = min(BITS, n - first);
        if (thread < count) among[thread] = words[int64_t(first + thread) * across + step];
        __syncthreads();
        if (thread == 0) {
            uint64_t out = gone[step], stay = 0;
            for (int b = 0; b < count; ++b) {
                if (out >> b & 1) continue;
                stay |= uint64_t(1) << b;
                out |= among[b];
            }
            kept = stay;
        }
        __syncthreads();
        const uint64_t stay = kept;
        if (thread < count) keep[first + thread] = stay >> thread & 1;
        for (int w = step + 1 + thread; w < across; w += THREADS)
            for (int b = 0; b < count; ++b)
                if (stay >> b & 1) gone[w] |= words[int64_t(first + b) * across + w];
        __syncthreads();
    }
}

void nms(Array& keep, Array& words, const Array& boxes, double threshold) {
    const int n = device::length_of(boxes.shape[0], "a list of boxes"), across = int(words.shape[1]);
    if (n == 0) return;
    if (across > 0xffff) throw std::invalid_argument(std::to_string(n) + " boxes are more than a grid has pairs of blocks for");
    auto* const bits = words.ptr<uint64_t>();
    device::by_dtype(boxes.dtype, [&]<class T>() {
        launch(nms_overlaps<T>, dim3(unsigned(across), unsigned(across)), BITS, 0, current_stream, bits, boxes.ptr<const T>(),
               Wide<T>(threshold), n, across);
    });
    launch(nms_greedy, 1, THREADS, across * sizeof(uint64_t), current_stream, keep.ptr<uint8_t>(), static_cast<const uint64_t*>(bits), n,
           across);
}

TG_KERNEL(nms, "cuda/v00_bits", "float32 float64 float16 bfloat16", nms)

}  // namespace tg::nms
