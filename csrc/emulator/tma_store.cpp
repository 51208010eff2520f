// TMA stores. Shared memory is read at the thread's wait for the reads, global memory is written at its wait for the writes or when the
// thread returns: the last moments the hardware may take. At once if `eager` is set.
#include "cluster.h"
#include "memory.h"
#include "record.h"

namespace emu {

struct Store {
    MatrixBox box;
    uint32_t from;
    Site at;
    bool read = false, written = false;
    std::vector<char> data{};
};

struct StoreQueue {
    std::vector<Store> stores;
    std::vector<size_t> groups;  // where each committed group ends
};

namespace {

StoreQueue& queue() {
    Fiber* f = current.fiber;
    if (!f->stores) f->stores = new StoreQueue;  // kept with the fiber
    return *f->stores;
}

void read(Store& s) {
    if (s.read) return;
    s.read = true;
    s.box.each_piece(*current.running, s.from, [&](const char* from, char* to, unsigned bytes) {
        if (to) s.data.insert(s.data.end(), from, from + bytes);
    });
}

void write(Store& s) {
    if (s.written) return;
    s.written = true;
    const char* from = s.data.data();
    touching = s.at;
    s.box.each_piece(*current.running, s.from, [&](const char*, char* to, unsigned bytes) {
        if (!to) return;
        std::memcpy(to, from, bytes);
        from += bytes;
    });
    touching = {};
}

void record_store(const Store& s) {
    if (!record::recording()) return;
    record::tma_store(s.at);
    s.box.each_piece(*current.running, s.from, [](const char* from, char* to, unsigned bytes) {
        record::tma_stores(from, to, bytes);
    });
}

}  // namespace

void clear_stores(Fiber* f) {
    f->stores->stores.clear();
    f->stores->groups.clear();
}

void end_stores(Fiber* f) {
    for (Store& s : f->stores->stores) {
        if (!s.read) trap("TMA store: the thread returns before the store has read shared memory: it needs a wait", s.at);
        write(s);
    }
    clear_stores(f);
}

void tma_store_2d(const CUtensorMap& map, const void* from, int column, int row, Site at) {
    Store s{{map_for<Map>(map, from, at), column, row}, shared_address(from, at), at};
    if (s.box.map.rounds) trap("TMA store: by a map that rounds what it loads", at);
    record_store(s);
    if (settings.eager) read(s), write(s);
    queue().stores.push_back(std::move(s));
}

void tma_store_commit() {
    StoreQueue& q = queue();
    q.groups.push_back(q.stores.size());
    record::tma_store_commit();
}

void tma_store_wait(unsigned pending, bool read_only) {
    record::tma_store_wait(pending, read_only);
    StoreQueue& q = queue();
    if (q.groups.size() <= pending) return;
    const size_t done = q.groups.size() - pending, stores = q.groups[done - 1];
    for (size_t i = 0; i < stores; ++i) {
        read(q.stores[i]);
        if (!read_only) write(q.stores[i]);
    }
    if (read_only) return;
    q.stores.erase(q.stores.begin(), q.stores.begin() + ptrdiff_t(stores));
    q.groups.erase(q.groups.begin(), q.groups.begin() + ptrdiff_t(done));
    for (size_t& end : q.groups) end -= stores;
}

}  // namespace emu
