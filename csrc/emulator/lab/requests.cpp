#include "requests.h"

#include <algorithm>
#include <bit>

namespace emu::lab {

namespace {

// Sorts at most 32 values, which most often are sorted.
template <class T> void sort_few(T* v, unsigned n) {
    for (unsigned i = 1; i < n; ++i) {
        const T x = v[i];
        unsigned j = i;
        for (; j && v[j - 1] > x; --j) v[j] = v[j - 1];
        v[j] = x;
    }
}

// Wavefronts of lanes [first, last): the most words that fall into one bank. Lanes that read the same word share it.
unsigned wavefronts(uint32_t mask, const uintptr_t* address, unsigned first, unsigned last, unsigned bytes) {
    uintptr_t words[32];
    unsigned n = 0;
    for (unsigned lane = first; lane < last; ++lane)
        if (mask >> lane & 1)
            for (unsigned b = 0; b < bytes; b += 4) words[n++] = (address[lane] + b) / 4;
    sort_few(words, n);
    uint8_t in_bank[32] = {};
    unsigned most = 0;
    for (unsigned i = 0; i < n; ++i)
        if (!i || words[i] != words[i - 1]) most = std::max<unsigned>(most, ++in_bank[words[i] % 32]);
    return most;
}

}  // namespace

void Requests::clear(const Sites* sites, unsigned warps) {
    sites_ = sites;
    warps_ = warps;
    totals.clear();
    open_.clear();
    touched_.assign(warps, {});
    footprint.clear();
}

void Requests::grow(uint32_t site) {
    open_.resize(std::max<size_t>(open_.size(), (size_t(site) + 16) * warps_));
    totals.resize(open_.size() / warps_);
}

void Requests::extend(Open& o, uint32_t n) {
    o.used = n + 1;
    if (o.masks.size() > n) return;
    o.masks.resize(std::max<size_t>(4, size_t(n) * 2), 0);
    o.addresses.resize(o.masks.size() * 32);
}

void Requests::meet(unsigned warp, unsigned lanes, bool all) {
    for (uint32_t index : touched_[warp]) {
        Open& o = open_[index];
        if (!all) {  // these lanes go on together
            uint32_t most = 0;
            for (unsigned left = lanes; left; left &= left - 1) most = std::max(most, o.count[std::countr_zero(left)]);
            for (unsigned left = lanes; left; left &= left - 1) o.count[std::countr_zero(left)] = most;
            continue;
        }
        const uint32_t site = index / warps_;
        for (uint32_t n = 0; n < o.used; ++n)
            if (o.masks[n]) judge(site, o.masks[n], &o.addresses[n * 32]), o.masks[n] = 0;
        std::fill_n(o.count, 32, 0);
        o.used = 0;
        o.touched = false;
    }
    if (all) touched_[warp].clear();
}

void Requests::judge(uint32_t site, uint32_t mask, const uintptr_t* address) {
    Totals& t = totals[site];
    const What& what = sites_->places[site].what;
    ++t.requests;
    const auto lanes = unsigned(std::popcount(mask));
    t.lanes += lanes;
    if (what.space == Space::none) return;
    t.bytes += uint64_t(lanes) * what.bytes;
    uintptr_t sorted[32];
    unsigned n = 0;
    bool along = true;  // the lanes lie side by side
    for (unsigned left = mask; left; left &= left - 1) {
        sorted[n] = address[std::countr_zero(left)];
        along = along && sorted[n] == sorted[0] + n * what.bytes;
        ++n;
    }
    if (what.space == Space::shared) {
        const unsigned phases = what.bytes >= 16 ? 4 : what.bytes == 8 ? 2 : 1, each = 32 / phases;
        for (unsigned p = 0; p < phases; ++p) {
            if (!(mask >> p * each & (each == 32 ? ~0u : (1u << each) - 1))) continue;
            t.wavefronts += along && what.bytes >= 4 ? 1 : wavefronts(mask, address, p * each, (p + 1) * each, what.bytes);
            ++t.ideal_wavefronts;
        }
    }
    const bool reads = what.access != Access::store, writes = what.access != Access::load;
    if (along && what.access != Access::atomic) {
        if (what.space == Space::global) {
            const uintptr_t total = uintptr_t(n) * what.bytes;
            footprint.touch(sorted[0], total, reads, writes);
            t.sectors += (sorted[0] + total - 1) / 32 - sorted[0] / 32 + 1;
            t.ideal_sectors += (total + 31) / 32;
        }
        return;
    }
    sort_few(sorted, n);
    unsigned different = 0, sectors = 0;
    uintptr_t next = 0;  // the first sector not counted yet
    for (unsigned i = 0; i < n; ++i) {
        different += !i || sorted[i] != sorted[i - 1];
        if (what.space == Space::global) footprint.touch(sorted[i], what.bytes, reads, writes);
        const uintptr_t first = std::max(sorted[i] / 32, next), last = (sorted[i] + what.bytes - 1) / 32;
        if (last >= first) sectors += unsigned(last - first + 1);
        next = std::max(next, last + 1);
    }
    if (what.access == Access::atomic) t.conflicts += n - different;
    if (what.space == Space::global) {
        t.sectors += sectors;
        t.ideal_sectors += (different * what.bytes + 31) / 32;
    }
}

}  // namespace emu::lab
