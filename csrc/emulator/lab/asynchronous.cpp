// Instructions whose memory accesses the emulator makes: ldmatrix, cp.async, mbarriers and TMA, wgmma.
//
// An asynchronous access is remembered when it is issued, with the time of the group or phase that it belongs to. Its agent reaches
// that time when somebody waits for it; until then everything that touches the same bytes races with it.
#include "recorder.h"

namespace emu::record {

using namespace lab;

namespace {

constexpr uint32_t MEMORY_WORD = 4;
using Mode = Shadow::Mode;

bool running() { return recorder.on && recorder.here; }

// A lane's part of a warp request.
uint32_t lane_access(const void* p, unsigned bytes, Space space, Access access, Via via, Site at) {
    const uint32_t site = recorder.sites.at(at, {space, access, via, {}, bytes});
    if (recorder.metrics) recorder.requests.add(site, recorder.warp(), current.fiber->lane, reinterpret_cast<uintptr_t>(p));
    return site;
}

void remember(Mode mode, const void* p, unsigned bytes, unsigned thread, const Stamp& stamp) {
    Recorder::Found found;
    if (recorder.races && bytes && recorder.find(p, found)) recorder.remember(mode, found, p, bytes, thread, stamp);
}

}  // namespace

void cp_async(void* to, const void* from, unsigned bytes, unsigned filled, Site at) {
    if (!running()) return;
    const unsigned t = recorder.thread();
    const Agent agent = recorder.clocks.agents.copies(t);
    const Time time = recorder.races ? recorder.clocks.issue(recorder.clocks.threads[t].copies) : 0;
    instruction(Kind::cp_async, at);
    if (filled) remember(Mode::read, from, filled, t, {agent, time, lane_access(from, filled, Space::global, Access::load, Via::cp_async, at)});
    remember(Mode::write, to, bytes, t, {agent, time, lane_access(to, bytes, Space::shared, Access::store, Via::cp_async, at)});
}

void cp_async_commit() {
    if (running() && recorder.races) recorder.clocks.commit(recorder.clocks.threads[recorder.thread()].copies);
}

void cp_async_wait(unsigned pending) {
    if (running() && recorder.races) recorder.clocks.threads[recorder.thread()].copies.wait(pending);
}

void ldmatrix(const void* row, bool transposed, Site at) {
    if (!running()) return;
    const uint32_t site = lane_access(row, 16, Space::shared, Access::load, Via::ldmatrix, at);
    instruction(Kind::ldmatrix, at);
    if (!recorder.races) return;
    const unsigned warp = recorder.thread() / 32 * 32, r = current.fiber->lane % 8;
    for (unsigned word = 0; word < 4; ++word) {
        const char* p = static_cast<const char*>(row) + word * MEMORY_WORD;
        const auto read = [&](unsigned lane) {
            const unsigned t = warp + lane;
            remember(Mode::read, p, MEMORY_WORD, t, {t, recorder.clocks.threads[t].now, site});
        };
        if (!transposed) read(r * 4 + word);
        else read(word * 8 + r / 2), read(word * 8 + 4 + r / 2);
    }
}

// ---- mbarriers: their words are written once, by init; the rest are atomic operations

void mbarrier_init(const uint64_t* barrier, Site at) {
    if (!running() || !recorder.races) return;
    const unsigned t = recorder.thread();
    const uint32_t site = recorder.sites.at(at, {Space::shared, Access::store, Via::thread, {}, 8});
    remember(Mode::write, barrier, 8, t, {t, recorder.clocks.threads[t].now, site});
    recorder.clocks.forget_mbarrier(barrier);
}

namespace {

Phases& use(const uint64_t* barrier, Site at) {
    const unsigned t = recorder.thread();
    const uint32_t site = recorder.sites.at(at, {Space::shared, Access::atomic, Via::thread, {}, 8});
    remember(Mode::atomic, barrier, 8, t, {t, recorder.clocks.threads[t].now, site});
    return recorder.clocks.phases(barrier);
}

}  // namespace

void mbarrier_arrive(const uint64_t* barrier, Site at) {
    if (!running()) return;
    instruction(Kind::mbarrier_arrive, at);
    if (recorder.races) recorder.clocks.publish(recorder.thread(), use(barrier, at).arrivals);
}

void mbarrier_completes(const uint64_t* barrier) {
    if (running() && recorder.races) recorder.clocks.complete(recorder.clocks.phases(barrier));
}

void mbarrier_waited(const uint64_t* barrier, Site at) {
    if (!running()) return;
    instruction(Kind::mbarrier_wait, at);
    if (recorder.races) recorder.clocks.learn(recorder.thread(), use(barrier, at).completed);
}

// ---- TMA

namespace {

struct Load {  // the latest
    unsigned thread;
    Stamp global, shared;
    uintptr_t sector;  // of global memory, read last
} load;

void count(uint32_t site, uint64_t bytes) {
    recorder.requests.at(site).bytes += bytes;
}

}  // namespace

void tma_load(const uint64_t* barrier, Site at) {
    if (!running()) return;
    instruction(Kind::tma_load, at);
    const uint32_t from = recorder.sites.at(at, {Space::global, Access::load, Via::tma, {}, 0});
    const uint32_t to = recorder.sites.at(at, {Space::shared, Access::store, Via::tma, {}, 0});
    Agent agent = 0;
    Time time = 0;
    if (recorder.races) {
        const Phases& phases = use(barrier, at);
        recorder.issuers[phases.number] = recorder.thread();
        agent = recorder.clocks.agents.phase(phases.number);
        time = phases.now;
    }
    load = {recorder.thread(), {agent, time, from}, {agent, time, to}, 0};
    if (!recorder.metrics) return;
    ++recorder.requests.at(from).requests;
    ++recorder.requests.at(to).requests;
}

void tma_moves(void* shared, const void* global, unsigned bytes) {
    if (!running()) return;
    if (recorder.metrics) {
        count(load.shared.site, bytes);
        if (global) {
            Totals& t = recorder.requests.at(load.global.site);
            t.bytes += bytes;
            const uintptr_t sector = reinterpret_cast<uintptr_t>(global) / 32;
            t.sectors += sector != load.sector;
            recorder.requests.footprint.touch(reinterpret_cast<uintptr_t>(global), bytes, true, false);
            load.sector = sector;
        }
    }
    remember(Mode::write, shared, bytes, load.thread, load.shared);
    if (global) remember(Mode::read, global, bytes, load.thread, load.global);
}

// ---- TMA stores

namespace {

struct Stored {  // the latest
    Stamp shared, global;
    uintptr_t sector;
} stored;

}  // namespace

void tma_store(Site at) {
    if (!running()) return;
    instruction(Kind::tma_store, at);
    const unsigned t = recorder.thread();
    Clocks& c = recorder.clocks;
    stored = {{0, 0, recorder.sites.at(at, {Space::shared, Access::load, Via::tma_store, {}, 0})},
              {0, 0, recorder.sites.at(at, {Space::global, Access::store, Via::tma_store, {}, 0})}, 0};
    if (recorder.races) {
        stored.shared.agent = c.agents.bulk_reads(t), stored.shared.time = c.issue(c.threads[t].bulk_reads);
        stored.global.agent = c.agents.bulk_writes(t), stored.global.time = c.issue(c.threads[t].bulk_writes);
    }
    if (!recorder.metrics) return;
    ++recorder.requests.at(stored.shared.site).requests;
    ++recorder.requests.at(stored.global.site).requests;
}

void tma_stores(const void* shared, void* global, unsigned bytes) {
    if (!running() || !global) return;
    if (recorder.metrics) {
        count(stored.shared.site, bytes);
        Totals& t = recorder.requests.at(stored.global.site);
        t.bytes += bytes;
        const uintptr_t sector = reinterpret_cast<uintptr_t>(global) / 32;
        t.sectors += sector != stored.sector;
        recorder.requests.footprint.touch(reinterpret_cast<uintptr_t>(global), bytes, false, true);
        stored.sector = sector;
    }
    if (!recorder.races) return;
    const unsigned t = recorder.thread();
    Recorder::Found f;
    Clocks& c = recorder.clocks;
    bool reported = false;
    if (recorder.find(shared, f))
        recorder.shadow.each_write(f.cells, f.offset, bytes, c.start, [&](const Stamp& s) {  // orders are remember's to judge
            if (reported || s.agent >= c.agents.threads || !c.ordered(t, s.agent, s.time) || c.fenced(t, s.agent, s.time)) return;
            recorder.report("missing fence.proxy.async", Space::shared, &s, stored.shared, shared);
            reported = true;
        });
    remember(Mode::read, shared, bytes, t, stored.shared);
    remember(Mode::write, global, bytes, t, stored.global);
}

void tma_store_commit() {
    if (!running() || !recorder.races) return;
    Thread& t = recorder.clocks.threads[recorder.thread()];
    recorder.clocks.commit(t.bulk_reads);
    recorder.clocks.commit(t.bulk_writes);
}

void tma_store_wait(unsigned pending, bool read_only) {
    if (!running() || !recorder.races) return;
    Thread& t = recorder.clocks.threads[recorder.thread()];
    t.bulk_reads.wait(pending);
    if (!read_only) t.bulk_writes.wait(pending);
}

// ---- wgmma

namespace {

struct Product {  // of a warpgroup: the latest issued
    Stamp stamp;
    std::vector<unsigned> witnesses;  // threads that know different things: what is read must be ordered before each
} product;

}  // namespace

void wgmma_issues(unsigned group, Site at) {
    if (!running()) return;
    const uint32_t site = recorder.sites.at(at, {Space::shared, Access::load, Via::wgmma, {}, 0});
    if (recorder.metrics) ++recorder.requests.at(site).requests;
    if (!recorder.races) return;
    Clocks& c = recorder.clocks;
    const unsigned first = recorder.here->first_thread + group * 128;
    product.stamp = {c.agents.warpgroup(first / 128), c.issue(c.warpgroups[first / 128]), site};
    product.witnesses.clear();
    for (unsigned t = first; t < first + 128; ++t) {
        unsigned alike = 0;  // two threads that know the same still do not know each other's latest
        for (unsigned w : product.witnesses) alike += c.threads[w].known == c.threads[t].known;
        if (alike < 2) product.witnesses.push_back(t);
    }
}

void wgmma_reads(const void* p) {
    if (!running()) return;
    if (recorder.metrics) count(product.stamp.site, 16);
    Recorder::Found f;
    if (!recorder.races || !recorder.find(p, f)) return;
    Clocks& c = recorder.clocks;
    bool reported = false;
    recorder.shadow.each_write(f.cells, f.offset, 16, c.start, [&](const Stamp& s) {
        if (reported) return;
        const bool generic = s.agent < c.agents.threads;
        for (unsigned w : product.witnesses) {
            if (!c.ordered(w, s.agent, s.time)) recorder.report("write-read", Space::shared, &s, product.stamp, p);
            else if (generic && !c.fenced(w, s.agent, s.time)) recorder.report("missing fence.proxy.async", Space::shared, &s, product.stamp, p);
            else continue;
            reported = true;
            return;
        }
    });
    if (!reported) recorder.remember(Mode::read, f, p, 16, product.witnesses[0], product.stamp);
}

void wgmma_holds(unsigned group, unsigned thread, const void* registers, unsigned count) {
    if (!running() || !recorder.races) return;
    const auto* low = reinterpret_cast<const char*>(registers);
    auto& all = recorder.held[recorder.here->first_thread + group * 128 + thread];
    for (Held& a : all)
        if (a.low == low) return void(a.group = product.stamp.time);
    all.push_back({low, low + count * sizeof(float), product.stamp.time, product.stamp.site});
}

void wgmma_commit(unsigned group) {
    if (running() && recorder.races) recorder.clocks.commit(recorder.clocks.warpgroups[recorder.here->first_thread / 128 + group]);
}

void wgmma_wait(unsigned group, unsigned pending) {
    if (!running() || !recorder.races) return;
    const unsigned first = recorder.here->first_thread + group * 128;
    Groups& g = recorder.clocks.warpgroups[first / 128];
    g.wait(pending);
    for (unsigned t = first; t < first + 128; ++t)
        std::erase_if(recorder.held[t], [&](const Held& a) { return a.group <= g.done; });
}

}  // namespace emu::record
