// wgmma: products of a warpgroup whose operands are read from shared memory when the product happens, which is as late as its wait
// allows (at once if `eager` is set). Products are exact in fp32, sums are fp32 in ascending k.
#include "block.h"
#include "instructions.h"
#include "record.h"

namespace emu {

namespace {

constexpr int THREADS = 128, ROWS = 64, MAX_N = 256;

unsigned bytes_of(Operand type) { return type == Operand::tf32 ? 4 : 2; }
int depth_of(Operand type) { return 32 / int(bytes_of(type)); }  // k of an instruction

struct Operation {
    float* d[THREADS];
    const unsigned* registers[THREADS];  // of the left operand; null where a descriptor says where it lies
    uint64_t a, b;
    WgmmaShape shape;
};

struct Pending {
    std::vector<Operation> operations;
    std::vector<size_t> groups;  // where each committed group ends
};
thread_local Pending* pending_of_groups = nullptr;  // of the block's warpgroups

Pending& pending(unsigned group) {
    if (!pending_of_groups) pending_of_groups = new Pending[MAX_THREADS / THREADS];
    return pending_of_groups[group];
}

// Element (i, k) of a tile with 128-byte swizzle, as a descriptor describes it.
//   k-fastest: eight rows of 128 bytes form an atom; the next eight rows are `stride` bytes further.
//   i-fastest (16-bit elements): eight k of 64 elements form an atom; the next eight k are `stride`, the next 64 i `leading` bytes further.
struct Tile {
    uint32_t start, leading, stride;
    Operand type;
    bool transposed;

    Tile(uint64_t descriptor, Operand type, bool transposed)
        : start(uint32_t(descriptor & 0x3fff) << 4), leading(uint32_t(descriptor >> 16 & 0x3fff) << 4),
          stride(uint32_t(descriptor >> 32 & 0x3fff) << 4), type(type), transposed(transposed) {}

    const void* at(int i, int k) const {
        const auto ui = unsigned(i), uk = unsigned(k);
        const uint32_t offset = transposed ? ui / 64 * leading + ui % 64 * 2 + uk / 8 * stride + uk % 8 * 128
                                           : ui / 8 * stride + ui % 8 * 128 + uk * bytes_of(type);
        return shared_pointer(swizzle_128(start + offset));
    }
};

float widen(uint16_t bits, Operand type) {
    return type == Operand::bf16 ? std::bit_cast<float>(uint32_t(bits) << 16) : float(std::bit_cast<Binary16>(bits));
}

// 16 bytes lie together in memory: elements along k, or along i where the tile is transposed.
template <class F> void each_chunk(const Tile& tile, int length, F&& f) {
    const int count = 16 / int(bytes_of(tile.type)), step_i = tile.transposed ? count : 1, step_k = tile.transposed ? 1 : count;
    for (int i = 0; i < length; i += step_i)
        for (int k = 0; k < depth_of(tile.type); k += step_k) f(i, k, tile.at(i, k));
}
template <class Put> void read(const Tile& tile, int length, Put&& put) {
    each_chunk(tile, length, [&](int i, int k, const void* chunk) {
        if (tile.type == Operand::tf32) {
            const auto* p = static_cast<const uint32_t*>(chunk);
            for (int j = 0; j < 4; ++j) put(i, k + j, std::bit_cast<float>(p[j] & 0xffffe000u));  // the low 13 bits are not looked at
        } else {
            const auto* p = static_cast<const uint16_t*>(chunk);
            for (int j = 0; j < 8; ++j) put(tile.transposed ? i + j : i, tile.transposed ? k : k + j, widen(p[j], tile.type));
        }
    });
}
void record_reads(const Tile& tile, int length) {
    each_chunk(tile, length, [](int, int, const void* chunk) { record::wgmma_reads(chunk); });
}

typedef float Row __attribute__((vector_size(32)));
alignas(64) thread_local float sums[ROWS][MAX_N];

// Lane 4 g + t of warp w holds rows 16 w + g and 16 w + g + 8, columns 8 j + 2 t and + 1: registers 4 j to 4 j + 3.
template <class F> void each_quad(int n, F&& f) {
    for (int thread = 0; thread < THREADS; ++thread) {
        const int row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
        for (int j = 0; j < n / 8; ++j) f(thread, j * 4, &sums[row][j * 8 + column], &sums[row + 8][j * 8 + column]);
    }
}

// Register 0 holds row g, columns 2 t and 2 t + 1; 1 the same of row g + 8; 2 and 3 the same eight columns further.
template <int DEPTH> void read_registers(float (&A)[ROWS][DEPTH], const Operation& o) {
    for (int thread = 0; thread < THREADS; ++thread)
        for (int r = 0; r < 4; ++r) {
            const int row = thread / 32 * 16 + thread % 32 / 4 + r % 2 * 8, column = thread % 4 * 2 + r / 2 * 8;
            A[row][column] = widen(uint16_t(o.registers[thread][r]), o.shape.type);
            A[row][column + 1] = widen(uint16_t(o.registers[thread][r] >> 16), o.shape.type);
        }
}

template <int DEPTH> void multiply(const Operation& o) {
    alignas(64) float A[ROWS][DEPTH], B[DEPTH][MAX_N];
    if (!o.shape.adds) std::memset(sums, 0, sizeof sums);
    if (!o.registers[0]) read(Tile(o.a, o.shape.type, o.shape.a_transposed), ROWS, [&](int i, int k, float v) { A[i][k] = v; });
    else if constexpr (DEPTH == 16) read_registers(A, o);
    read(Tile(o.b, o.shape.type, o.shape.b_transposed), o.shape.n, [&](int i, int k, float v) { B[k][i] = v; });
    for (int i = 0; i < ROWS; i += 4)
        for (int j = 0; j < o.shape.n; j += 8) {
            Row c[4];
            for (int r = 0; r < 4; ++r) c[r] = *reinterpret_cast<Row*>(&sums[i + r][j]);
            for (int k = 0; k < DEPTH; ++k) {
                const Row b = *reinterpret_cast<const Row*>(&B[k][j]);
                for (int r = 0; r < 4; ++r) c[r] += A[i + r][k] * b;
            }
            for (int r = 0; r < 4; ++r) *reinterpret_cast<Row*>(&sums[i + r][j]) = c[r];
        }
}

// Operations one after another; those that add to the same registers leave them in `sums` in between.
void perform(const Operation* first, const Operation* last) {
    while (first != last) {
        const Operation& o = *first;
        each_quad(o.shape.n, [&](int t, int r, float* up, float* down) {
            const float* d = o.d[t] + r;
            up[0] = d[0], up[1] = d[1], down[0] = d[2], down[1] = d[3];
        });
        do first->shape.type == Operand::tf32 ? multiply<8>(*first++) : multiply<16>(*first++);
        while (first != last && first->d[0] == o.d[0] && first->shape.n == o.shape.n);
        each_quad(o.shape.n, [&](int t, int r, const float* up, const float* down) {
            float* d = o.d[t] + r;
            d[0] = up[0], d[1] = up[1], d[2] = down[0], d[3] = down[1];
        });
    }
}

struct Issue {
    float* d;
    const unsigned* registers;
    uint64_t a, b;
    WgmmaShape shape;
    Site at;
};

void issue(void** args, unsigned group) {
    const auto& first = *static_cast<Issue*>(args[0]);
    Operation o{{}, {}, first.a, first.b, first.shape};
    for (int t = 0; t < THREADS; ++t) {
        const auto& i = *static_cast<Issue*>(args[t]);
        if (i.a != o.a || i.b != o.b) trap("wgmma: the descriptors differ among the threads of the warpgroup", i.at);
        o.d[t] = i.d;
        o.registers[t] = i.registers;
    }
    if (record::recording()) {
        record::wgmma_issues(group, first.at);
        if (!first.registers) record_reads(Tile(o.a, o.shape.type, o.shape.a_transposed), ROWS);
        record_reads(Tile(o.b, o.shape.type, o.shape.b_transposed), o.shape.n);
        for (unsigned t = 0; t < THREADS; ++t) {
            record::wgmma_holds(group, t, o.d[t], unsigned(o.shape.n) / 2);
            if (first.registers) record::wgmma_holds(group, t, o.registers[t], 4);
        }
    }
    if (settings.eager) perform(&o, &o + 1);
    else pending(group).operations.push_back(o);
}

}  // namespace

void reset_wgmma() {
    if (!pending_of_groups) return;
    for (unsigned g = 0; g < MAX_THREADS / THREADS; ++g) pending_of_groups[g].operations.clear(), pending_of_groups[g].groups.clear();
}

namespace {

void meet(Issue i) {
    if ((!i.registers && i.a >> 62 != 1) || i.b >> 62 != 1) trap("wgmma: the emulator knows descriptors with 128-byte swizzle", i.at);
    record::instruction(record::Kind::wgmma, i.at);
    warpgroup_collective("wgmma", &i, issue, i.at);
}

}  // namespace

void wgmma(float* d, uint64_t a, uint64_t b, WgmmaShape shape, Site at) { meet({d, nullptr, a, b, shape, at}); }
void wgmma_registers(float* d, const unsigned* a, uint64_t b, WgmmaShape shape, Site at) { meet({d, a, 0, b, shape, at}); }

void fence_async_proxy(Site at) {
    record::instruction(record::Kind::fence, at);
    record::proxy_fence();
}

void wgmma_commit(Site at) {
    warpgroup_collective("wgmma commit", nullptr, [](void**, unsigned group) {
        Pending& p = pending(group);
        record::wgmma_commit(group);
        p.groups.push_back(p.operations.size());
    }, at);
}

void wgmma_wait(unsigned allowed, Site at) {
    warpgroup_collective("wgmma wait", &allowed, [](void** args, unsigned group) {
        Pending& p = pending(group);
        const size_t keep = *static_cast<unsigned*>(args[0]);
        record::wgmma_wait(group, unsigned(keep));
        if (p.groups.size() <= keep) return;
        const size_t done = p.groups.size() - keep, operations = p.groups[done - 1];
        perform(p.operations.data(), p.operations.data() + operations);
        p.operations.erase(p.operations.begin(), p.operations.begin() + ptrdiff_t(operations));
        p.groups.erase(p.groups.begin(), p.groups.begin() + ptrdiff_t(done));
        for (size_t& end : p.groups) end -= operations;
    }, at);
}

}  // namespace emu
