// The names of dtypes, for messages.
#pragma once
#include "array.h"

namespace tg {

constexpr const char* DTYPE_NAMES[] = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"};

inline const char* name_of(DType dtype) { return DTYPE_NAMES[size_t(dtype)]; }

}  // namespace tg
