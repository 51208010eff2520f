// The C interface tests/test_races.py loads: a case's recording.
#include "../../csrc/emulator/lab/recorder.h"
#include "../emulator/cases.h"

// Runs a case on a guarded copy of n floats, recorded. JSON, or the message of what went wrong.
extern "C" __attribute__((visibility("default"))) const char* record(const char* name, float* data, int n, unsigned seed, bool eager) {
    static std::string text;
    const auto found = cases().find(name);
    if (found == cases().end()) return "no such case";
    emu::settings = {seed, eager, 0};
    auto* guarded = static_cast<float*>(emu::allocate(size_t(n) * sizeof(float), "the array"));
    std::memcpy(guarded, data, size_t(n) * sizeof(float));
    emu::lab::start(true, true);
    try {
        found->second(guarded, n);
        text = emu::lab::stop();
    } catch (const std::exception& e) {
        emu::lab::stop();
        text = e.what();
    }
    std::memcpy(data, guarded, size_t(n) * sizeof(float));
    emu::release(guarded);
    return text.c_str();
}
