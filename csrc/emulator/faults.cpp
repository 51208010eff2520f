// Bad memory accesses of a kernel, turned from signals into failures of its block.
#include <signal.h>
#include <ucontext.h>

#include <mutex>

#include "block.h"
#include "memory.h"

namespace emu {

thread_local constinit Site touching{};  // the emulator itself reads or writes for a kernel's line

namespace {

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction previous[std::size(SIGNALS)];

struct Fault {
    int signal;
    bool write;
    uintptr_t address, pc;
};
thread_local constinit Fault fault{};

std::string explain(const Fault& f, const Fiber& fiber) {
    if (f.signal == SIGFPE) return "integer division by zero";
    if (f.signal == SIGILL) return "undefined behaviour: index beyond an array, misaligned pointer, overflow or shift (as UBSan traps it)";
    const auto stack = reinterpret_cast<uintptr_t>(fiber.stack);
    if (f.address >= stack - 4096 && f.address < stack) return "stack overflow: the thread's local variables take more than 64 KiB";
    if (!f.address) return std::string("misaligned vector access, or ") + (f.write ? "a write to" : "a read of") + " no valid address";
    return std::string("out-of-bounds ") + (f.write ? "write" : "read") + describe_address(f.address);
}

// Runs on the abandoned thread's stack, after the signal handler has returned.
[[noreturn]] void leave() {
    Failure failure{explain(fault, *current.fiber), touching, touching.line() ? 0 : fault.pc, current.block, current.fiber->thread, true};
    touching = {};
    fail(std::move(failure));
}

// A fault that is none of a kernel's: as if this handler were not here.
void pass_on(int signal, siginfo_t* info, void* context) {
    for (size_t i = 0; i < std::size(SIGNALS); ++i) {
        if (SIGNALS[i] != signal) continue;
        const struct sigaction& before = previous[i];
        if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(signal, info, context);
        else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) sigaction(signal, &before, nullptr);
        else before.sa_handler(signal);
    }
}

void on_signal(int signal, siginfo_t* info, void* context) {
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
    if (!current.fiber || current.fiber == &this_block().scheduler) return pass_on(signal, info, context);
    const uintptr_t top = (reinterpret_cast<uintptr_t>(current.fiber) - 256) / 16 * 16 - 8;
#if defined(__x86_64__)
    fault = {signal, (machine->gregs[REG_ERR] & 2) != 0, reinterpret_cast<uintptr_t>(info->si_addr), uintptr_t(machine->gregs[REG_RIP])};
    machine->gregs[REG_RIP] = greg_t(leave);
    machine->gregs[REG_RSP] = greg_t(top);
#else
    fault = {signal, false, reinterpret_cast<uintptr_t>(info->si_addr), uintptr_t(machine->pc)};
    machine->pc = reinterpret_cast<uintptr_t>(leave);
    machine->sp = top + 8;
#endif
}

}  // namespace

void install_fault_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < std::size(SIGNALS); ++i) sigaction(SIGNALS[i], &action, &previous[i]);
    });
}

void watch_this_thread() {
    static thread_local bool done = false;
    if (done) return;
    done = true;
    stack_t now;
    if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return;  // there is one already
    stack_t ours{};
    ours.ss_size = 64 * 1024;
    ours.ss_sp = new char[ours.ss_size];
    sigaltstack(&ours, nullptr);
}

}  // namespace emu
