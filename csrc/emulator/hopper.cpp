// mbarrier and TMA. A copy is done when some thread has to wait for its barrier, or when the block can do nothing else: the last
// moment the hardware may take. At once if `eager` is set.
#include "cluster.h"
#include "instructions.h"
#include "record.h"

namespace emu {

namespace {

struct Mbarrier {  // in 64 bits of shared memory
    uint16_t pending, count;  // arrivals still missing in this phase; arrivals of a phase
    int32_t state;            // bytes still to come * 2 + parity of this phase

    int bytes() const { return state >> 1; }
    unsigned parity() const { return unsigned(state) & 1; }
    void set(int bytes, unsigned parity) { state = bytes * 2 + int(parity); }
};
static_assert(sizeof(Mbarrier) == 8);

Mbarrier& initialised(void* barrier, Site at) {
    if (*static_cast<uint64_t*>(barrier) == ~0ull) trap("mbarrier: it was not initialised", at);
    return *static_cast<Mbarrier*>(barrier);
}

Mbarrier& checked(uint64_t* barrier, Site at) {
    if (reinterpret_cast<uintptr_t>(barrier) % 8 || !is_shared(barrier)) trap("mbarrier: not a multiple of 8 bytes in shared memory", at);
    return initialised(barrier, at);
}

void complete_phase(Mbarrier& m, Site at) {
    if (m.pending) return;
    if (m.bytes() < 0) complain("TMA: the mbarrier's phase expects fewer bytes than have come", at);
    if (m.bytes()) return;
    m.pending = m.count;
    m.set(0, m.parity() ^ 1);
    record::mbarrier_completes(reinterpret_cast<const uint64_t*>(&m));
    wake(&m);
}

void arrive(Mbarrier& m, Site at) {
    if (!m.pending) trap("mbarrier: more arrivals in a phase than it counts", at);
    record::mbarrier_arrive(reinterpret_cast<const uint64_t*>(&m), at);
    --m.pending;
    complete_phase(m, at);
}

void round_to_tf32(char* floats, unsigned bytes) {
    for (unsigned at = 0; at < bytes; at += 4) {
        uint32_t u;
        std::memcpy(&u, floats + at, 4);
        u = tf32_rounded(u);
        std::memcpy(floats + at, &u, 4);
    }
}

void perform(const TileCopy& c) {
    const unsigned bytes = std::visit([&](const auto& box) {
        box.each_piece(*c.block, c.to, [&](char* to, const char* from, unsigned piece) {
            if (from) std::memcpy(to, from, piece);
            else std::memset(to, 0, piece);
            if (box.map.rounds) round_to_tf32(to, piece);
        });
        return box.bytes();
    }, c.box);
    auto& m = *reinterpret_cast<Mbarrier*>(c.barrier);
    if (m.parity() != c.parity) complain("TMA: the mbarrier's phase ended before this copy: it expected too few bytes", c.at);
    m.set(m.bytes() - int(bytes), m.parity());
    complete_phase(m, c.at);
}

void record_load(const TileCopy& c) {
    if (!record::recording()) return;
    record::tma_load(c.barrier, c.at);
    std::visit([&](const auto& box) { box.each_piece(*c.block, c.to, record::tma_moves); }, c.box);
}

// Does the copies that signal a barrier, or all.
bool perform_pending(Cluster& cluster, const uint64_t* barrier) {
    std::vector<TileCopy> now;
    std::erase_if(cluster.copies, [&](const TileCopy& c) {
        if (barrier && c.barrier != barrier) return false;
        now.push_back(c);
        return true;
    });
    for (const TileCopy& c : now) perform(c);
    return !now.empty();
}

void issue(const TileCopy& c) {
    record_load(c);
    if (settings.eager) perform(c);
    else c.block->cluster->copies.push_back(c);
}

}  // namespace

bool finish_copies(Cluster& c) { return perform_pending(c, nullptr); }

void check_no_copy_into(Block& b) {
    for (const TileCopy& c : b.cluster->copies)
        if (c.block == &b) return complain("TMA: the block ended while this copy into its shared memory was under way", c.at);
}

void mbarrier_init(uint64_t* barrier, unsigned count, Site at) {
    if (reinterpret_cast<uintptr_t>(barrier) % 8 || !is_shared(barrier)) trap("mbarrier: not a multiple of 8 bytes in shared memory", at);
    if (!count || count > 0x7fff) trap("mbarrier: the count must be from 1 to 32767", at);
    record::mbarrier_init(barrier, at);
    *reinterpret_cast<Mbarrier*>(barrier) = {uint16_t(count), uint16_t(count), 0};
}

void mbarrier_arrive(uint64_t* barrier, Site at) { arrive(checked(barrier, at), at); }

void mbarrier_arrive_remote(uint32_t address, Site at) {
    arrive(initialised(cluster_pointer(address, 8, "mbarrier.arrive", at), at), at);
}

void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes, Site at) {
    Mbarrier& m = checked(barrier, at);
    m.set(m.bytes() + int(bytes), m.parity());
    arrive(m, at);
}

void mbarrier_wait(uint64_t* barrier, unsigned parity, Site at) {
    Mbarrier& m = checked(barrier, at);
    while (m.parity() == (parity & 1))
        if (!perform_pending(*current.running->cluster, barrier)) park(&m, at, "an mbarrier wait");
    record::mbarrier_waited(barrier, at);
}

void encode_tensor_map(CUtensorMap& map, const void* data, unsigned item, uint64_t rows, uint64_t columns, uint64_t stride,
                       unsigned box_rows, unsigned box_columns, bool rounds, uint64_t matrices, uint64_t matrix_stride, uint64_t groups,
                       uint64_t group_stride) {
    const Map m{Map::MAGIC, const_cast<char*>(static_cast<const char*>(data)), rows, columns, stride, item, box_rows, box_columns, rounds,
                matrices, matrix_stride, groups, group_stride};
    map = {};
    std::memcpy(&map, &m, sizeof m);
}

// Refuses what the driver refuses.
void encode_im2col_map(CUtensorMap& map, const void* data, unsigned item, const uint64_t* sizes, const uint64_t* strides, const int* lower,
                       const int* upper, const unsigned* steps, unsigned pixels) {
    Im2colMap m{Im2colMap::MAGIC, const_cast<char*>(static_cast<const char*>(data)), uint32_t(sizes[0]), {uint32_t(sizes[1]), uint32_t(sizes[2])},
                uint32_t(sizes[3]), {strides[0], strides[1], strides[2]}, {lower[0], lower[1]}, {upper[0], upper[1]}, {steps[1], steps[2]},
                item, pixels};
    const auto refuse = [](bool wrong, const char* why) {
        if (wrong) throw std::runtime_error(std::string("TMA: the driver refuses an im2col map: ") + why);
    };
    refuse(reinterpret_cast<uintptr_t>(data) % 16, "the address is not a multiple of 16 bytes");
    refuse(pixels < 1 || pixels > 1024, "a column has from 1 to 1024 pixels");
    for (int d = 0; d < 4; ++d) refuse(sizes[d] < 1 || sizes[d] > 0xffffffff, "a size is 0 or above 2^32");
    for (int d = 0; d < 3; ++d) refuse(strides[d] % 16 || strides[d] >> 40, "a stride is not a multiple of 16 bytes below 2^40");
    for (int d = 0; d < 2; ++d) {
        refuse(std::min(lower[d], upper[d]) < -128 || std::max(lower[d], upper[d]) > 127, "a corner is not within -128 and 127");
        refuse(m.step[d] < 1 || m.step[d] > 8, "a step is not from 1 to 8");
        refuse(m.last(d) < lower[d], "the bounding box is empty");
    }
    map = {};
    std::memcpy(&map, &m, sizeof m);
}

void tma_load_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, Site at) {
    const auto m = map_for<Map>(map, to, at);
    if (m.matrices) trap("TMA: a map of a stack has four dimensions, not two", at);
    issue({current.running, shared_address(to, at), MatrixBox{m, column, row}, barrier, checked(barrier, at).parity(), at});
}

void tma_load_im2col(void* to, const CUtensorMap& map, int c, int w, int h, int n, unsigned right, unsigned down, uint64_t* barrier, Site at) {
    const auto m = map_for<Im2colMap>(map, to, at);
    if (w < m.lower[0] || w > m.last(0) || h < m.lower[1] || h > m.last(1)) trap("TMA im2col: the first patch is outside the bounding box", at);
    if (right > 255 || down > 255) trap("TMA im2col: an offset is above 255", at);
    const PixelBox box{m, c, {w, h}, n, {int(right), int(down)}};
    issue({current.running, shared_address(to, at), box, barrier, checked(barrier, at).parity(), at});
}

void tma_load_4d(void* to, const CUtensorMap& map, int column, int row, int matrix, int group, uint64_t* barrier, Site at) {
    auto m = map_for<Map>(map, to, at);
    if (!m.matrices) trap("TMA: a map of one matrix has two dimensions, not four", at);
    const bool inside = matrix >= 0 && uint64_t(matrix) < m.matrices && group >= 0 && uint64_t(group) < m.groups;
    if (inside) m.data += matrix * int64_t(m.matrix_stride) + group * int64_t(m.group_stride);
    else m.rows = 0;  // zeros come from outside
    issue({current.running, shared_address(to, at), MatrixBox{m, column, row}, barrier, checked(barrier, at).parity(), at});
}

// One copy for each destination: they need not arrive together.
void tma_load_multicast_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, unsigned mask, Site at) {
    Cluster& cluster = *current.running->cluster;
    const MatrixBox box{map_for<Map>(map, to, at), column, row};
    if (!mask || mask >> cluster.size) trap("TMA multicast: the mask names no block, or one outside the cluster", at);
    checked(barrier, at);
    const uint32_t offset = shared_address(to, at), signal = shared_address(barrier, at);
    for (unsigned rank = 0; rank < cluster.size; ++rank) {
        if (!(mask >> rank & 1)) continue;
        Block& b = reachable(cluster, rank, "TMA multicast", at);
        auto* const there = static_cast<uint64_t*>(shared_pointer_in(b, signal));
        issue({&b, offset, box, there, initialised(there, at).parity(), at});
    }
}

}  // namespace emu
