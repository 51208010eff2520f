// Formulas of arithmetic and of elementary functions, one a line, for every kind of kernel: who includes this has said what
// TG_UNARY(op, expression of x, ...), TG_BINARY (of x and y) and TG_TERNARY (of x, y and z) make of one; the statements behind an
// expression come before it. T is the type computed in, V one value of it or a
// vector, and math:: has the functions of V. Each line becomes the op of that name.

TG_BINARY(add, x + y)
TG_BINARY(sub, x - y)
TG_BINARY(mul, x * y)
TG_BINARY(true_divide, x / y)
TG_BINARY(maximum, x != x ? x : (x < y ? y : (y != y ? y : x)))
TG_BINARY(minimum, x != x ? x : (x > y ? y : (y != y ? y : x)))

// clamp: limits of either side may be infinite, where there are none. NaN anywhere stays NaN; where they cross, the upper one counts.
TG_TERNARY(clamp, y != y ? y : (z != z && x == x ? z : low > z ? z : low), const V low = x < y ? y : x;)

TG_UNARY(neg, -x)
TG_UNARY(abs, x < T(0) ? -x : (x == T(0) ? V{} : x))
TG_UNARY(square, x * x)
TG_UNARY(reciprocal, T(1) / x)
TG_UNARY(sqrt, math::sqrt<T>(x))
TG_UNARY(rsqrt, T(1) / math::sqrt<T>(x))
TG_UNARY(exp, math::exp<T>(x))
TG_UNARY(log, math::log<T>(x))
TG_UNARY(tanh, math::tanh<T>(x))
TG_UNARY(sigmoid, math::sigmoid<T>(x))
TG_UNARY(relu, x < T(0) ? V{} : x)
TG_UNARY(erf, math::erf<T>(x))
TG_UNARY(erfc, math::erfc<T>(x))

// Backward, from the gradient x and the saved output y.
TG_BINARY(tanh_backward, x * (T(1) - y * y))
TG_BINARY(sigmoid_backward, x * (y * (T(1) - y)))
TG_BINARY(relu_backward, y <= T(0) ? V{} : x)
