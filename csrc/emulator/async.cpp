// Asynchronous copies: done at the wait that covers them, which is the last moment the hardware may take; at once if `eager` is set.
#include "block.h"
#include "instructions.h"
#include "memory.h"
#include "record.h"

namespace emu {

namespace {

void perform(const Copy& c) {
    std::memcpy(c.to, c.from, c.filled);
    std::memset(static_cast<char*>(c.to) + c.filled, 0, c.bytes - c.filled);
}

CopyQueue& queue() {
    Fiber* f = current.fiber;
    if (!f->copies) f->copies = new CopyQueue;  // kept with the fiber
    return *f->copies;
}

}  // namespace

void cp_async(void* to, const void* from, unsigned bytes, unsigned filled, Site at) {
    if (filled > bytes) trap("cp.async: the source is larger than the copy", at);
    if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes) trap("cp.async: misaligned address", at);
    if (!is_shared(to)) trap("cp.async: the destination is not in shared memory", at);
    if (filled) {  // a bad source shows here, in the thread and line that asked for it
        touching = at;
        (void)*static_cast<const volatile char*>(from);
        (void)static_cast<const volatile char*>(from)[filled - 1];
        touching = {};
    }
    record::cp_async(to, from, bytes, filled, at);
    const Copy c{to, from, bytes, filled};
    if (settings.eager) perform(c);
    else queue().copies.push_back(c);
}

void cp_async_commit() {
    CopyQueue& q = queue();
    record::cp_async_commit();
    q.groups.push_back(q.copies.size());
}

void cp_async_wait(unsigned pending) {
    record::cp_async_wait(pending);
    CopyQueue& q = queue();
    if (q.groups.size() <= pending) return;
    const size_t done = q.groups.size() - pending, copies = q.groups[done - 1];
    for (size_t i = 0; i < copies; ++i) perform(q.copies[i]);
    q.copies.erase(q.copies.begin(), q.copies.begin() + ptrdiff_t(copies));
    q.groups.erase(q.groups.begin(), q.groups.begin() + ptrdiff_t(done));
    for (size_t& end : q.groups) end -= copies;
}

}  // namespace emu
