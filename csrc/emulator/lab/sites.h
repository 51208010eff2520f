// The places of a kernel: each instruction that touches memory or is counted has a number, looked up without strings.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../block.h"
#include "../record.h"

namespace emu::lab {

enum class Space : uint8_t { global, shared, registers, none };
enum class Access : uint8_t { load, store, atomic, none };
enum class Via : uint8_t { thread, cp_async, tma, tma_store, ldmatrix, wgmma };
constexpr const char* SPACES[] = {"global", "shared", "registers"};
constexpr const char* ACCESSES[] = {"load", "store", "atomic"};
constexpr const char* VIAS[] = {"thread", "cp.async", "tma", "tma store", "ldmatrix", "wgmma"};

struct What {
    Space space = Space::none;
    Access access = Access::none;
    Via via = Via::thread;
    record::Kind kind = record::Kind::barrier;  // where there is no access
    uint32_t bytes = 0;                         // of a lane
    bool operator==(const What&) const = default;
};

struct Place {        // of a site
    uintptr_t where;  // the address after an instruction, or a file's name
    uint32_t line;    // 0: `where` is an instruction
    What what;
    bool operator==(const Place&) const = default;
};

struct SourceLine {
    std::string file;
    unsigned line;
    bool operator<(const SourceLine& o) const { return file != o.file ? file < o.file : line < o.line; }
};

class Sites {
public:
    std::vector<Place> places;

    Sites() { clear(); }
    void clear();
    uint32_t at(uintptr_t pc, What what) { return find({pc, 0, what}); }
    uint32_t at(Site site, What what) { return find({reinterpret_cast<uintptr_t>(site.file_name()), site.line(), what}); }
    SourceLine line(uint32_t site) const;

private:
    std::vector<uint32_t> slots_;  // number + 1, by hash
    static size_t hash(const Place& place) {
        const uint64_t key = place.where * 2 + uint64_t(place.what.space) + (uint64_t(place.line) << 40 | uint64_t(place.what.kind) << 34 |
                             uint64_t(place.what.access) << 32) + uint64_t(place.what.bytes) * 977;
        return key * 0x9e3779b97f4a7c15ull >> 40;
    }
    uint32_t find(const Place& place) {
        for (size_t i = hash(place);; ++i) {
            uint32_t& slot = slots_[i & (slots_.size() - 1)];
            if (!slot) return add(place);
            if (places[slot - 1] == place) return slot - 1;
        }
    }
    uint32_t add(const Place& place);
    void enter(uint32_t number);
};

}  // namespace emu::lab
