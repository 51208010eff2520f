// The C interface tests/test_emulator.py loads.
#include "cases.h"

// Runs a case on a guarded copy of n floats; the error's message, or "".
extern "C" const char* run(const char* name, float* data, int n) {
    static std::string message;
    const auto found = cases().find(name);
    if (found == cases().end()) return "no such case";
    auto* guarded = static_cast<float*>(emu::allocate(size_t(n) * sizeof(float), "the array"));
    std::memcpy(guarded, data, size_t(n) * sizeof(float));
    message.clear();
    try {
        found->second(guarded, n);
    } catch (const std::exception& e) {
        message = e.what();
    }
    std::memcpy(data, guarded, size_t(n) * sizeof(float));
    emu::release(guarded);
    return message.c_str();
}

extern "C" void configure(unsigned seed, bool eager, int threads) { emu::settings = {seed, eager, threads, emu::settings.chip}; }
extern "C" void claim(int chip) { emu::settings.chip = chip; }
