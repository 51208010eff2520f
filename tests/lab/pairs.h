// Kernels in two versions for tests/test_races.py: `GOOD` is what a careful author writes, the other has a race. The lines that race
// are marked `// RACE name` (both sides may be the same line).
#pragma once
#include "../emulator/cases.h"

#define PAIR(name, grid, threads, shared, ...)                                                         \
    CASE(name##_racy) { launch(name<false>, grid, threads, shared, nullptr, out __VA_OPT__(, ) __VA_ARGS__); } \
    CASE(name##_clean) { launch(name<true>, grid, threads, shared, nullptr, out __VA_OPT__(, ) __VA_ARGS__); }
#define KERNEL(name) template <bool GOOD> __global__ void name
