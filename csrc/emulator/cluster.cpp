// Clusters: whose turn it is, barrier.cluster, and addresses of other blocks' shared memory.
#include "cluster.h"
#include "record.h"

namespace emu {

bool Cluster::start(unsigned rank) {
    for (unsigned now; (now = ready) != rank;) ready.wait(now);  // one after the other
    record::block_begins(rank);
    if (size == 1) return true;
    ++ready;
    ready.notify_all();
    if (rank == 0) {
        for (unsigned now; (now = ready) != size;) ready.wait(now);
        pass(settings.seed % size);
    }
    return wait_for_baton(rank);
}

void Cluster::pass(unsigned rank) {
    holder = rank;
    holder.notify_all();
}

bool Cluster::wait_for_baton(unsigned rank) {
    for (unsigned now; (now = holder) != rank;) {
        if (now == ABANDONED) return false;
        holder.wait(now);
    }
    record::block_runs(rank);
    return true;
}

unsigned Cluster::next_runnable(unsigned rank) const {
    for (unsigned i = 1; i <= size; ++i)
        if (blocks[(rank + i) % size]->runnable()) return (rank + i) % size;
    return NOBODY;
}

unsigned Cluster::alive() const {
    unsigned sum = 0;
    for (unsigned i = 0; i < size; ++i) sum += blocks[i]->alive;
    return sum;
}

bool Cluster::idle(Block& b) {
    unsigned next = next_runnable(b.rank);
    if (next == NOBODY && finish_copies(*this)) next = next_runnable(b.rank);
    if (b.failed) return false;  // a copy complained
    if (next == b.rank) return true;
    if (next == NOBODY) {
        b.failed = true;
        b.failure = {deadlock(*this), {}, 0, current.block, {}, false};
        return false;
    }
    pass(next);
    return wait_for_baton(b.rank);
}

void Cluster::leave(Block& b) {
    if (size > 1 && holder == ABANDONED) return;
    record::block_ends();  // while it is this block's turn: the recorder follows one block at a time
    if (size == 1) return;
    if (b.failed) return pass(ABANDONED);
    unsigned next = next_runnable(b.rank);
    for (unsigned i = 0; next == NOBODY && i < size; ++i)
        if (blocks[i]->alive) next = i;  // it will find out what can be done
    if (next != NOBODY) pass(next);
}

namespace {

void open_cluster_barrier(Cluster& c) {
    c.arrived = 0;
    ++c.phase;
    record::cluster_opens();
    for (unsigned i = 0; i < c.size; ++i) c.blocks[i]->ready.append(c.blocks[i]->cluster_waiting);
}

constexpr unsigned RANK_SHIFT = 24;  // a shared::cluster address: the rank plus one, above the address in the block

}  // namespace

void cluster_thread_ended(Block& b, Fiber* f) {  // a thread that has returned counts as arrived
    Cluster& c = *b.cluster;
    if (f->arrived_phase == int(c.phase)) --c.arrived;
    if (c.arrived && c.arrived == c.alive()) open_cluster_barrier(c);
}

Block& reachable(Cluster& c, unsigned rank, const char* what, Site at) {
    Block& b = *c.blocks[rank];
    const char* why = nullptr;
    if (!b.started) why = " has not begun: it needs a cluster barrier first";
    else if (!b.alive) why = " has ended: its shared memory is gone";
    if (why) trap((std::string(what) + ": block " + std::to_string(rank) + " of the cluster" + why).c_str(), at);
    return b;
}

void* cluster_pointer(uint32_t address, unsigned bytes, const char* what, Site at) {
    Cluster& c = *current.running->cluster;
    const uint32_t rank = address >> RANK_SHIFT, inside = address & ((1u << RANK_SHIFT) - 1);
    Block& b = rank ? reachable(c, rank - 1, what, at) : *current.running;
    if (inside % bytes) trap((std::string(what) + ": misaligned address").c_str(), at);
    if (!holds(b, inside, bytes)) trap((std::string(what) + ": the address is not in the block's shared memory").c_str(), at);
    return shared_pointer_in(b, inside);
}

unsigned cluster_rank() { return current.running->rank; }
unsigned cluster_size() { return current.running->cluster->size; }

void cluster_arrive(Site at) {
    Cluster& c = *current.running->cluster;
    Fiber* self = current.fiber;
    if (self->arrived_phase >= 0) trap("barrier.cluster: this thread arrived before and has not waited since", at);
    self->arrived_phase = int(c.phase);
    record::cluster_arrives(at);
    if (++c.arrived == c.alive()) open_cluster_barrier(c);
}

void cluster_wait(Site at) {
    Block& b = *current.running;
    Fiber* self = current.fiber;
    if (self->arrived_phase < 0) trap("barrier.cluster: this thread waits and has not arrived", at);
    if (self->arrived_phase == int(b.cluster->phase)) {
        b.cluster_waiting.push(self);
        suspend("barrier.cluster", at);
    }
    self->arrived_phase = -1;
    record::cluster_waited();
}

uint32_t map_to_rank(const void* p, unsigned rank, Site at) {
    const Cluster& c = *current.running->cluster;
    if (rank >= c.size)
        trap(("mapa: there is no block " + std::to_string(rank) + " in a cluster of " + std::to_string(c.size)).c_str(), at);
    return shared_address(p, at) | (rank + 1) << RANK_SHIFT;
}

uint32_t load_cluster(uint32_t address, Site at) {
    auto* p = static_cast<uint32_t*>(cluster_pointer(address, 4, "ld.shared::cluster", at));
    record::cluster_access(p, false, at);
    return *p;
}

void store_cluster(uint32_t address, uint32_t value, Site at) {
    auto* p = static_cast<uint32_t*>(cluster_pointer(address, 4, "st.shared::cluster", at));
    record::cluster_access(p, true, at);
    *p = value;
}

}  // namespace emu
