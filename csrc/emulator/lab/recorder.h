// The lab's recording: where accesses and events come together. One launch at a time, on one block at a time.
#pragma once
#include <array>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "../memory.h"
#include "../record.h"
#include "requests.h"
#include "shadow.h"
#include "sites.h"

namespace emu::lab {

struct Region {  // dynamic or static shared memory of a block
    uintptr_t begin = 0;
    uintptr_t place = 0;  // of its begin as banks are counted: the same in every block, wherever the emulator keeps its memory
    size_t bytes = 0;
    Cell* cells = nullptr;
};

struct BlockState {  // of the cluster that runs
    Region window, statics;
    uint3 block{};
    unsigned first_thread = 0, first_warp = 0;
    struct Barrier {
        Collected arrivals;
        std::vector<unsigned> waiting;
    };
    std::array<Barrier, 16> barriers;
    Collected ended;  // what threads knew that have returned
};

struct Array : GuardedArray {
    Cell* cells = nullptr;  // of an array that was written
};

struct Side {
    uint32_t site = 0;
    Agent agent = 0;
    uint3 block{}, thread{};
};

struct Race {
    std::string where;
    Side first, second;
    bool alone = false;  // uninitialised: there is no first
    uint64_t count = 0;
};

// Kind, space, sites of both sides and agents' names: one entry each.
using RaceKey = std::tuple<const char*, Space, uint32_t, uint32_t, const char*, const char*>;

struct LaunchRecord {
    record::Launch launch{};
    size_t static_shared = 0;
    uint64_t blocks = 0, warps = 0;
    bool failed = false;
    std::vector<Totals> totals;  // by site
    uint64_t sectors_read = 0, sectors_written = 0;  // distinct ones
    std::map<RaceKey, Race> races;
};

struct Held {  // registers that wgmma reads or adds to until its group is waited for
    const char *low, *high;
    Time group;
    uint32_t site;
};

class Recorder {
public:
    bool on = false, metrics = false, races = false;
    bool in_launch = false;
    Sites sites;
    Requests requests;
    Clocks clocks;
    Shadow shadow{clocks};
    std::vector<BlockState> blocks;  // of the cluster, by rank
    BlockState* here = nullptr;      // the block that runs
    std::vector<std::vector<Held>> held;  // by thread
    LaunchRecord record;
    std::vector<LaunchRecord> done;

    unsigned thread() const { return here->first_thread + current.fiber->linear; }
    unsigned warp() const { return here->first_warp + current.fiber->linear / 32; }

    // Finds the memory behind an address: false where it is none of a kernel's.
    struct Found {
        Space space;
        Cell* cells;
        size_t offset;
        bool remembered;  // reads too
        uintptr_t place;  // the address as sectors and banks are counted
    };
    bool find(const void* p, Found& found);
    int find_shared(const BlockState& b, uintptr_t a, Found& found);
    template <class Where> void access(const void* p, unsigned bytes, Access access, bool strong, Where where);
    // Remembers an access that starts from what `thread` knows, and reports what it conflicts with.
    void remember(Shadow::Mode mode, const Found& at, const void* p, unsigned bytes, unsigned thread, const Stamp& stamp);
    void report(const char* kind, Space space, const Stamp* first, const Stamp& second, const void* p);
    void meet_warp(unsigned warp_of_block, unsigned lanes, bool all) {
        if (metrics) requests.meet(here->first_warp + warp_of_block, lanes, all);
    }
    void launch_begins(const record::Launch& launch);
    void launch_ends(bool failed);
    void block_begins(unsigned rank);
    void block_runs(unsigned rank) { here = &blocks[rank]; }
    Collected cluster_arrivals;  // of barrier.cluster
    Known cluster_known;         // since it opened
    std::vector<unsigned> issuers;  // by mbarrier: the thread of the latest TMA load

private:
    std::vector<Array> arrays_;
    Array* latest_ = nullptr;
    std::vector<uint16_t> static_number_;  // 1 + that of the array a word of static shared memory belongs to; 0: none
    std::vector<uint8_t> touched_;         // static shared arrays, by number
    std::vector<uint3> block_of_;          // by cluster and rank
    Side side(const Stamp& s) const;
    std::string describe(const void* p) const;
};

extern Recorder recorder;

void start(bool metrics, bool races);
std::string stop();  // JSON

}  // namespace emu::lab
