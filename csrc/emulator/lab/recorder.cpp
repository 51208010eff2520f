#include "recorder.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace emu::lab {

Recorder recorder;

namespace {

Cell* map_cells(size_t bytes) {  // all zero: nothing known
    void* p = mmap(nullptr, bytes / 4 * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return static_cast<Cell*>(p);
}
void unmap_cells(Cell* cells, size_t bytes) { munmap(cells, bytes / 4 * sizeof(Cell)); }

uintptr_t word_before(const void* p) { return reinterpret_cast<uintptr_t>(p) / 4 * 4; }
size_t bytes_of(const Array& a) { return size_t(a.end - a.begin + 15) / 4 * 4; }

}  // namespace

void Recorder::launch_begins(const record::Launch& launch) {
    record = {};
    record.launch = launch;
    const dim3 b = launch.block, c = launch.cluster;
    const unsigned threads = b.x * b.y * b.z, size = c.x * c.y * c.z, warps = (threads + 31) / 32;
    record.blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    record.warps = record.blocks * warps;
    requests.clear(&sites, warps * size);
    if (blocks.size() < size) blocks.resize(size);
    for (unsigned rank = 0; rank < size; ++rank) blocks[rank].first_thread = rank * threads, blocks[rank].first_warp = rank * warps;
    held.assign(threads * size, {});
    issuers.assign(MAX_MBARRIERS, 0);
    block_of_.clear();
    touched_.assign(shared_arrays().size(), 0);
    arrays_.clear();
    for (const GuardedArray& a : guarded_arrays()) arrays_.push_back({a});
    latest_ = nullptr;
    clocks.launch_begins();
    shadow.launch_begins(threads * size);
    here = nullptr;
    in_launch = true;
}

void Recorder::launch_ends(bool failed) {
    in_launch = false;
    record.failed = failed;
    for (size_t i = 0; i < touched_.size(); ++i)
        if (touched_[i]) record.static_shared += shared_arrays()[i].size;
    for (Array& a : arrays_)
        if (a.cells) unmap_cells(a.cells, bytes_of(a));
    arrays_.clear();
    record.totals = requests.totals;
    record.sectors_read = requests.footprint.read();
    record.sectors_written = requests.footprint.written();
    done.push_back(std::move(record));
}

// The block on this operating-system thread.
void Recorder::block_begins(unsigned rank) {
    here = &blocks[rank];
    BlockState& b = *here;
    const SharedMemory memory = shared_memory();
    const auto region = [](Region& r, const char* begin, size_t bytes) {
        if (r.bytes < bytes) {
            if (r.cells) unmap_cells(r.cells, r.bytes);
            r.cells = map_cells(bytes);
            r.bytes = bytes;
        }
        r.begin = reinterpret_cast<uintptr_t>(begin);
    };
    region(b.window, memory.window, memory.window_bytes);
    region(b.statics, memory.statics, (memory.statics_bytes + 7) / 4 * 4);
    b.window.place = uintptr_t(1) << 40;
    b.statics.place = memory.statics_address;
    if (static_number_.empty() && memory.statics_bytes) {
        static_number_.assign(b.statics.bytes / 4, 0);
        for (size_t i = 0; i < shared_arrays().size(); ++i) {
            const Symbol& s = shared_arrays()[i];
            const size_t first = s.address - memory.statics_address;
            for (size_t at = first / 4; at < (first + s.size + 3) / 4; ++at) static_number_[at] = uint16_t(i + 1);
        }
    }
    b.block = current.block;
    for (auto& barrier : b.barriers) barrier = {};
    b.ended = {};
    if (rank == 0) {
        const dim3 d = current.block_dim, c = record.launch.cluster;
        clocks.cluster_begins(d.x * d.y * d.z * c.x * c.y * c.z);
        for (auto& a : held) a.clear();
        cluster_arrivals = {};
        cluster_known = nullptr;
    }
    block_of_.push_back(b.block);
}

// In a block's shared memory: 1 found, 0 there and none of a kernel's, -1 elsewhere.
int Recorder::find_shared(const BlockState& b, uintptr_t a, Found& f) {
    if (const Region& w = b.window; a - w.begin < w.bytes) {
        f = {Space::shared, w.cells, a - w.begin, true, w.place + (a - w.begin)};
        return 1;
    }
    const Region& s = b.statics;
    if (a - s.begin >= s.bytes) return -1;
    const uint16_t number = static_number_[(a - s.begin) / 4];
    if (!number) return 0;
    touched_[number - 1] = true;
    f = {Space::shared, s.cells, a - s.begin, true, s.place + (a - s.begin)};
    return 1;
}

bool Recorder::find(const void* p, Found& f) {
    const auto a = reinterpret_cast<uintptr_t>(p);
    if (const int found = find_shared(*here, a, f); found >= 0) return found;
    const dim3 c = record.launch.cluster;
    for (unsigned rank = 0, size = c.x * c.y * c.z; size > 1 && rank < size; ++rank)  // another block's, in its cluster
        if (const int found = find_shared(blocks[rank], a, f); found >= 0) return found;
    if (!latest_ || a < uintptr_t(latest_->begin) || a >= uintptr_t(latest_->end)) {
        const auto inside = [&](const Array& x) { return a >= uintptr_t(x.begin) && a < uintptr_t(x.end); };
        const auto found = std::find_if(arrays_.begin(), arrays_.end(), inside);
        if (found == arrays_.end()) return false;
        latest_ = &*found;
    }
    f = {Space::global, latest_->cells, a - word_before(latest_->begin), latest_->written, a};
    return true;
}

template <class Where> void Recorder::access(const void* p, unsigned bytes, Access access, bool strong, Where where) {
    Found at;
    if (!find(p, at)) return;
    const uint32_t site = sites.at(where, {at.space, access, Via::thread, {}, bytes});
    if (metrics) requests.add(site, warp(), current.fiber->lane, at.place);
    if (!races) return;
    const unsigned t = thread();
    using enum Shadow::Mode;
    remember(strong ? atomic : access == Access::store ? write : read, at, p, bytes, t, {t, clocks.threads[t].now, site});
}

template void Recorder::access(const void*, unsigned, Access, bool, uintptr_t);
template void Recorder::access(const void*, unsigned, Access, bool, Site);

void Recorder::remember(Shadow::Mode mode, const Found& f, const void* p, unsigned bytes, unsigned thread, const Stamp& stamp) {
    using enum Shadow::Mode;
    const bool is_shared = f.space == Space::shared;
    Cell* cells = f.cells;
    if (!is_shared) {
        if (mode == read && !f.remembered && !cells) return;
        if (!cells) cells = latest_->cells = map_cells(bytes_of(*latest_));
    }
    const Time since = is_shared ? clocks.start : clocks.launch_start;
    Finding found;
    if (mode == read) found = shadow.touch<read>(cells, f.offset, bytes, since, is_shared, thread, stamp);
    else if (mode == write) found = shadow.touch<write>(cells, f.offset, bytes, since, is_shared, thread, stamp);
    else found = shadow.touch<atomic>(cells, f.offset, bytes, since, is_shared, thread, stamp);
    if (!found) return;
    if (found.conflict == Conflict::uninitialised) return report("uninitialised", f.space, nullptr, stamp, p);
    const bool was_atomic = found.conflict == Conflict::with_atomic;
    const char* kind = found.with.time < clocks.start        ? "cross-block"
                       : was_atomic != (mode == atomic)       ? "atomic-plain"
                       : found.conflict == Conflict::with_read ? "read-write"
                       : mode == read                         ? "write-read"
                                                              : "write-write";
    report(kind, f.space, &found.with, stamp, p);
}

Side Recorder::side(const Stamp& s) const {
    const Agents& a = clocks.agents;
    const bool phase = s.agent >= a.phase(0) && s.agent < a.copies(0);
    const unsigned t = phase ? issuers[s.agent - a.phase(0)] : a.thread_of(s.agent);
    const dim3 d = record.launch.block, c = record.launch.cluster;
    const unsigned threads = d.x * d.y * d.z, rank = t / threads, i = t % threads;
    return {s.site, s.agent, block_of_[size_t(clocks.cluster_of(s.time)) * c.x * c.y * c.z + rank],
            {i % d.x, i / d.x % d.y, i / (d.x * d.y)}};
}

void Recorder::report(const char* kind, Space space, const Stamp* first, const Stamp& second, const void* p) {
    const Agents& a = clocks.agents;
    const RaceKey key{kind, space, first ? first->site : ~0u, second.site, first ? a.name(first->agent) : "", a.name(second.agent)};
    Race& race = record.races[key];
    if (race.count++) return;
    race.where = space == Space::registers ? "registers of wgmma" : describe(p);
    race.alone = !first;
    if (first) race.first = side(*first);
    race.second = side(second);
}

std::string Recorder::describe(const void* p) const {
    const auto a = reinterpret_cast<uintptr_t>(p);
    for (const BlockState& b : blocks) {
        if (a - b.window.begin < b.window.bytes) {
            const size_t dynamic = (record.launch.dynamic_shared + 1023) / 1024 * 1024;
            return "dynamic shared memory + " + std::to_string(a - (b.window.begin + b.window.bytes - dynamic)) + " bytes";
        }
        if (a - b.statics.begin < b.statics.bytes) {
            const Symbol& s = shared_arrays()[static_number_[(a - b.statics.begin) / 4] - 1];
            const size_t colon = s.name.rfind("::");
            const size_t offset = a - b.statics.begin + shared_memory().statics_address - s.address;
            return s.name.substr(colon == s.name.npos ? 0 : colon + 2) + " + " + std::to_string(offset) + " bytes";
        }
    }
    return place_of(a);
}

}  // namespace emu::lab
