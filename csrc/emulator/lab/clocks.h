// Who knows what of whom: the happens-before order of a cluster's threads and of the agents that work for them.
//
// Vector clocks in the manner of FastTrack (Flanagan and Freund, 2009). Every access carries its agent and that agent's time. An
// access is ordered before what a thread does now when the thread's clock for that agent has reached that time. What a thread
// learned from others is a `Knowledge`, immutable and shared by all who learned the same, so that a barrier costs one vector and not
// one for each thread; its own times are kept apart. Times are drawn from one counter and never repeat, in a whole recording: a time
// from before the launch, or the block, is recognised as such and nothing has to be cleared.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../block.h"

namespace emu::lab {

using Time = uint32_t;
using Agent = uint32_t;

constexpr unsigned MAX_MBARRIERS = 1024;  // of a cluster

// Agents of a cluster of `threads` threads, numbered so that clocks stay short where the rare ones do not occur.
struct Agents {
    unsigned threads = 0;
    Agent warpgroup(unsigned n) const { return threads + n; }                      // wgmma: reads operands
    Agent phase(unsigned n) const { return threads + groups() + n; }               // TMA loads into an mbarrier's phase
    Agent copies(unsigned thread) const { return threads + groups() + MAX_MBARRIERS + thread; }           // cp.async of a thread
    Agent bulk_reads(unsigned thread) const { return copies(thread) + threads; }   // TMA stores of a thread: what they read
    Agent bulk_writes(unsigned thread) const { return copies(thread) + 2 * threads; }
    unsigned groups() const { return (threads + 127) / 128; }
    unsigned thread_of(Agent a) const;      // the first thread an agent works for
    const char* name(Agent a) const;
};

struct Knowledge;
using Known = std::shared_ptr<const Knowledge>;
using Foreign = std::map<uint32_t, Known>;  // what is known of clusters that ran before, by their number

struct Knowledge {
    std::vector<Time> reached;  // by agent; beyond the end: 0
    std::vector<Time> fenced;   // the same as of the latest fence.proxy.async on the way
    Time floor = 0;             // every thread has reached this
    std::shared_ptr<const Foreign> foreign;

    Time of(Agent a) const { return a < reached.size() ? reached[a] : 0; }
    Time fenced_of(Agent a) const { return a < fenced.size() ? fenced[a] : 0; }
};

// Knowledge that is being collected from arrivals.
struct Collected {
    Knowledge sum;
    Known latest;  // added last; most arrivals bring the same
    bool any = false;

    void add(const Known& k);
    void add(Agent a, Time t);
    void add_fenced(Agent a, Time t);
    Known finish(unsigned threads);  // and start anew
};

struct Groups {  // asynchronous work of one agent, in groups that end in order
    Time open = 0;              // of the group that is being filled; 0: none yet
    std::vector<Time> closed;   // committed and not waited for
    Time done = 0;              // the agent's time its owner has reached

    void wait(unsigned pending);
};

struct Thread {
    Known known;
    Time now = 0;        // of its accesses
    Time fenced = 0;     // its own time as of its latest fence.proxy.async
    Known at_proxy_fence;
    Groups copies, bulk_reads, bulk_writes;
    Known device_fence, block_fence;  // what an atomic after the fence publishes
    std::shared_ptr<const Foreign> seen_by_device;  // what atomics have seen and the next fence makes known
    Known seen_by_block;
};

struct Phases {  // of an mbarrier
    unsigned number = 0;
    Collected arrivals;  // of the phase in progress
    Known completed;
    Time now = 0;        // of TMA loads in the phase in progress
};

struct Location {  // an address that atomics work on, after fences
    std::shared_ptr<const Foreign> by_device;
    Known by_block;
    uint32_t cluster = 0;  // that `by_block` is of
};

class Clocks {
public:
    Agents agents;
    std::vector<Thread> threads;
    std::vector<Groups> warpgroups;
    uint32_t cluster = 0;  // number of the one that runs
    Time start = 0;        // of this cluster; earlier times are other clusters'
    Time launch_start = 0;

    void launch_begins();
    void cluster_begins(unsigned threads);
    Time tick();

    // Is an access of `a` at time `t` ordered before what `thread` does now?
    bool ordered(unsigned thread, Agent a, Time t) const {
        if (a == thread && t >= start) return true;
        const Knowledge& k = *threads[thread].known;
        return t >= start && a < agents.threads ? t <= k.floor || t <= k.of(a) : ordered_otherwise(thread, a, t);
    }
    bool fenced(unsigned thread, Agent a, Time t) const;  // and a fence.proxy.async came in between
    uint32_t cluster_of(Time t) const;

    void publish(unsigned thread, Collected& to);  // what the thread knows and did; what it does next is not part of it
    void learn(unsigned thread, const Known& what);
    void open(Collected& arrivals, const std::vector<unsigned>& waiting);  // a barrier
    void proxy_fence(unsigned thread);
    void fence(unsigned thread, bool of_device);
    void atomic(unsigned thread, const void* p);
    Time issue(Groups& groups);  // the time of asynchronous work that is issued now
    void commit(Groups& groups);
    void complete(Phases& phases);
    Phases& phases(const void* mbarrier);
    void forget_mbarrier(const void* mbarrier);

private:
    Time time_ = 0;
    std::vector<Time> starts_;  // of the launch's clusters
    std::unordered_map<const void*, Phases> mbarriers_;
    unsigned mbarrier_count_ = 0;
    std::unordered_map<const void*, Location> locations_;
    Known left_, right_, both_;  // the latest join: threads that come from the same place learn the same
    bool ordered_otherwise(unsigned thread, Agent a, Time t) const;
    Known join(const Known& a, const Known& b);
    Known snapshot(unsigned thread);
};

}  // namespace emu::lab
