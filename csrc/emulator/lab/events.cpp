// What the emulator tells the recorder (record.h), except asynchronous instructions.
#include "recorder.h"

namespace emu::record {

using lab::recorder;

namespace {

std::mutex launching;  // a recording follows one launch at a time

bool running() { return recorder.on && recorder.here; }

}  // namespace

bool recording() { return recorder.on; }

void launch_begins(const Launch& launch) {
    if (!recorder.on) return;
    launching.lock();
    recorder.launch_begins(launch);
}

void launch_ends(bool failed) {
    if (!recorder.in_launch) return;
    recorder.launch_ends(failed);
    launching.unlock();
}

void block_begins(unsigned rank) {
    if (recorder.in_launch) recorder.block_begins(rank);
}

void block_runs(unsigned rank) {
    if (recorder.in_launch) recorder.block_runs(rank);
}

void block_ends() {
    if (!running()) return;
    const auto warps = unsigned(recorder.record.warps / recorder.record.blocks);
    for (unsigned w = 0; w < warps; ++w) recorder.meet_warp(w, ~0u, true);
    recorder.here = nullptr;
}

void thread_ends() {
    if (running() && recorder.races) recorder.clocks.publish(recorder.thread(), recorder.here->ended);
}

void instruction(Kind kind, Site at) {
    if (!running() || !recorder.metrics) return;
    const uint32_t site = recorder.sites.at(at, {lab::Space::none, lab::Access::none, lab::Via::thread, kind, 0});
    recorder.requests.add(site, recorder.warp(), current.fiber->lane, 0);
}

void arrives(unsigned id, bool waits) {
    if (!running()) return;
    auto& barrier = recorder.here->barriers[id];
    if (recorder.races) recorder.clocks.publish(recorder.thread(), barrier.arrivals);
    if (waits) barrier.waiting.push_back(recorder.thread());
}

void opens(unsigned id) {
    if (!running()) return;
    auto& barrier = recorder.here->barriers[id];
    if (recorder.races) {
        if (id == 0 && recorder.here->ended.any) {  // a thread that has returned counts as arrived
            auto ended = recorder.here->ended;
            barrier.arrivals.add(ended.finish(recorder.clocks.agents.threads));
        }
        recorder.clocks.open(barrier.arrivals, barrier.waiting);
    }
    unsigned warps = 0;  // whole warps come to a barrier
    for (unsigned t : barrier.waiting) warps |= 1u << (t - recorder.here->first_thread) / 32;
    for (; warps; warps &= warps - 1) recorder.meet_warp(unsigned(__builtin_ctz(warps)), ~0u, true);
    barrier.waiting.clear();
}

void cluster_arrives(Site at) {
    if (!running()) return;
    instruction(Kind::cluster_barrier, at);
    if (recorder.races) recorder.clocks.publish(recorder.thread(), recorder.cluster_arrivals);
}

void cluster_opens() {
    if (!running() || !recorder.races) return;
    for (unsigned rank = 0; rank < recorder.blocks.size(); ++rank) {  // a thread that has returned counts as arrived
        auto ended = recorder.blocks[rank].ended;
        if (ended.any) recorder.cluster_arrivals.add(ended.finish(recorder.clocks.agents.threads));
    }
    recorder.cluster_known = recorder.cluster_arrivals.finish(recorder.clocks.agents.threads);
}

void cluster_waited() {
    if (running() && recorder.races) recorder.clocks.learn(recorder.thread(), recorder.cluster_known);
}

void cluster_access(void* p, bool store, Site at) {
    if (running()) recorder.access(p, 4, store ? lab::Access::store : lab::Access::load, false, at);
}

void warp_meets(unsigned warp, unsigned lanes, bool all, bool orders) {
    if (!running()) return;
    recorder.meet_warp(warp, lanes, all);
    if (!orders || !recorder.races) return;
    lab::Collected together;
    std::vector<unsigned> threads;
    for (unsigned left = lanes; left; left &= left - 1) {
        threads.push_back(recorder.here->first_thread + warp * 32 + unsigned(__builtin_ctz(left)));
        recorder.clocks.publish(threads.back(), together);
    }
    recorder.clocks.open(together, threads);
}

void warpgroup_meets(unsigned group) {
    if (!running()) return;
    for (unsigned w = group * 4; w < group * 4 + 4; ++w) recorder.meet_warp(w, ~0u, true);
}

void fence(bool of_device) {
    if (running() && recorder.races) recorder.clocks.fence(recorder.thread(), of_device);
}

void proxy_fence() {
    if (running() && recorder.races) recorder.clocks.proxy_fence(recorder.thread());
}

void atomic(void* p, unsigned bytes, Site at) {
    if (!running()) return;
    recorder.access(p, bytes, lab::Access::atomic, true, at);
    if (recorder.races) recorder.clocks.atomic(recorder.thread(), p);
}

}  // namespace emu::record
