// Small launches for tests/test_emulator.py, found by name.
#pragma once
#include <map>
#include <string>

#include "../../csrc/emulator/memory.h"
#include "../../csrc/gpu.h"

using tg::launch;
using Case = void (*)(float* out, int n);

inline std::map<std::string, Case>& cases() {
    static std::map<std::string, Case> all;
    return all;
}

// CASE(name) { launch(kernel, ..., out); }
#define CASE(name)                                                            \
    static void case_##name([[maybe_unused]] float* out, [[maybe_unused]] int n); \
    static const bool added_##name = cases().emplace(#name, case_##name).second;  \
    static void case_##name([[maybe_unused]] float* out, [[maybe_unused]] int n)
