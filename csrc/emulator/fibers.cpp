// How a fiber begins and how one gives way to another, in the instructions of each processor.
#include "fibers.h"

#include <sys/mman.h>

#include <new>

#if defined(__x86_64__)
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
.size emu_switch, .-emu_switch
)");
constexpr int ENTRY_WORD = 6, FRAME_WORDS = 8;
#elif defined(__aarch64__)
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,%function
emu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emu_switch, .-emu_switch
)");
constexpr int ENTRY_WORD = 11, FRAME_WORDS = 20;
#else
#error "the emulator switches fibers on x86-64 and aarch64"
#endif

namespace emu {

Fiber* fresh(FiberPool& pool, void (*entry)()) {
    if (pool.used == pool.fibers.size()) {
        void* memory = mmap(nullptr, STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        mprotect(memory, 4096, PROT_NONE);
        char* stack = static_cast<char*>(memory) + 4096;
        const size_t colour = (pool.fibers.size() * 7 % 53) * 64;
        auto* f = new (stack + STACK - colour - (sizeof(Fiber) + 63) / 64 * 64) Fiber;
        f->stack = stack;
        pool.fibers.push_back(f);
    }
    Fiber* f = pool.fibers[pool.used++];
    void** sp = reinterpret_cast<void**>(f) - FRAME_WORDS;
    sp[ENTRY_WORD] = reinterpret_cast<void*>(entry);
    f->sp = sp;
    return f;
}

}  // namespace emu
