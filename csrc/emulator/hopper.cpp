// mbarrier and TMA. A copy is done when some thread has to wait for its barrier, or when the block can do nothing else: the last
// moment the hardware may take. At once if `eager` is set.
#include "block.h"
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

struct Map {  // what the emulator keeps in a CUtensorMap
    uint64_t magic;
    const char* data;
    uint64_t rows, columns, stride;
    unsigned item, box_rows, box_columns;
};
static_assert(sizeof(Map) <= sizeof(CUtensorMap));
constexpr uint64_t MAGIC = 0x74656e736f726d61;

struct TileCopy {
    char* to;
    Map map;
    int column, row;
    uint64_t* barrier;
    unsigned parity;  // of the phase it was issued in, which has to wait for it
    Site at;
};
thread_local std::vector<TileCopy>* pending_copies = nullptr;

std::vector<TileCopy>& pending() {
    if (!pending_copies) pending_copies = new std::vector<TileCopy>;
    return *pending_copies;
}

Mbarrier& checked(uint64_t* barrier, Site at) {
    if (reinterpret_cast<uintptr_t>(barrier) % 8 || !is_shared(barrier)) trap("mbarrier: not a multiple of 8 bytes in shared memory", at);
    if (*barrier == ~0ull) trap("mbarrier: it was not initialised", at);
    return *reinterpret_cast<Mbarrier*>(barrier);
}

void complete_phase(Mbarrier& m) {
    if (m.pending || m.bytes()) return;
    m.pending = m.count;
    m.set(0, m.parity() ^ 1);
    record::mbarrier_completes(reinterpret_cast<const uint64_t*>(&m));
    wake(&m);
}

void perform(const TileCopy& c) {
    const uint32_t base = shared_address(c.to, {});
    for (unsigned r = 0; r < c.map.box_rows; ++r) {
        const int64_t row = c.row + int64_t(r);
        const bool inside = row >= 0 && row < int64_t(c.map.rows);
        for (unsigned k = 0; k < 128; k += c.map.item) {  // 16 bytes stay together; single elements keep the edges simple
            const int64_t column = c.column + int64_t(k / c.map.item);
            void* to = shared_pointer(swizzle_128(base + r * 128 + k));
            if (inside && column >= 0 && column < int64_t(c.map.columns))
                std::memcpy(to, c.map.data + uint64_t(row) * c.map.stride + uint64_t(column) * c.map.item, c.map.item);
            else std::memset(to, 0, c.map.item);
        }
    }
    auto& m = *reinterpret_cast<Mbarrier*>(c.barrier);
    if (m.parity() != c.parity) complain("TMA: the mbarrier's phase ended before this copy: it expected too few bytes", c.at);
    m.set(m.bytes() - int(c.map.box_rows * 128), m.parity());
    complete_phase(m);
}

void record_load(const TileCopy& c) {
    if (!record::recording()) return;
    record::tma_load(c.barrier, c.at);
    for (unsigned r = 0; r < c.map.box_rows; ++r)
        for (unsigned k = 0; k < 128; k += c.map.item) {
            const int64_t row = c.row + int64_t(r), column = c.column + int64_t(k / c.map.item);
            const bool inside = row >= 0 && row < int64_t(c.map.rows) && column >= 0 && column < int64_t(c.map.columns);
            const char* from = c.map.data + uint64_t(row) * c.map.stride + uint64_t(column) * c.map.item;
            record::tma_moves(shared_pointer(swizzle_128(shared_address(c.to, {}) + r * 128 + k)), inside ? from : nullptr, c.map.item);
        }
}

// Does the copies that signal a barrier, or all.
bool perform_pending(const uint64_t* barrier) {
    std::vector<TileCopy> now;
    std::erase_if(pending(), [&](const TileCopy& c) {
        if (barrier && c.barrier != barrier) return false;
        now.push_back(c);
        return true;
    });
    for (const TileCopy& c : now) perform(c);
    return !now.empty();
}

}  // namespace

void reset_tma() {
    if (pending_copies) pending_copies->clear();
}

bool finish_tma() { return perform_pending(nullptr); }

void mbarrier_init(uint64_t* barrier, unsigned count, Site at) {
    if (reinterpret_cast<uintptr_t>(barrier) % 8 || !is_shared(barrier)) trap("mbarrier: not a multiple of 8 bytes in shared memory", at);
    if (!count || count > 0x7fff) trap("mbarrier: the count must be from 1 to 32767", at);
    record::mbarrier_init(barrier, at);
    *reinterpret_cast<Mbarrier*>(barrier) = {uint16_t(count), uint16_t(count), 0};
}

void mbarrier_arrive(uint64_t* barrier, Site at) {
    Mbarrier& m = checked(barrier, at);
    if (!m.pending) trap("mbarrier: more arrivals in a phase than it counts", at);
    record::mbarrier_arrive(barrier, at);
    --m.pending;
    complete_phase(m);
}

void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes, Site at) {
    Mbarrier& m = checked(barrier, at);
    m.set(m.bytes() + int(bytes), m.parity());
    mbarrier_arrive(barrier, at);
}

void mbarrier_wait(uint64_t* barrier, unsigned parity, Site at) {
    Mbarrier& m = checked(barrier, at);
    while (m.parity() == (parity & 1))
        if (!perform_pending(barrier)) park(&m, at, "an mbarrier wait");
    record::mbarrier_waited(barrier, at);
}

void encode_tensor_map(CUtensorMap& map, const void* data, unsigned item, uint64_t rows, uint64_t columns, uint64_t stride,
                       unsigned box_rows, unsigned box_columns) {
    const Map m{MAGIC, static_cast<const char*>(data), rows, columns, stride, item, box_rows, box_columns};
    map = {};
    std::memcpy(&map, &m, sizeof m);
}

void tma_load_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, Site at) {
    TileCopy c{static_cast<char*>(to), {}, column, row, barrier, checked(barrier, at).parity(), at};
    std::memcpy(&c.map, &map, sizeof c.map);
    if (c.map.magic != MAGIC) trap("TMA: not a tensor map", at);
    if (!is_shared(to) || shared_address(to, at) % 128) trap("TMA: the destination must be a multiple of 128 bytes in shared memory", at);
    record_load(c);
    if (settings.eager) perform(c);
    else pending().push_back(c);
}

}  // namespace emu
