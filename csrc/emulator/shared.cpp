// Shared memory. Static arrays are thread-local variables of this module; dynamic memory is a window that ends at a page nobody
// may touch. Both are filled with NaN before each block, so that a value nobody wrote shows.
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <unordered_map>

#include "block.h"

namespace emu {

namespace {

constexpr size_t WINDOW = 256 * 1024;  // what an 18-bit address reaches
constexpr int POISON = 0xFF;           // NaN in every floating type

char* own_tls() {  // this thread's copy of the module's thread-local block
    struct Search {
        const char* inside;
        char* found;
    } search{reinterpret_cast<const char*>(&current), nullptr};
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
            auto& s = *static_cast<Search*>(data);
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto& header = info->dlpi_phdr[i];
                auto* start = static_cast<char*>(info->dlpi_tls_data);
                if (header.p_type == PT_TLS && start && s.inside >= start && s.inside < start + header.p_memsz) s.found = start;
            }
            return int(s.found != nullptr);
        },
        &search);
    return search.found;
}

}  // namespace

struct Window {
    char* tls = own_tls();
    char* low = nullptr;   // of the dynamic window
    char* base = nullptr;  // of this launch's dynamic memory
    char *first = nullptr, *last = nullptr;  // around the static arrays
    std::unordered_map<const void*, std::vector<const Symbol*>> touched;  // static arrays of a kernel, as far as seen

    Window() {
        void* memory = mmap(nullptr, WINDOW + 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        low = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + 4096 + 1023) / 1024 * 1024);
        mprotect(low, WINDOW, PROT_READ | PROT_WRITE);
        for (const Symbol& s : shared_arrays()) {
            std::memset(tls + s.address, POISON, s.size);
            if (!first || tls + s.address < first) first = tls + s.address;
            last = std::max(last, tls + s.address + s.size);
        }
    }
};

namespace {

Window& window() {
    static thread_local Window* w = nullptr;
    if (!w) w = new Window;
    return *w;
}

bool clean(const char* p, size_t n) {
    for (size_t i = 0; i < n; ++i)
        if (p[i] != char(POISON)) return false;
    return true;
}

}  // namespace

void poison_shared(const void* kernel, size_t dynamic_bytes) {
    Window& w = window();
    this_block().window = &w;
    w.base = w.low + WINDOW - (dynamic_bytes + 1023) / 1024 * 1024;
    if (dynamic_bytes) std::memset(w.base, POISON, size_t(w.low + WINDOW - w.base));
    for (const Symbol* s : w.touched[kernel]) std::memset(w.tls + s->address, POISON, s->size);
}

void learn_shared(const void* kernel) {
    Window& w = window();
    auto& known = w.touched[kernel];
    for (const Symbol& s : shared_arrays())
        if (!clean(w.tls + s.address, s.size) && std::find(known.begin(), known.end(), &s) == known.end()) known.push_back(&s);
}

size_t static_shared(const void* kernel) {
    size_t bytes = 0;
    for (const Symbol* s : window().touched[kernel]) bytes += s->size;
    return bytes;
}

bool is_shared(const void* p) {
    Window& w = window();
    const auto* c = static_cast<const char*>(p);
    return (c >= w.low && c < w.low + WINDOW) || (c >= w.first && c < w.last);
}

SharedMemory shared_memory() {
    const Window& w = window();
    return {w.low, w.first, WINDOW, size_t(w.last - w.first), size_t(w.first - w.tls)};
}

void* dynamic_shared() { return window().base; }

uint32_t shared_address(const void* p, Site at) {
    Window& w = window();
    const auto* c = static_cast<const char*>(p);
    if (c >= w.low && c < w.low + WINDOW) return uint32_t(c - w.low);
    for (const Symbol& s : shared_arrays())
        if (c >= w.tls + s.address && c < w.tls + s.address + s.size) return uint32_t(WINDOW + size_t(c - w.tls));
    trap("this address is not in shared memory", at);
}

void* shared_pointer(uint32_t address) {
    Window& w = window();
    return address < WINDOW ? w.low + address : w.tls + (address - WINDOW);
}

void* shared_pointer_in(Block& b, uint32_t address) {
    return address < WINDOW ? b.window->low + address : b.window->tls + (address - WINDOW);
}

bool holds(const Block& b, uint32_t address, size_t bytes) {
    const Window& w = *b.window;
    if (address < WINDOW) return w.low + address >= w.base && address + bytes <= WINDOW;
    const char* p = w.tls + (address - WINDOW);
    return std::ranges::any_of(shared_arrays(), [&](const Symbol& s) {
        const char* const start = w.tls + s.address;
        return p >= start && p + bytes <= start + s.size;
    });
}

}  // namespace emu
