// The idea: a block sorts 2048 entries in shared memory by a network: which two are compared next does not depend on what they are.
// Before it: nothing. The first half of what is sorted are the best so far; of a long row the next 1024 take the place of the rest.
// Ownership: a block owns a row; in each step of the network a thread owns pairs. 1024 entries none of which is better are not sorted.
// Bottleneck: 66 barriers and rounds of shared memory a sort; a long row is read once, and mostly only looked at.
// Measure: tensorgrad lab topk --kernel v00_bitonic --shape 4x3000 --option k=5
#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::topk {

using device::Wide;

constexpr int THREADS = 512, SLOTS = 2048, NOTHING = 0x7fffffff;

template <class A> struct Entry {
    A key;
    int place;  // in the row; NOTHING comes last

    // NaN is the largest; of equal keys the one before in the row comes first.
    __device__ bool before(const Entry& b, bool largest) const {
        if (place == NOTHING || b.place == NOTHING) return place < b.place;
        const bool less = key < b.key || (key == key && b.key != b.key), more = b.key < key || (b.key == b.key && key != key);
        return less == more ? place < b.place : largest ? more : less;
    }
};

template <class A> __device__ void sort(Entry<A>* entries, int slots, bool largest) {
    for (int size = 2; size <= slots; size *= 2)
        for (int apart = size / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (int pair = threadIdx.x; pair < slots / 2; pair += THREADS) {
                const int i = 2 * pair - (pair & (apart - 1));  // its bit `apart` is 0
                const Entry<A> a = entries[i], b = entries[i + apart];
                if (b.before(a, largest) != ((i & size) == 0)) continue;
                entries[i] = b;
                entries[i + apart] = a;
            }
        }
    __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(THREADS) topk_bitonic(T* values, int64_t* indices, const T* x, int n, int k, int slots, bool largest) {
    using A = Wide<T>;
    DYNAMIC_SHARED(Entry<A>, entries);
    x += int64_t(blockIdx.x) * n;
    const auto read = [&](int place) { return place < n ? Entry<A>{A(x[place]), place} : Entry<A>{A(0), NOTHING}; };
    for (int s = threadIdx.x; s < slots; s += THREADS) entries[s] = read(s);
    sort(entries, slots, largest);
    for (int next = slots; next < n; next += slots / 2) {
        bool better = false;
        for (int s = threadIdx.x; s < slots / 2; s += THREADS) {
            const Entry<A> entry = read(next + s);
            better = better || entry.before(entries[k - 1], largest);
            entries[slots / 2 + s] = entry;
        }
        if (__syncthreads_or(better)) sort(entries, slots, largest);
    }
    for (int r = threadIdx.x; r < k; r += THREADS) {
        values[int64_t(blockIdx.x) * k + r] = x[entries[r].place];
        indices[int64_t(blockIdx.x) * k + r] = entries[r].place;
    }
}

// x (rows, n); values and indices (rows, k).
void topk(Array& values, Array& indices, const Array& x, int64_t k, int64_t largest) {
    const int n = device::length_of(x.shape[1], "a row");
    if (k > SLOTS / 2) throw std::invalid_argument("keeps at most " + std::to_string(SLOTS / 2) + " entries of a row");
    if (values.size() == 0) return;
    int slots = 2;
    while (slots < n && slots < SLOTS) slots *= 2;
    device::by_dtype(x.dtype, [&]<class T>() {
        launch(topk_bitonic<T>, device::blocks_for(x.shape[0], 1), THREADS, slots * sizeof(Entry<Wide<T>>), current_stream, values.ptr<T>(),
               indices.ptr<int64_t>(), x.ptr<const T>(), n, int(k), slots, largest != 0);
    });
}

TG_KERNEL(topk_pair, "cuda/v00_bitonic", "float32 float64 float16 bfloat16", topk)

}  // namespace tg::topk
