// Guarded arrays. A buffer ends flush against a megabyte without access rights and starts after another; its alignment modulo 16
// bytes is that of the array it stands for, since kernels choose vector loads by it.
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

namespace emu {

namespace {

constexpr size_t PAGE = 4096, GUARD = 1 << 20;

struct Buffer {
    char* low = nullptr;  // first accessible byte
    size_t pages = 0;
    char *begin = nullptr, *end = nullptr;  // what the kernel may use
    std::string name;
    bool written = true;
};

std::mutex mutex;
std::vector<Buffer> in_use;
std::multimap<size_t, char*> spare;  // by pages: mapping and unmapping would cost more than the copies

// What lies between a buffer's ends and the guards: NaN in every precision, and another one where the kernel writes, so that a NaN
// made of what was read past the end of an operand shows.
char margin(const Buffer& b, const char* at) { return b.written && reinterpret_cast<uintptr_t>(at) % 2 == 0 ? char(0xFE) : char(0xFF); }

Buffer take(size_t bytes, size_t offset, std::string name, bool written) {  // offset: address modulo 16
    Buffer b;
    b.pages = (bytes + 32 + PAGE - 1) / PAGE;
    const std::lock_guard lock(mutex);
    if (const auto found = spare.find(b.pages); found != spare.end()) {
        b.low = found->second;
        spare.erase(found);
    } else {
        void* memory = mmap(nullptr, b.pages * PAGE + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        b.low = static_cast<char*>(memory) + GUARD;
        if (mprotect(b.low, b.pages * PAGE, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    }
    char* const top = b.low + b.pages * PAGE;
    const size_t start = reinterpret_cast<uintptr_t>(top) - bytes;
    b.begin = reinterpret_cast<char*>(start - (start - offset) % 16);
    b.end = b.begin + bytes;
    b.name = std::move(name);
    b.written = written;
    for (char* at = b.low; at < b.begin; ++at) *at = margin(b, at);
    for (char* at = b.end; at < top; ++at) *at = margin(b, at);
    in_use.push_back(b);
    return b;
}

// Gives a buffer back. A message when somebody wrote between its ends and the guards.
std::string give_back(const Buffer& b) {
    const std::lock_guard lock(mutex);
    std::erase_if(in_use, [&](const Buffer& x) { return x.low == b.low; });
    const auto written = [&](const char* from, const char* to) {
        while (from < to && *from == margin(b, from)) ++from;
        return from < to;
    };
    const bool before = written(b.low, b.begin), after = written(b.end, b.low + b.pages * PAGE);
    if (b.pages > 4096) munmap(b.low - GUARD, b.pages * PAGE + 2 * GUARD);
    else spare.emplace(b.pages, b.low);
    if (!before && !after) return "";
    return std::string("out-of-bounds write just ") + (before ? "before the start" : "past the end") + " of " + b.name;
}

constexpr size_t DTYPE_SIZES[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};

struct Extent {  // memory an array reaches, in bytes
    char *low, *high;
};

Extent extent(const tg::Array& a) {
    const auto item = int64_t(DTYPE_SIZES[size_t(a.dtype)]);
    Extent e{a.ptr<char>(), a.ptr<char>() + item};
    for (int i = 0; i < a.ndim; ++i) {
        if (a.shape[i] == 0) return {a.ptr<char>(), a.ptr<char>()};
        (a.strides[i] < 0 ? e.low : e.high) += (a.shape[i] - 1) * a.strides[i] * item;
    }
    return e;
}

// Copies an array's elements between two memories in which they lie `shift` bytes apart.
void copy_elements(const tg::Array& a, char* data, ptrdiff_t shift, int dim) {
    const size_t item = DTYPE_SIZES[size_t(a.dtype)];
    if (dim == a.ndim) return void(std::memcpy(data + shift, data, item));
    for (int64_t i = 0; i < a.shape[dim]; ++i) copy_elements(a, data + i * a.strides[dim] * int64_t(item), shift, dim + 1);
}

std::string shape_of(const tg::Array& a) {
    std::string shape;
    for (int d = 0; d < a.ndim; ++d) shape += (d ? ", " : "") + std::to_string(a.shape[d]);
    return std::string(tg::name_of(a.dtype)) + " (" + shape + (a.ndim == 1 ? ",)" : ")");
}

struct Given {  // an array of a call: an argument, or an item of one that is a list
    tg::Array* array;
    bool written;
    std::string name;
    char* original;
};

std::vector<Given> arrays_of(const tg::Kernel& kernel, tg::Value* values) {
    std::vector<Given> given;
    for (int i = 0; i < kernel.arity; ++i) {
        const bool written = std::find(kernel.writes.begin(), kernel.writes.end(), i) != kernel.writes.end();
        const auto add = [&](tg::Array& a, const std::string& item) {
            if (a) given.push_back({&a, written, "argument " + std::to_string(i) + item + ", " + shape_of(a), a.ptr<char>()});
        };
        if (values[i].kind == tg::Value::array) add(values[i].a, "");
        if (values[i].kind == tg::Value::list)
            for (int64_t k = 0; k < values[i].list_of.count; ++k) add(values[i].list_of[k], "[" + std::to_string(k) + "]");
    }
    return given;
}

struct Piece {  // arrays that overlap share a buffer
    Extent memory;
    std::vector<size_t> arrays;
    bool written = false;
    Buffer buffer;
};

std::vector<Piece> pieces_of(const std::vector<Given>& given) {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < given.size(); ++i) {
        Piece now{extent(*given[i].array), {i}, given[i].written, {}};
        for (auto p = pieces.begin(); p != pieces.end();) {
            if (p->memory.low < now.memory.high && now.memory.low < p->memory.high) {
                now.memory = {std::min(now.memory.low, p->memory.low), std::max(now.memory.high, p->memory.high)};
                now.arrays.insert(now.arrays.begin(), p->arrays.begin(), p->arrays.end());
                now.written |= p->written;
                p = pieces.erase(p);
            } else {
                ++p;
            }
        }
        pieces.push_back(std::move(now));
    }
    return pieces;
}

}  // namespace

void call_guarded(const tg::Kernel& kernel, tg::Value* values) {
    const std::vector<Given> given = arrays_of(kernel, values);
    std::vector<Piece> pieces = pieces_of(given);
    for (Piece& p : pieces) {
        const auto bytes = size_t(p.memory.high - p.memory.low);
        p.buffer = take(bytes, reinterpret_cast<uintptr_t>(p.memory.low) % 16, given[p.arrays[0]].name, p.written);
        std::memcpy(p.buffer.begin, p.memory.low, bytes);
        for (size_t i : p.arrays) given[i].array->data = p.buffer.begin + (given[i].original - p.memory.low);
    }
    std::string damage;
    const auto finish = [&](bool copy) {
        for (Piece& p : pieces) {
            for (size_t i : p.arrays) {
                const tg::Array& a = *given[i].array;
                if (!copy || !given[i].written) continue;
                if (a.contiguous()) std::memcpy(given[i].original, a.data, size_t(a.size()) * DTYPE_SIZES[size_t(a.dtype)]);
                else if (a.size()) copy_elements(a, a.ptr<char>(), given[i].original - a.ptr<char>(), 0);
            }
            const std::string wrong = give_back(p.buffer);
            if (damage.empty()) damage = wrong;
        }
    };
    try {
        kernel.call(values);
    } catch (...) {
        finish(false);
        throw;
    }
    finish(true);
    if (!damage.empty()) throw std::runtime_error(damage);
}

std::string describe_address(uintptr_t address) {
    const std::lock_guard lock(mutex);
    for (const Buffer& b : in_use) {
        const auto low = reinterpret_cast<uintptr_t>(b.low), begin = reinterpret_cast<uintptr_t>(b.begin);
        const auto end = reinterpret_cast<uintptr_t>(b.end);
        if (address >= end && address < low + b.pages * PAGE + GUARD)
            return " " + std::to_string(address - end) + " bytes past the end of " + b.name;
        if (address < begin && address >= low - GUARD)
            return " " + std::to_string(begin - address) + " bytes before the start of " + b.name;
    }
    char text[40];
    std::snprintf(text, sizeof text, " at address 0x%zx", size_t(address));
    return text;
}

std::vector<GuardedArray> guarded_arrays() {
    const std::lock_guard lock(mutex);
    std::vector<GuardedArray> out;
    for (const Buffer& b : in_use) out.push_back({b.begin, b.end, b.written});
    return out;
}

std::string place_of(uintptr_t address) {
    const std::lock_guard lock(mutex);
    for (const Buffer& b : in_use) {
        const auto begin = reinterpret_cast<uintptr_t>(b.begin);
        if (address >= begin && address < reinterpret_cast<uintptr_t>(b.end)) return b.name + " + " + std::to_string(address - begin) + " bytes";
    }
    return "";
}

void* allocate(size_t bytes, const char* name) {
    const Buffer b = take(bytes, 0, name, true);
    std::memset(b.begin, 0xFF, bytes);
    return b.begin;
}

void release(void* p) {
    Buffer found;
    {
        const std::lock_guard lock(mutex);
        for (const Buffer& b : in_use)
            if (b.begin == p) found = b;
    }
    if (found.low) give_back(found);
}

}  // namespace emu
