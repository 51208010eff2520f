// TMA's im2col mode: one column of pixels, from images anywhere, and each way it goes wrong.
#include "../../csrc/device/tma.cuh"
#include "cases.h"

using namespace tg::device;
using Half = __nv_bfloat16;

constexpr unsigned PIXELS = 40;

struct Request {  // what the array begins with
    int c, w, h, n, right, down;
    Patches x, y;
    int channels, images;
    int64_t stride;

    explicit Request(const float* f)
        : c(int(f[0])), w(int(f[1])), h(int(f[2])), n(int(f[3])), right(int(f[4])), down(int(f[5])),
          x{int(f[6]), int64_t(f[7]), int(f[8]), int(f[9]), int(f[10])}, y{int(f[11]), int64_t(f[12]), int(f[13]), int(f[14]), int(f[15])},
          channels(int(f[16])), images(int(f[17])), stride(int64_t(f[18])) {}
};

// out (PIXELS, 64): the column, its swizzle undone.
__global__ void column_kernel(float* out, const __grid_constant__ CUtensorMap map, Request r) {
    DYNAMIC_SHARED(Half, tile);
    __shared__ uint64_t full;
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        mbarrier_arrive_expect(&full, PIXELS * 128);
        tma_load_im2col(tile, map, r.c, r.w, r.h, r.n, unsigned(r.right), unsigned(r.down), &full);  // -> column
    }
    __syncthreads();
    mbarrier_wait(&full, 0);
    for (int at = threadIdx.x; at < int(PIXELS) * 64; at += 32) {
        const int p = at / 64, c = at % 64;
        out[at] = float(tile[p * 64 + ((c / 8 ^ p % 8) * 8 + c % 8)]);
    }
}
CASE(column) {
    const Request r(out + PIXELS * 64);
    const auto* images = reinterpret_cast<const Half*>(out + PIXELS * 64 + 32);
    launch(column_kernel, 1, 32, PIXELS * 128, nullptr, out, im2col_map(images, r.channels, r.x, r.y, r.images, r.stride, PIXELS), r);
}

__global__ void other_map_kernel(const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(Half, tile);
    __shared__ uint64_t full;
    mbarrier_init(&full, 1);
    tma_load_im2col(tile, map, 0, 0, 0, 0, 0, 0, &full);  // -> map_of_a_matrix
}
CASE(map_of_a_matrix) {
    launch(other_map_kernel, 1, 1, 8192, nullptr, tensor_map(reinterpret_cast<const Half*>(out), 8, 64, 64, 8));
}
