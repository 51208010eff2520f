// The inner product of the rungs v06 and v07: a warp's 64 x 32 tile of C from shared tiles of A and B.
#pragma once
#include "staging.h"

namespace tg::matmul {

// A warp is 8 lanes high and 4 wide. Lane (y, x) owns 2 x 2 patches of 4 x 4: rows 32 h + 4 y + i, columns 16 w + 4 x + j.
struct WarpTile {
    float sum[2][2][4][4] = {};
    int row, column;  // of the lane's first element in the block's tile

    __device__ WarpTile(int warp_row, int warp_column, int lane) : row(warp_row + lane / 4 * 4), column(warp_column + lane % 4 * 4) {}

    template <int BK, int AW, int BW> __device__ void add(const float (&As)[BK][AW], const float (&Bs)[BK][BW]) {
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            float a[2][4], b[2][4];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                *reinterpret_cast<float4*>(a[half]) = *reinterpret_cast<const float4*>(&As[k][row + half * 32]);
                *reinterpret_cast<float4*>(b[half]) = *reinterpret_cast<const float4*>(&Bs[k][column + half * 16]);
            }
#pragma unroll
            for (int h = 0; h < 2; ++h)
#pragma unroll
                for (int w = 0; w < 2; ++w)
#pragma unroll
                    for (int i = 0; i < 4; ++i)
#pragma unroll
                        for (int j = 0; j < 4; ++j) sum[h][w][i][j] += a[h][i] * b[w][j];
        }
    }

    template <class E = Plain> __device__ void store(const Problem<float>& p, Tile tile, const E& epilogue = {}) const {
#pragma unroll
        for (int h = 0; h < 2; ++h)
#pragma unroll
            for (int w = 0; w < 2; ++w)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float* s = sum[h][w][i];
                    const float4 quad = make_float4(s[0], s[1], s[2], s[3]);
                    store_quad(p, tile.row + row + h * 32 + i, tile.column + column + w * 16, quad, epilogue);
                }
    }
};

}  // namespace tg::matmul
