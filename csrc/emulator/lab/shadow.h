// What is remembered of each word of memory: who wrote it last, and who has read it, or worked on it with atomics, since.
//
// An access that is not ordered after a conflicting one that is remembered is a race, whatever the order in which the emulator ran
// the two. A word is four bytes; one that is accessed in smaller pieces is remembered byte by byte.
#pragma once
#include <vector>

#include "clocks.h"

namespace emu::lab {

struct Stamp {  // of an access
    Agent agent;
    Time time;
    uint32_t site;
};

struct Group {  // accesses of one place and time, by one agent or many threads
    Time time = 0;
    uint32_t site = 0;  // with ATOMIC
    Agent first = 0;
    uint32_t bits = 0;  // the set of threads, in `bits_`; 0: `first` alone
    uint32_t next = 0;  // in `groups_`; 0: none
    static constexpr uint32_t ATOMIC = 1u << 31;
    bool atomic() const { return site & ATOMIC; }
};

struct Cell {
    Stamp write{};
    Group reads;  // or atomics; time 0: none
};
static_assert(sizeof(Cell) == 32);

enum class Conflict { none, uninitialised, with_write, with_read, with_atomic };

struct Finding {
    Conflict conflict = Conflict::none;
    Stamp with{};
    explicit operator bool() const { return conflict != Conflict::none; }
};

class Shadow {
public:
    explicit Shadow(Clocks& clocks) : clocks_(clocks) {}
    void launch_begins(unsigned threads);

    enum class Mode { read, write, atomic };
    // What `thread` (or an agent that starts from what it knows) does to `bytes` at `offset` of an array with these cells. Accesses
    // from before `since` do not count; `born`: memory nobody has written since then is uninitialised. The first conflict found.
    template <Mode MODE>
    Finding touch(Cell* cells, size_t offset, unsigned bytes, Time since, bool born, unsigned thread, const Stamp& stamp) {
        Finding found;
        const size_t first = offset / 4, last = (offset + bytes + 3) / 4;
        for (size_t word = first; word < last; ++word) {
            Cell& c = cells[word];
            if (c.write.agent == SPLIT && c.write.time != clocks_.launch_start) c = {};  // of an earlier launch
            const bool whole = offset <= word * 4 && offset + bytes >= word * 4 + 4;
            Finding f;
            if (whole && c.write.agent != SPLIT) f = one<MODE>(c, since, born, thread, stamp);
            else f = pieces<MODE>(c, word * 4, offset, bytes, since, born, thread, stamp);
            if (f && !found) found = f;
        }
        return found;
    }

    // Calls each(stamp) for the writes to these bytes that are remembered.
    template <class F> void each_write(const Cell* cells, size_t offset, unsigned bytes, Time since, F&& each) {
        for (size_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
            const Cell& c = cells[word];
            const bool split = c.write.agent == SPLIT;
            if (c.write.time < (split ? clocks_.launch_start : since)) continue;
            for (unsigned i = 0; i < (split ? 4 : 1); ++i) {
                const Stamp& s = split ? bytes_[c.write.site + i].write : c.write;
                if (s.time >= since) each(s);
            }
        }
    }

private:
    static constexpr Agent SPLIT = ~0u;
    Clocks& clocks_;
    unsigned set_words_ = 1;                // of a set of threads
    std::vector<Group> groups_;             // [0] is nobody
    std::vector<uint32_t> bits_;            // sets, one after another; the first is nobody's
    std::vector<uint32_t> free_groups_, free_bits_;
    std::vector<Cell> bytes_;               // four for each word that is split

    void insert(Group& g, Agent a);
    bool ordered(const Group& g, unsigned thread, Agent* culprit) const;
    void forget(Group& chain);  // gives its members back
    void remember(Group& chain, Time since, unsigned thread, Stamp s, bool atomic);
    void recycle(uint32_t group);
    Finding search(const Group& chain, unsigned thread, bool atomics, bool loads) const;
    Cell* split(Cell& c);
    Group copy(const Group& g);

    template <Mode MODE> Finding one(Cell& c, Time since, bool born, unsigned thread, const Stamp& s) {
        Finding found;
        const bool fresh = c.reads.time >= since;
        if (c.write.time >= since) {
            if (!clocks_.ordered(thread, c.write.agent, c.write.time)) found = {Conflict::with_write, c.write};
        } else if (born && MODE != Mode::write && !(fresh && c.reads.atomic())) {
            found = {Conflict::uninitialised, {}};
        }
        if (MODE == Mode::read) {
            if (fresh && c.reads.time == s.time && c.reads.site == s.site && !c.reads.next) {  // the common case
                insert(c.reads, s.agent);
                return found;
            }
            if (fresh && !found && (c.reads.next || c.reads.atomic())) found = search(c.reads, thread, true, false);
            remember(c.reads, since, thread, s, false);
        } else if (MODE == Mode::atomic) {
            if (fresh && !found) found = search(c.reads, thread, false, true);
            remember(c.reads, since, thread, s, true);
        } else {
            if (fresh) {
                if (!found) found = search(c.reads, thread, true, true);
                forget(c.reads);
            }
            c.reads.time = 0;
            c.write = s;
        }
        return found;
    }

    template <Mode MODE>
    Finding pieces(Cell& c, size_t start, size_t offset, unsigned bytes, Time since, bool born, unsigned thread, const Stamp& s) {
        const size_t index = size_t(split(c) - bytes_.data());
        Finding found;
        for (size_t i = 0; i < 4; ++i) {
            if (start + i < offset || start + i >= offset + bytes) continue;
            const Finding f = one<MODE>(bytes_[index + i], since, born, thread, s);
            if (f && !found) found = f;
        }
        return found;
    }
};

}  // namespace emu::lab
