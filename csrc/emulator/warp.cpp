// Warp functions: the last lane to arrive computes every lane's result.
#include "block.h"
#include "record.h"

namespace emu {

namespace {

void shuffle_lanes(void** args, unsigned arrived) {
    for (unsigned left = arrived; left; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        auto& s = *static_cast<Shuffle*>(args[lane]);
        const int first = lane & ~(s.width - 1), last = first + s.width - 1;  // of the lane's segment
        int from = lane;
        switch (s.kind) {
            case Shuffle::index: from = first + (s.lane & (s.width - 1)); break;
            case Shuffle::up: from = lane - s.lane < first ? lane : lane - s.lane; break;
            case Shuffle::down: from = lane + s.lane > last ? lane : lane + s.lane; break;
            case Shuffle::exclusive_or: from = (lane ^ s.lane) > last ? lane : lane ^ s.lane; break;
        }
        constexpr uint64_t undefined = ~0ull;  // a lane that does not take part: NaN
        s.out = arrived >> from & 1 ? static_cast<const Shuffle*>(args[from])->in : undefined;
    }
}

struct Vote {
    bool predicate;
    unsigned result;
};

void vote_lanes(void** args, unsigned arrived) {
    unsigned result = 0;
    for (unsigned left = arrived; left; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        result |= unsigned(static_cast<const Vote*>(args[lane])->predicate) << lane;
    }
    for (unsigned left = arrived; left; left &= left - 1) static_cast<Vote*>(args[__builtin_ctz(left)])->result = result;
}

constexpr const char* SHUFFLES[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};

}  // namespace

void shuffle(unsigned mask, Shuffle& s, Site at) {
    if (s.width < 1 || s.width > 32 || (s.width & (s.width - 1))) trap("warp shuffle: the width must be 1, 2, 4, 8, 16 or 32", at);
    record::instruction(record::Kind::shuffle, at);
    warp_collective(mask, SHUFFLES[s.kind], &s, shuffle_lanes, at);
}

unsigned ballot(unsigned mask, bool predicate, Site at) {
    record::instruction(record::Kind::vote, at);
    Vote v{predicate, 0};
    warp_collective(mask, "a warp vote", &v, vote_lanes, at);
    return v.result;
}

}  // namespace emu
