#include "clocks.h"

#include <algorithm>
#include <stdexcept>

namespace emu::lab {

namespace {

void maximum(std::vector<Time>& to, const std::vector<Time>& from) {
    if (to.size() < from.size()) to.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) to[i] = std::max(to[i], from[i]);
}

void raise(std::vector<Time>& to, Agent a, Time t) {
    if (to.size() <= a) to.resize(a + 1);
    to[a] = std::max(to[a], t);
}

bool same(const Knowledge& a, const Knowledge& b) { return a.reached == b.reached && a.fenced == b.fenced && a.foreign == b.foreign; }

std::shared_ptr<const Foreign> merged(const std::shared_ptr<const Foreign>& a, const std::shared_ptr<const Foreign>& b) {
    if (!a || a == b) return b;
    if (!b) return a;
    auto out = std::make_shared<Foreign>(*a);
    for (const auto& [cluster, known] : *b) {
        Known& mine = (*out)[cluster];
        if (!mine || mine == known) {
            mine = known;
            continue;
        }
        auto both = std::make_shared<Knowledge>(*mine);
        maximum(both->reached, known->reached);
        both->floor = std::max(both->floor, known->floor);
        mine = both;
    }
    return out;
}

}  // namespace

unsigned Agents::thread_of(Agent a) const {
    if (a < threads) return a;
    if (a < phase(0)) return (a - threads) * 128;
    if (a < copies(0)) return 0;
    return (a - copies(0)) % threads;
}

const char* Agents::name(Agent a) const {
    return a < threads ? "thread" : a < phase(0) ? "wgmma" : a < copies(0) ? "tma" : a < bulk_reads(0) ? "cp.async" : "tma store";
}

void Collected::add(const Known& k) {
    any = true;
    if (k == latest) return;
    latest = k;
    maximum(sum.reached, k->reached);
    maximum(sum.fenced, k->fenced);
    sum.floor = std::max(sum.floor, k->floor);
    sum.foreign = merged(sum.foreign, k->foreign);
}

void Collected::add(Agent a, Time t) {
    if (t) raise(sum.reached, a, t);
}

void Collected::add_fenced(Agent a, Time t) {
    if (t) raise(sum.fenced, a, t);
}

Known Collected::finish(unsigned threads) {
    if (sum.reached.size() >= threads)
        sum.floor = std::max(sum.floor, *std::min_element(sum.reached.begin(), sum.reached.begin() + ptrdiff_t(threads)));
    auto out = std::make_shared<const Knowledge>(std::move(sum));
    *this = {};
    return out;
}

void Clocks::launch_begins() {
    launch_start = tick();
    starts_.clear();
    locations_.clear();
}

Time Clocks::tick() {
    if (++time_ == ~0u) throw std::runtime_error("the lab's recording is too long: stop and start it more often");
    return time_;
}

void Clocks::cluster_begins(unsigned count) {
    start = tick();
    cluster = unsigned(starts_.size());
    starts_.push_back(start);
    agents.threads = count;
    auto nothing = std::make_shared<Knowledge>();
    nothing->floor = start;
    const Time now = tick();
    threads.assign(count, {});
    for (Thread& t : threads) t.known = nothing, t.now = now;
    warpgroups.assign(agents.groups(), {});
    mbarriers_.clear();
    mbarrier_count_ = 0;
}

uint32_t Clocks::cluster_of(Time t) const {
    return uint32_t(std::upper_bound(starts_.begin(), starts_.end(), t) - starts_.begin()) - 1;
}

bool Clocks::ordered_otherwise(unsigned thread, Agent a, Time t) const {
    const Thread& me = threads[thread];
    if (t < start) {  // in global memory: of an earlier cluster of this launch
        const auto& foreign = me.known->foreign;
        if (!foreign) return false;
        const auto found = foreign->find(cluster_of(t));
        return found != foreign->end() && (t <= found->second->of(a) || (a < agents.threads && t <= found->second->floor));
    }
    if (a < agents.phase(0) && thread / 128 == a - agents.threads && t <= warpgroups[thread / 128].done) return true;
    if (a == agents.copies(thread)) return t <= me.copies.done;
    if (a == agents.bulk_reads(thread)) return t <= me.bulk_reads.done;
    if (a == agents.bulk_writes(thread)) return t <= me.bulk_writes.done;
    return t <= me.known->of(a);
}

bool Clocks::fenced(unsigned thread, Agent a, Time t) const {
    const Thread& me = threads[thread];
    if (a == thread) return t <= me.fenced;
    return t <= me.known->fenced_of(a) || (me.at_proxy_fence && (t <= me.at_proxy_fence->floor || t <= me.at_proxy_fence->of(a)));
}

void Clocks::publish(unsigned thread, Collected& to) {
    Thread& me = threads[thread];
    to.add(me.known);
    to.add(thread, me.now);
    to.add(agents.warpgroup(thread / 128), warpgroups[thread / 128].done);
    to.add(agents.copies(thread), me.copies.done);
    to.add(agents.bulk_reads(thread), me.bulk_reads.done);
    to.add(agents.bulk_writes(thread), me.bulk_writes.done);
    if (me.fenced) {
        maximum(to.sum.fenced, me.at_proxy_fence->reached);
        to.add_fenced(thread, me.fenced);
    }
    me.now = tick();
}

Known Clocks::join(const Known& a, const Known& b) {
    if (a == b) return a;
    if (a == left_ && b == right_) return both_;
    Collected c;
    c.add(a);
    c.add(b);
    Known out = c.finish(agents.threads);
    if (same(*out, *b)) out = b;
    left_ = a, right_ = b, both_ = out;
    return out;
}

void Clocks::learn(unsigned thread, const Known& what) {
    if (what) threads[thread].known = join(threads[thread].known, what);
}

void Clocks::open(Collected& arrivals, const std::vector<unsigned>& waiting) {
    const Known all = arrivals.finish(agents.threads);
    const Time now = tick();
    for (unsigned t : waiting) threads[t].known = all, threads[t].now = now;
}

void Clocks::proxy_fence(unsigned thread) {
    Thread& me = threads[thread];
    me.fenced = me.now;
    me.at_proxy_fence = me.known;
    me.now = tick();
}

Known Clocks::snapshot(unsigned thread) {
    Collected c;
    publish(thread, c);
    return c.finish(agents.threads);
}

void Clocks::fence(unsigned thread, bool of_device) {
    Thread& me = threads[thread];
    learn(thread, me.seen_by_block);
    if (of_device && me.seen_by_device) {
        auto more = std::make_shared<Knowledge>(*me.known);
        Known own;
        auto others = std::make_shared<Foreign>(*me.seen_by_device);
        if (const auto found = others->find(cluster); found != others->end()) own = found->second, others->erase(found);
        more->foreign = merged(more->foreign, others);
        me.known = more;
        learn(thread, own);
        me.seen_by_device = nullptr;
    }
    me.seen_by_block = nullptr;
    me.block_fence = snapshot(thread);
    if (of_device) me.device_fence = me.block_fence;
}

// A relaxed operation that sees all earlier ones on its address. With a fence before it publishes, with a fence after it learns.
void Clocks::atomic(unsigned thread, const void* p) {
    Thread& me = threads[thread];
    const auto found = locations_.find(p);
    if (found == locations_.end() && !me.block_fence) return;
    Location& l = found == locations_.end() ? locations_[p] : found->second;
    if (l.cluster != cluster) l.by_block = nullptr, l.cluster = cluster;
    if (l.by_block) me.seen_by_block = me.seen_by_block ? join(me.seen_by_block, l.by_block) : l.by_block;
    me.seen_by_device = merged(me.seen_by_device, l.by_device);
    if (me.block_fence) l.by_block = l.by_block ? join(l.by_block, me.block_fence) : me.block_fence;
    if (me.device_fence) {
        auto mine = std::make_shared<Foreign>();
        mine->emplace(cluster, me.device_fence);
        l.by_device = merged(l.by_device, merged(me.device_fence->foreign, mine));
    }
}

Phases& Clocks::phases(const void* mbarrier) {
    Phases& p = mbarriers_[mbarrier];
    if (!p.now) {
        if (mbarrier_count_ == MAX_MBARRIERS) trap("the lab follows at most 1024 mbarriers of a cluster", {});
        p.number = mbarrier_count_++;
        p.now = tick();
    }
    return p;
}

void Clocks::forget_mbarrier(const void* mbarrier) { mbarriers_.erase(mbarrier); }

void Clocks::complete(Phases& p) {
    if (p.completed) p.arrivals.add(p.completed);  // who sees a phase's end sees those before it
    p.arrivals.add(agents.phase(p.number), p.now);
    p.completed = p.arrivals.finish(agents.threads);
    p.now = tick();
}

Time Clocks::issue(Groups& g) { return g.open ? g.open : g.open = tick(); }

void Clocks::commit(Groups& g) {
    g.closed.push_back(issue(g));
    g.open = 0;
}

void Groups::wait(unsigned pending) {
    if (closed.size() <= pending) return;
    const size_t over = closed.size() - pending;
    done = closed[over - 1];
    closed.erase(closed.begin(), closed.begin() + ptrdiff_t(over));
}

}  // namespace emu::lab
