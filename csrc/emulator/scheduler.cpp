// Fibers and blocks. A worker fiber runs one CUDA thread after another; only when a thread has to wait does the scheduler
// resume a ready fiber or start a fresh one. A kernel that never waits is therefore a plain loop.
#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>

#include "cluster.h"
#include "fibers.h"
#include "record.h"

namespace emu {

thread_local constinit Current current{};
Settings settings;

namespace {

[[noreturn]] void worker();

void meet(Block& b, Meeting& m, Fiber* self) {
    if (m.run) m.run(m.args, m.arrived);
    const unsigned arrived = m.arrived;
    const Warp& w = *m.fibers[__builtin_ctz(arrived)]->warp;
    record::warp_meets(unsigned(&w - b.warps), arrived, arrived == w.alive, !m.run);
    m.mask = m.arrived = 0;
    for (unsigned left = arrived; left; left &= left - 1) {
        Fiber* f = m.fibers[__builtin_ctz(left)];
        if (f != self) b.ready.push(f);
    }
}

Failure failure_here(std::string what, Site at) {
    return {std::move(what), at, 0, current.block, current.fiber->thread, true};
}

std::string at_line(Site at) { return std::string(at.file_name()) + ":" + std::to_string(at.line()); }

[[noreturn]] void diverged(const Barrier& barrier, Site at) {
    const uint3 t = barrier.waiting.head->thread;
    fail(failure_here("barrier divergence: this thread came to __syncthreads here, but thread (" + std::to_string(t.x) + ", " +
                      std::to_string(t.y) + ", " + std::to_string(t.z) + ") of the same block waits at " + at_line(barrier.at), at));
}

void open_barrier(Block& b, Barrier& barrier) {
    record::opens(0);
    b.count = barrier.sum;
    barrier.sum = 0;
    barrier.arrived = 0;
    b.ready.append(barrier.waiting);
}

void finish_thread(Block& b, Fiber* f) {
    record::thread_ends();
    if (f->stores) end_stores(f);
    --b.alive;
    f->warp->alive &= ~(1u << f->lane);
    if (b.cluster->arrived) cluster_thread_ended(b, f);
    if (!b.blocked) return;
    Barrier& barrier = b.barriers[0];  // a thread that has returned counts as arrived
    if (b.alive && barrier.arrived == b.alive) open_barrier(b, barrier);
    for (Meeting& m : f->warp->meetings)
        if (m.arrived && m.arrived == (m.mask & f->warp->alive)) meet(b, m, nullptr);
}

void worker() {
    Block& b = *current.running;
    Fiber* self = current.fiber;
    while (b.started < b.threads && !b.ready.head) {
        const Start& s = b.order[b.started++];
        self->thread = s.thread;
        self->linear = s.linear;
        self->lane = s.linear % 32;
        self->warp = &b.warps[s.linear / 32];
        self->arrived_phase = -1;
        if (self->copies) self->copies->copies.clear(), self->copies->groups.clear();
        if (self->stores) clear_stores(self);
        b.body(b.arguments);
        finish_thread(b, self);
    }
    Fiber* to = b.ready.pop();
    switch_to(self, to ? to : &b.scheduler);  // for good: the stack is used again from its top
    __builtin_unreachable();
}

struct Waiting {
    unsigned count;
    const Block* block;
    Fiber* first;
};

void note_waiting(const Block& b, std::vector<Waiting>& places) {
    const size_t others = places.size();  // of other blocks
    const auto note = [&](Fiber* f) {
        for (size_t i = others; i < places.size(); ++i)
            if (places[i].first->at.line() == f->at.line() && places[i].first->doing == f->doing) return void(++places[i].count);
        places.push_back({1, &b, f});
    };
    for (const Barrier& barrier : b.barriers)
        for (Fiber* f = barrier.waiting.head; f; f = f->next) note(f);
    for (const Group& g : b.groups)
        for (Fiber* f = g.waiting.head; f; f = f->next) note(f);
    for (const Parked& p : b.parked) note(p.fiber);
    for (const Warp& w : b.warps)
        for (const Meeting& m : w.meetings)
            for (unsigned left = m.arrived; left; left &= left - 1) note(m.fibers[__builtin_ctz(left)]);
    for (Fiber* f = b.cluster_waiting.head; f; f = f->next) note(f);
}

std::string coordinates(uint3 v) {
    return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

}  // namespace

std::string deadlock(const Cluster& c) {
    std::vector<Waiting> places;
    for (unsigned rank = 0; rank < c.size; ++rank) note_waiting(*c.blocks[rank], places);
    std::string out = "deadlock: of " + std::to_string(c.alive()) + " running threads";
    if (c.size > 1) out += " of a cluster of " + std::to_string(c.size) + " blocks";
    for (const Waiting& w : places) {
        out += (&w == places.data() ? " " : ", ") + std::to_string(w.count) + " wait in " + w.first->doing + " at " + at_line(w.first->at) +
               " (first: " + (c.size > 1 ? "block " + coordinates(w.block->index) + ", " : "") + "thread " +
               coordinates(w.first->thread) + ")";
    }
    return out;
}

Block& this_block() {
    if (!current.running) current.running = new Block;  // lives as long as the thread; workers live as long as the process
    return *current.running;
}

void suspend(const char* doing, Site at) {
    Block& b = *current.running;
    Fiber* self = current.fiber;
    self->doing = doing;
    self->at = at;
    b.blocked = true;
    Fiber* to = b.ready.pop();
    if (!to) to = b.started < b.threads ? fresh(b.pool, worker) : &b.scheduler;
    switch_to(self, to);
}

void fail(Failure failure) {
    Block& b = *current.running;
    b.failed = true;
    b.failure = std::move(failure);
    switch_to(current.fiber, &b.scheduler);
    __builtin_unreachable();
}

void complain(const char* what, Site at) {
    Block& b = *current.running;
    if (current.fiber != &b.scheduler) trap(what, at);
    b.failed = true;
    b.failure = {what, at, 0, current.block, {}, false};
}

void trap(const char* what, Site at) { fail(failure_here(what, at)); }

void sync_block(Site at) {
    Block& b = *current.running;
    Barrier& barrier = b.barriers[0];
    if (!barrier.arrived) barrier.at = at;
    else if (barrier.at.line() != at.line()) diverged(barrier, at);
    record::instruction(record::Kind::barrier, at);
    record::arrives(0, true);
    if (barrier.arrived + 1 == b.alive) return open_barrier(b, barrier);
    ++barrier.arrived;
    barrier.waiting.push(current.fiber);
    suspend("__syncthreads", at);
}

int sync_block_count(int predicate, Site at) {
    Block& b = *current.running;
    b.barriers[0].sum += predicate != 0;
    sync_block(at);
    return b.count;
}

namespace {

bool complete(Block& b, unsigned id, unsigned threads, bool waits, Site at) {
    if (id >= 16) trap("named barrier: there are barriers 0 to 15", at);
    if (threads % 32 || threads > b.threads) trap("named barrier: the number of threads must be a multiple of 32 within the block", at);
    Barrier& barrier = b.barriers[id];
    if (!barrier.arrived) barrier.expected = threads;
    else if (barrier.expected != threads) trap("named barrier: threads came to it with different counts", at);
    record::instruction(record::Kind::named_barrier, at);
    record::arrives(id, waits);
    if (++barrier.arrived < threads) return false;
    record::opens(id);
    barrier.arrived = 0;
    b.ready.append(barrier.waiting);
    return true;
}

}  // namespace

void sync_named(unsigned id, unsigned threads, Site at) {
    Block& b = *current.running;
    if (complete(b, id, threads, true, at)) return;
    b.barriers[id].waiting.push(current.fiber);
    suspend("a named barrier", at);
}

void arrive_named(unsigned id, unsigned threads, Site at) { complete(*current.running, id, threads, false, at); }

void warp_collective(unsigned mask, const char* name, void* args, WarpWork run, Site at) {
    Block& b = *current.running;
    Fiber* self = current.fiber;
    Warp& w = *self->warp;
    const unsigned bit = 1u << self->lane;
    if (!(mask & bit)) trap("warp collective: the calling lane is not in its mask", at);
    mask &= w.full;  // a partial warp has no such lanes
    Meeting* m = nullptr;
    for (Meeting& x : w.meetings) {
        if (x.arrived && x.mask == mask) {
            m = &x;
            break;
        }
        if (!x.arrived && !m) m = &x;
    }
    if (!m) trap("warp collective: more than four masks of one warp are under way", at);
    if (!m->arrived) {
        m->mask = mask;
        m->name = name;
        m->run = run;
    } else if (m->name != name) {
        trap((std::string("warp divergence: this lane came to ") + name + " while others of its mask wait in " + m->name).c_str(), at);
    }
    m->arrived |= bit;
    m->fibers[self->lane] = self;
    m->args[self->lane] = args;
    if (m->arrived == (mask & w.alive)) return meet(b, *m, self);
    suspend(name, at);
}

void warpgroup_collective(const char* name, void* args, GroupWork run, Site at) {
    Block& b = *current.running;
    Fiber* self = current.fiber;
    const unsigned number = self->linear / 128;
    Group& g = b.groups[number];
    if (!g.arrived) {
        g.name = name;
        g.run = run;
    } else if (g.name != name) {
        trap((std::string("warpgroup divergence: this thread came to ") + name + " while others wait in " + g.name).c_str(), at);
    }
    g.args[self->linear % 128] = args;
    if (++g.arrived < 128) {
        g.waiting.push(self);
        return suspend(name, at);
    }
    g.arrived = 0;
    record::warpgroup_meets(number);
    if (run) run(g.args, number);
    b.ready.append(g.waiting);
}

void park(const void* address, Site at, const char* doing) {
    current.running->parked.push_back({current.fiber, address});
    suspend(doing, at);
}

void wake(const void* address) {
    const Cluster& c = *current.running->cluster;
    for (unsigned rank = 0; rank < c.size; ++rank) {
        Block& b = *c.blocks[rank];
        size_t kept = 0;
        for (const Parked& p : b.parked)
            if (p.address == address) b.ready.push(p.fiber);
            else b.parked[kept++] = p;
        b.parked.resize(kept);
    }
}

void Block::prepare(dim3 dim, Body kernel_body, void* kernel_arguments) {
    threads = dim.x * dim.y * dim.z;
    body = kernel_body;
    arguments = kernel_arguments;
    for (unsigned i = 0; i < threads; ++i) order[i] = {{i % dim.x, i / dim.x % dim.y, i / (dim.x * dim.y)}, i};
    for (unsigned w = 0; w * 32 < threads; ++w) warps[w].full = threads - w * 32 >= 32 ? ~0u : (1u << (threads - w * 32)) - 1;
}

void Block::begin(Cluster& of, unsigned number_in_it, unsigned linear) {
    cluster = &of;
    rank = number_in_it;
    of.blocks[rank] = this;
    started = 0;
    alive = threads;
    blocked = failed = false;
    ready = cluster_waiting = {};
    parked.clear();
    for (Barrier& b : barriers) b = {};
    for (Group& g : groups) g.arrived = 0, g.waiting = {};
    for (unsigned w = 0; w * 32 < threads; ++w) {
        warps[w].alive = warps[w].full;
        for (Meeting& m : warps[w].meetings) m.mask = m.arrived = 0;
    }
    if (settings.seed) std::shuffle(order, order + threads, std::minstd_rand(settings.seed * 7919 + linear));
    index = current.block;
    reset_wgmma();
}

bool Block::run() {
    Fiber* const outside = current.fiber;
    current.fiber = &scheduler;
    while (alive && !failed) {
        Fiber* f = ready.pop();
        if (!f && started < threads) f = fresh(pool, worker);
        if (f) {
            switch_to(&scheduler, f);
            current.fiber = &scheduler;
        } else if (!cluster->idle(*this)) {
            break;
        }
    }
    if (!failed && !alive) check_no_copy_into(*this);
    cluster->leave(*this);
    current.fiber = outside;
    pool.used = 0;  // abandoned fibers are simply started anew
    return !failed;
}

}  // namespace emu
