// The C++ types behind the dtypes that do not round.
#pragma once
#include "formulas.h"

namespace tg::pointwise {

#define TG_INTEGERS "uint8 int8 int16 int32 int64"

// Calls f.template operator()<S>() for the type behind an integer dtype or bool, or for the unsigned type of its size: integers that
// wrap around are computed as unsigned ones.
template <bool SIGNED, class F> void by_integer(DType dtype, const char* op, F&& f) {
    switch (dtype) {
        case DType::boolean: case DType::uint8: return f.template operator()<uint8_t>();
        case DType::int8: return f.template operator()<std::conditional_t<SIGNED, int8_t, uint8_t>>();
        case DType::int16: return f.template operator()<std::conditional_t<SIGNED, int16_t, uint16_t>>();
        case DType::int32: return f.template operator()<std::conditional_t<SIGNED, int32_t, uint32_t>>();
        case DType::int64: return f.template operator()<std::conditional_t<SIGNED, int64_t, uint64_t>>();
        default: throw std::invalid_argument(std::string(op) + ": the kernel computes bool " TG_INTEGERS);
    }
}

}  // namespace tg::pointwise
