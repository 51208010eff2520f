// ldmatrix and mma.sync: the last lane of the warp computes for all. Products are exact in fp32, sums are fp32 in ascending k.
#include "block.h"
#include "instructions.h"
#include "record.h"

namespace emu {

namespace {

struct Load {
    unsigned* registers;
    const void* row;
    int count;
    bool transposed;
};

// Lane 8 i + r gives the address of row r of matrix i; register i of lane 4 g + t holds elements (g, 2 t) and (g, 2 t + 1) of it.
void load_matrices(void** args, unsigned) {
    const auto of = [&](int lane) -> Load& { return *static_cast<Load*>(args[lane]); };
    const int count = of(0).count;
    const bool transposed = of(0).transposed;
    for (int i = 0; i < count; ++i) {
        uint16_t m[8][8];
        for (int r = 0; r < 8; ++r) std::memcpy(m[r], of(8 * i + r).row, 16);
        for (int lane = 0; lane < 32; ++lane) {
            const int g = lane / 4, t = lane % 4 * 2;
            const unsigned low = transposed ? m[t][g] : m[g][t], high = transposed ? m[t + 1][g] : m[g][t + 1];
            of(lane).registers[i] = low | high << 16;
        }
    }
}

struct Product {
    float* d;
    const unsigned *a, *b;
};

float bf16_low(unsigned u) { return std::bit_cast<float>(u << 16); }
float bf16_high(unsigned u) { return std::bit_cast<float>(u & 0xffff0000u); }
float fp16_low(unsigned u) { return float(std::bit_cast<Binary16>(uint16_t(u))); }
float fp16_high(unsigned u) { return float(std::bit_cast<Binary16>(uint16_t(u >> 16))); }
float tf32(unsigned u) { return std::bit_cast<float>(u & 0xffffe000u); }  // the hardware does not look at the low 13 bits

typedef float Row __attribute__((vector_size(32)));  // eight columns of C

template <int K> void multiply(const float (&A)[16][K], const Row (&B)[K], Row (&C)[16]) {
    for (int i = 0; i < 16; i += 4) {
        Row c0 = C[i], c1 = C[i + 1], c2 = C[i + 2], c3 = C[i + 3];
        for (int k = 0; k < K; ++k) {
            c0 += A[i][k] * B[k];
            c1 += A[i + 1][k] * B[k];
            c2 += A[i + 2][k] * B[k];
            c3 += A[i + 3][k] * B[k];
        }
        C[i] = c0, C[i + 1] = c1, C[i + 2] = c2, C[i + 3] = c3;
    }
}

// C[g][2 t], C[g][2 t + 1], C[g + 8][2 t], C[g + 8][2 t + 1] are the registers of lane 4 g + t.
void gather(void** args, Row (&C)[16]) {
    for (int lane = 0; lane < 32; ++lane) {
        const float* d = static_cast<Product*>(args[lane])->d;
        const int g = lane / 4, t = lane % 4 * 2;
        C[g][t] = d[0], C[g][t + 1] = d[1], C[g + 8][t] = d[2], C[g + 8][t + 1] = d[3];
    }
}
void scatter(void** args, const Row (&C)[16]) {
    for (int lane = 0; lane < 32; ++lane) {
        float* d = static_cast<Product*>(args[lane])->d;
        const int g = lane / 4, t = lane % 4 * 2;
        d[0] = C[g][t], d[1] = C[g][t + 1], d[2] = C[g + 8][t], d[3] = C[g + 8][t + 1];
    }
}

template <float low(unsigned), float high(unsigned)> void multiply_half(void** args, unsigned) {
    float A[16][16];
    Row B[16], C[16];
    gather(args, C);
    for (int lane = 0; lane < 32; ++lane) {
        const auto& p = *static_cast<Product*>(args[lane]);
        const int g = lane / 4, t = lane % 4 * 2;
        for (int i = 0; i < 4; ++i) {
            const int row = g + i % 2 * 8, k = t + i / 2 * 8;
            A[row][k] = low(p.a[i]), A[row][k + 1] = high(p.a[i]);
        }
        for (int i = 0; i < 2; ++i) B[t + 8 * i][g] = low(p.b[i]), B[t + 8 * i + 1][g] = high(p.b[i]);
    }
    multiply(A, B, C);
    scatter(args, C);
}

void multiply_tf32(void** args, unsigned) {
    float A[16][8];
    Row B[8], C[16];
    gather(args, C);
    for (int lane = 0; lane < 32; ++lane) {
        const auto& p = *static_cast<Product*>(args[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; ++i) A[g + i % 2 * 8][t + i / 2 * 4] = tf32(p.a[i]);
        for (int i = 0; i < 2; ++i) B[t + 4 * i][g] = tf32(p.b[i]);
    }
    multiply(A, B, C);
    scatter(args, C);
}

}  // namespace

void ldmatrix(unsigned* registers, const void* row, int count, bool transposed, Site at) {
    if (reinterpret_cast<uintptr_t>(row) % 16) trap("ldmatrix: a row's address must be a multiple of 16 bytes", at);
    if (!is_shared(row)) trap("ldmatrix: a row's address is not in shared memory", at);
    record::ldmatrix(row, transposed, at);
    Load load{registers, row, count, transposed};
    warp_collective(~0u, transposed ? "ldmatrix.trans" : "ldmatrix", &load, load_matrices, at);
}

void mma_bf16(float* d, const unsigned* a, const unsigned* b, Site at) {
    record::instruction(record::Kind::mma, at);
    Product p{d, a, b};
    warp_collective(~0u, "mma bf16", &p, multiply_half<bf16_low, bf16_high>, at);
}

void mma_fp16(float* d, const unsigned* a, const unsigned* b, Site at) {
    record::instruction(record::Kind::mma, at);
    Product p{d, a, b};
    warp_collective(~0u, "mma fp16", &p, multiply_half<fp16_low, fp16_high>, at);
}

void mma_tf32(float* d, const unsigned* a, const unsigned* b, Site at) {
    record::instruction(record::Kind::mma, at);
    Product p{d, a, b};
    warp_collective(~0u, "mma tf32", &p, multiply_tf32, at);
}

}  // namespace emu
