// The distinct 32-byte sectors of global memory that a launch reads and writes: what it would ask of memory behind a cache that keeps all
// it comes back to. Between this and the sectors of its requests, which no cache serves, lies the traffic on a GPU.
#pragma once
#include <bit>
#include <cstdint>
#include <unordered_map>

namespace emu::lab {

class Footprint {
public:
    void clear() {
        pages_.clear();
        latest_ = nullptr;
    }
    void touch(uintptr_t address, uintptr_t bytes, bool reads, bool writes) {
        for (uintptr_t sector = address / 32, last = (address + bytes - 1) / 32; sector <= last; ++sector) {
            if (!latest_ || sector / SECTORS != number_) number_ = sector / SECTORS, latest_ = &pages_[number_];  // a map's values stay put
            const uint64_t bit = uint64_t(1) << sector % 64;
            if (reads) latest_->read[sector % SECTORS / 64] |= bit;
            if (writes) latest_->written[sector % SECTORS / 64] |= bit;
        }
    }
    uint64_t read() const { return count(&Page::read); }
    uint64_t written() const { return count(&Page::written); }

private:
    static constexpr uintptr_t SECTORS = 128;  // of a page of 4 KiB
    struct Page {
        uint64_t read[SECTORS / 64] = {}, written[SECTORS / 64] = {};
    };
    std::unordered_map<uintptr_t, Page> pages_;
    uintptr_t number_ = 0;
    Page* latest_ = nullptr;

    uint64_t count(uint64_t (Page::*bits)[SECTORS / 64]) const {
        uint64_t n = 0;
        for (const auto& [_, page] : pages_)
            for (uint64_t word : page.*bits) n += unsigned(std::popcount(word));
        return n;
    }
};

}  // namespace emu::lab
