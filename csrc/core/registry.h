// Kernels register themselves: TG_KERNEL(softmax, "cpu/rows", "float32 float64", softmax_rows) at file scope.
// A kernel for some chips only says which: TG_KERNEL(..., Chips{80}) from compute capability 8.0 on, Chips{90, 99} for Hopper alone.
// A kernel that gives other bits the next time, by atomics on floats say, ends its line with Chips{}, NOT_DETERMINISTIC.
// A kernel is an ordinary function. Its parameters say how Python arguments arrive: `const Array&` is read, `Array&` is
// written, `const Arrays&` and `Arrays&` are lists of them, int64_t, double and bool are numbers. None arrives as an Array that is false.
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "array.h"

namespace tg {

struct Value {  // one argument as it came from Python
    enum Kind : uint8_t { none, array, list, integer, real } kind = none;
    Array a;
    Arrays list_of;
    int64_t i = 0;
    double d = 0;
};

struct Chips {  // compute capabilities, 80 for 8.0, that a kernel runs on: from the first to the last
    int first = 0, last = 9999;
};

constexpr bool NOT_DETERMINISTIC = false;

struct Kernel {
    const char* op;
    const char* path;    // family/rung
    const char* dtypes;  // names, separated by blanks
    const char* source;
    Chips chips;
    bool deterministic;
    int arity;
    std::vector<int> writes;
    void (*call)(Value*);
};

inline std::vector<Kernel>& registry() {
    static std::vector<Kernel> kernels;
    return kernels;
}

// The compute capability of the chip kernels run on, 80 for 8.0; 0 where chips do not matter. The modules put their own ways here.
inline int (*chip)() = [] { return 0; };

inline std::string capability(int chip) { return std::to_string(chip / 10) + "." + std::to_string(chip % 10); }

inline void check_chip(const Kernel& kernel) {
    const Chips need = kernel.chips;
    if (need.first == 0) return;
    const int here = chip();
    if (here >= need.first && here <= need.last) return;
    throw std::invalid_argument("needs compute capability " + capability(need.first) + (need.last < 9999 ? " to " + capability(need.last) : " or newer") +
                                ", but this chip has " + capability(here));
}

// How a kernel is called. The emulator puts its own way here, with the arrays between guard pages.
inline void (*invoke)(const Kernel&, Value*) = [](const Kernel& kernel, Value* values) { kernel.call(values); };

template <class P> P& as_parameter(Value& v, int index) {
    using T = std::remove_const_t<P>;
    auto wrong = [&](const char* what) {
        throw std::invalid_argument("kernel argument " + std::to_string(index) + " must be " + what);
    };
    if constexpr (std::is_same_v<T, Array>) {
        if (v.kind != Value::array && v.kind != Value::none) wrong("an array or None");
        return v.a;
    } else if constexpr (std::is_same_v<T, Arrays>) {
        if (v.kind != Value::list && v.kind != Value::none) wrong("a list of arrays or None");
        return v.list_of;
    } else if constexpr (std::is_same_v<T, double>) {
        if (v.kind == Value::integer) v.d = double(v.i);
        else if (v.kind != Value::real) wrong("a number");
        return v.d;
    } else {
        static_assert(std::is_same_v<T, int64_t>, "kernel parameters are Array&, Arrays& (const or not), int64_t, double");
        if (v.kind != Value::integer) wrong("an integer");
        return v.i;
    }
}

template <auto F> struct Adapter;
template <class... P, void (*F)(P...)> struct Adapter<F> {
    template <size_t... I> static void unpack(Value* v, std::index_sequence<I...>) {
        F(as_parameter<std::remove_reference_t<P>>(v[I], int(I))...);
    }
    static void call(Value* v) { unpack(v, std::index_sequence_for<P...>{}); }
    static std::vector<int> writes() {
        std::vector<int> out;
        int i = 0;
        ((std::is_same_v<P, Array&> || std::is_same_v<P, Arrays&> ? out.push_back(i++) : void(i++)), ...);
        return out;
    }
    static bool add(const char* op, const char* path, const char* dtypes, const char* source, Chips chips = {}, bool deterministic = true) {
        registry().push_back({op, path, dtypes, source, chips, deterministic, int(sizeof...(P)), writes(), &call});
        return true;
    }
};

#define TG_JOIN2(a, b) a##b
#define TG_JOIN(a, b) TG_JOIN2(a, b)
#define TG_KERNEL(op, path, dtypes, function, ...) \
    static const bool TG_JOIN(registered_, __COUNTER__) = ::tg::Adapter<&function>::add(#op, path, dtypes, __BASE_FILE__ __VA_OPT__(, ) __VA_ARGS__);

}  // namespace tg
