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
    each_piece(c.map, *c.block, c.to, c.column, c.row, [&](char* to, const char* from, unsigned bytes) {
        if (from) std::memcpy(to, from, bytes);
        else std::memset(to, 0, bytes);
        if (c.map.rounds) round_to_tf32(to, bytes);
    });
    auto& m = *reinterpret_cast<Mbarrier*>(c.barrier);
    if (m.parity() != c.parity) complain("TMA: the mbarrier's phase ended before this copy: it expected too few bytes", c.at);
    m.set(m.bytes() - int(c.map.box_rows * 128), m.parity());
    complete_phase(m, c.at);
}

void record_load(const TileCopy& c) {
    if (!record::recording()) return;
    record::tma_load(c.barrier, c.at);
    each_piece(c.map, *c.block, c.to, c.column, c.row, [](char* to, const char* from, unsigned bytes) { record::tma_moves(to, from, bytes); });
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
                       unsigned box_rows, unsigned box_columns, bool rounds) {
    const Map m{MAGIC, const_cast<char*>(static_cast<const char*>(data)), rows, columns, stride, item, box_rows, box_columns, rounds};
    static_assert(sizeof m <= sizeof map);
    map = {};
    std::memcpy(&map, &m, sizeof m);
}

Map tile_map(const CUtensorMap& opaque, const void* tile, Site at) {
    Map map;
    std::memcpy(&map, &opaque, sizeof map);
    if (map.magic != MAGIC) trap("TMA: not a tensor map", at);
    if (!is_shared(tile) || shared_address(tile, at) % 128) trap("TMA: the tile must be at a multiple of 128 bytes in shared memory", at);
    return map;
}

void tma_load_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, Site at) {
    issue({current.running, shared_address(to, at), tile_map(map, to, at), column, row, barrier, checked(barrier, at).parity(), at});
}

// One copy for each destination: they need not arrive together.
void tma_load_multicast_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, unsigned mask, Site at) {
    Cluster& cluster = *current.running->cluster;
    const Map tile = tile_map(map, to, at);
    if (!mask || mask >> cluster.size) trap("TMA multicast: the mask names no block, or one outside the cluster", at);
    checked(barrier, at);
    const uint32_t offset = shared_address(to, at), signal = shared_address(barrier, at);
    for (unsigned rank = 0; rank < cluster.size; ++rank) {
        if (!(mask >> rank & 1)) continue;
        Block& b = reachable(cluster, rank, "TMA multicast", at);
        auto* const there = static_cast<uint64_t*>(shared_pointer_in(b, signal));
        issue({&b, offset, tile, column, row, there, initialised(there, at).parity(), at});
    }
}

}  // namespace emu
