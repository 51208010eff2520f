// Chains of element-wise operations as one formula: what would write and read an array at every link reads its operands once. For every
// kind of kernel, in the words of arithmetic.h; TG_PAIR(op, first result, second result, ...), of x, y and z, writes two arrays.

// silu(a) b, and from the gradient x of it with a as y and b as z: the gradients of a and of b.
TG_BINARY(swiglu, x / (math::exp<T>(-x) + T(1)) * y)
TG_PAIR(swiglu_backward, x * z * (s * (y * (T(1) - s) + T(1))), x * (y * s), const V s = math::sigmoid<T>(y);)
