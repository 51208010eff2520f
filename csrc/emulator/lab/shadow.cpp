#include "shadow.h"

#include <algorithm>
#include <bit>

namespace emu::lab {

void Shadow::launch_begins(unsigned threads) {
    set_words_ = (threads + 31) / 32;
    groups_.assign(1, {});
    bits_.assign(set_words_, 0);
    free_groups_.clear();
    free_bits_.clear();
    bytes_.clear();
}

void Shadow::insert(Group& g, Agent a) {
    if (a == g.first) return;
    if (!g.bits) {
        if (free_bits_.empty()) {
            g.bits = uint32_t(bits_.size());
            bits_.resize(bits_.size() + set_words_);
        } else {
            g.bits = free_bits_.back();
            free_bits_.pop_back();
            std::fill_n(bits_.begin() + g.bits, set_words_, 0);
        }
        bits_[g.bits + g.first / 32] |= 1u << g.first % 32;
    }
    bits_[g.bits + a / 32] |= 1u << a % 32;
}

bool Shadow::ordered(const Group& g, unsigned thread, Agent* culprit) const {
    if (!g.bits) {
        *culprit = g.first;
        return clocks_.ordered(thread, g.first, g.time);
    }
    if (g.time >= clocks_.start && g.time <= clocks_.threads[thread].known->floor) return true;
    for (unsigned w = 0; w < set_words_; ++w)
        for (uint32_t left = bits_[g.bits + w]; left; left &= left - 1) {
            *culprit = w * 32 + unsigned(std::countr_zero(left));
            if (!clocks_.ordered(thread, *culprit, g.time)) return false;
        }
    return true;
}

void Shadow::recycle(uint32_t group) {
    if (groups_[group].bits) free_bits_.push_back(groups_[group].bits);
    free_groups_.push_back(group);
}

void Shadow::forget(Group& chain) {
    for (uint32_t at = chain.next; at; at = groups_[at].next) recycle(at);
    if (chain.bits) free_bits_.push_back(chain.bits);
    chain = {};
}

// Adds an access to a word's chain and drops from it what is ordered before: who conflicts with that conflicts with this as well.
void Shadow::remember(Group& chain, Time since, unsigned thread, Stamp s, bool atomic) {
    if (atomic) s.site |= Group::ATOMIC;
    if (chain.time < since) {
        if (chain.time >= clocks_.launch_start) forget(chain);
        chain = {s.time, s.site, s.agent, 0, 0};
        return;
    }
    for (Group* g = &chain;; g = &groups_[g->next]) {
        if (g->time == s.time && g->site == s.site) return insert(*g, s.agent);
        if (!g->next) break;
    }
    constexpr int FOREIGN = 4;  // groups of earlier clusters that are kept: any of them shows the race
    int foreign = 0;
    const auto useless = [&](const Group& g) {
        Agent culprit;
        return g.atomic() == atomic && ((g.time < clocks_.start && ++foreign > FOREIGN) || ordered(g, thread, &culprit));
    };
    for (uint32_t* link = &chain.next; *link;) {
        const uint32_t at = *link;
        if (useless(groups_[at])) {
            *link = groups_[at].next;
            recycle(at);
        } else {
            link = &groups_[at].next;
        }
    }
    uint32_t behind = chain.next;
    if (useless(chain)) {
        if (chain.bits) free_bits_.push_back(chain.bits);
    } else {
        const Group head = chain;
        if (free_groups_.empty()) behind = uint32_t(groups_.size()), groups_.push_back(head);
        else behind = free_groups_.back(), free_groups_.pop_back(), groups_[behind] = head;
    }
    chain = {s.time, s.site, s.agent, 0, behind};
}

Finding Shadow::search(const Group& chain, unsigned thread, bool atomics, bool loads) const {
    for (const Group* g = &chain;; g = &groups_[g->next]) {
        Agent culprit = 0;
        if ((g->atomic() ? atomics : loads) && !ordered(*g, thread, &culprit))
            return {g->atomic() ? Conflict::with_atomic : Conflict::with_read, {culprit, g->time, g->site & ~Group::ATOMIC}};
        if (!g->next) return {};
    }
}

Group Shadow::copy(const Group& g) {
    Group out = g;
    if (g.bits) {
        out.bits = uint32_t(bits_.size());
        bits_.resize(bits_.size() + set_words_);
        std::copy_n(bits_.begin() + g.bits, set_words_, bits_.begin() + out.bits);
    }
    if (g.next) {
        const Group behind = copy(groups_[g.next]);
        out.next = uint32_t(groups_.size());
        groups_.push_back(behind);
    }
    return out;
}

Cell* Shadow::split(Cell& c) {
    if (c.write.agent == SPLIT) return &bytes_[c.write.site];
    const auto index = uint32_t(bytes_.size());
    bytes_.resize(index + 4);
    for (unsigned i = 0; i < 4; ++i) {
        Cell& b = bytes_[index + i];
        b.write = c.write;
        if (c.reads.time >= clocks_.launch_start) b.reads = copy(c.reads);
    }
    if (c.reads.time >= clocks_.launch_start) forget(c.reads);
    c.reads = {};
    c.write = {SPLIT, clocks_.launch_start, index};
    return &bytes_[index];
}

}  // namespace emu::lab
