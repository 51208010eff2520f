// Warp requests. The emulator runs one lane after another; what the hardware would do at once is put together again: the n-th time a
// lane comes to a place since its warp last met belongs to the n-th time of the other lanes. Each request is then judged by the
// 32-byte sectors of global memory, or the wavefronts over the 32 banks of shared memory, that it takes.
#pragma once
#include "footprint.h"
#include "sites.h"

namespace emu::lab {

struct Totals {
    uint64_t requests = 0, lanes = 0, bytes = 0, sectors = 0, ideal_sectors = 0, wavefronts = 0, ideal_wavefronts = 0, conflicts = 0;
};

class Requests {
public:
    std::vector<Totals> totals;  // by site
    Footprint footprint;

    void clear(const Sites* sites, unsigned warps);  // at the start of a launch
    void add(uint32_t site, unsigned warp, unsigned lane, uintptr_t address) {
        const size_t index = size_t(site) * warps_ + warp;
        if (index >= open_.size()) grow(site);
        Open& o = open_[index];
        if (!o.touched) o.touched = true, touched_[warp].push_back(uint32_t(index));
        const uint32_t n = o.count[lane]++;
        if (n >= o.used) extend(o, n);
        o.masks[n] |= 1u << lane;
        o.addresses[n * 32 + lane] = address;
    }
    Totals& at(uint32_t site) {
        if (site >= totals.size()) grow(site);
        return totals[site];
    }
    void meet(unsigned warp, unsigned lanes, bool all);  // of a warp; all: of its lanes that still run

private:
    struct Open {  // requests of a place and warp
        uint32_t count[32] = {};
        bool touched = false;
        uint32_t used = 0;
        std::vector<uint32_t> masks;
        std::vector<uintptr_t> addresses;
    };
    const Sites* sites_ = nullptr;
    unsigned warps_ = 0;
    std::vector<Open> open_;  // by site and warp
    std::vector<std::vector<uint32_t>> touched_;  // by warp

    void grow(uint32_t site);
    void extend(Open& o, uint32_t n);
    void judge(uint32_t site, uint32_t mask, const uintptr_t* address);
};

}  // namespace emu::lab
