// The calls GCC's -fsanitize=thread puts before each access of a kernel: ours, in place of the sanitizer's own library.
#include "recorder.h"

namespace emu::lab {

namespace {

void note_registers(const char* p, uintptr_t pc) {  // the thread's own memory: registers that wgmma is adding to must be left alone
    for (const Held& a : recorder.held[recorder.thread()]) {
        if (p < a.low || p >= a.high) continue;
        const unsigned t = recorder.thread(), group = t / 128;
        const uint32_t site = recorder.sites.at(pc, {Space::registers, Access::load, Via::thread, {}, 4});
        const Stamp first{recorder.clocks.agents.warpgroup(group), a.group, a.site}, second{t, recorder.clocks.threads[t].now, site};
        return recorder.report("accumulator", Space::registers, &first, second, p);
    }
}

inline void access(const void* p, unsigned bytes, Access access, bool strong, uintptr_t pc) {
    if (!recorder.on || !recorder.here) return;
    const Fiber* f = current.fiber;
    if (!f) return;
    const auto* c = static_cast<const char*>(p);
    if (size_t(c - f->stack) < STACK) {
        if (recorder.races && !recorder.held[recorder.thread()].empty()) note_registers(c, pc);
        return;
    }
    recorder.access(p, bytes, access, strong, pc);
}

void range(const void* p, size_t bytes, Access kind, uintptr_t pc) {  // in the pieces a GPU would take
    const auto* c = static_cast<const char*>(p);
    while (bytes) {
        size_t piece = 16;
        while (piece > bytes || reinterpret_cast<uintptr_t>(c) % piece) piece /= 2;
        access(c, unsigned(piece), kind, false, pc);
        c += piece;
        bytes -= piece;
    }
}

}  // namespace

}  // namespace emu::lab

#define PC reinterpret_cast<uintptr_t>(__builtin_return_address(0))
#define HOOK(name) extern "C" __attribute__((visibility("hidden"))) void name
#define ACCESSES(n)                                                                                                \
    HOOK(__tsan_read##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::load, false, PC); }                    \
    HOOK(__tsan_write##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::store, false, PC); }                  \
    HOOK(__tsan_unaligned_read##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::load, false, PC); }          \
    HOOK(__tsan_unaligned_write##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::store, false, PC); }        \
    HOOK(__tsan_volatile_read##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::load, true, PC); }            \
    HOOK(__tsan_volatile_write##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::store, true, PC); }          \
    HOOK(__tsan_unaligned_volatile_read##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::load, true, PC); }  \
    HOOK(__tsan_unaligned_volatile_write##n)(void* p) { emu::lab::access(p, n, emu::lab::Access::store, true, PC); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
HOOK(__tsan_read_range)(void* p, size_t n) { emu::lab::range(p, n, emu::lab::Access::load, PC); }
HOOK(__tsan_write_range)(void* p, size_t n) { emu::lab::range(p, n, emu::lab::Access::store, PC); }
HOOK(__tsan_init)() {}
HOOK(__tsan_func_entry)(void*) {}
HOOK(__tsan_func_exit)() {}
HOOK(__tsan_vptr_update)(void**, void*) {}
HOOK(__tsan_vptr_read)(void**) {}
HOOK(__tsan_atomic_thread_fence)(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// CUDA's atomics report themselves (record::atomic); these only do what they are asked.
#define ATOMICS(bits, T)                                                                                                     \
    extern "C" __attribute__((visibility("hidden"))) T __tsan_atomic##bits##_load(const volatile T* p, int) {                \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                                         \
    }                                                                                                                        \
    HOOK(__tsan_atomic##bits##_store)(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }                 \
    extern "C" __attribute__((visibility("hidden"))) T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {             \
        return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                                  \
    }                                                                                                                        \
    extern "C" __attribute__((visibility("hidden"))) T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {            \
        return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                                                   \
    }                                                                                                                        \
    extern "C" __attribute__((visibility("hidden"))) T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {            \
        return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                                                   \
    }                                                                                                                        \
    extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* e,  \
                                                                                                       T v, int, int) {      \
        return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                              \
    }                                                                                                                        \
    extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* e,    \
                                                                                                     T v, int, int) {        \
        return __atomic_compare_exchange_n(p, e, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                               \
    }                                                                                                                        \
    extern "C" __attribute__((visibility("hidden"))) T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T e, T v,   \
                                                                                                  int, int) {                \
        __atomic_compare_exchange_n(p, &e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                    \
        return e;                                                                                                            \
    }
ATOMICS(8, unsigned char)
ATOMICS(16, unsigned short)
ATOMICS(32, unsigned)
ATOMICS(64, unsigned long)
