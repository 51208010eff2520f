// Formulas of activations, forward and backward, for every kind of kernel: who includes this has said what the macros make of one.
// TG_ACTIVATION(op, count of numbers n, y of x, ...) is the op, TG_SLOPE(op, count, dy/dx of x, ...) its backward op, g dy/dx;
// the statements behind an expression come before it. TG_EITHER and TG_EITHER_SLOPE have two: a flag chooses the second.
// T is the type computed in, V one value of it or a vector. Exact to a few units in the last place, no overflow on the way.

TG_ACTIVATION(silu, 0, x / (math::exp<T>(-x) + T(1)))
TG_SLOPE(silu, 0, s * (x * (T(1) - s) + T(1)), const V s = math::sigmoid<T>(x);)

// x Phi(x), or approximately x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 = x sigmoid(2 sqrt(2/pi) (x + ...)).
TG_EITHER(gelu, x * math::normal_cdf<T>(x),
          x * math::sigmoid<T>(x * (x * x * T(1.59576912160573071176 * 0.044715) + T(1.59576912160573071176))))
TG_EITHER_SLOPE(gelu, math::normal_cdf<T>(x) + x * math::normal_pdf<T>(x),
                s + x * s * (T(1) - s) * (q * T(3 * 1.59576912160573071176 * 0.044715) + T(1.59576912160573071176)),
                const V q = x * x, s = math::sigmoid<T>(x * (q * T(1.59576912160573071176 * 0.044715) + T(1.59576912160573071176)));)

TG_ACTIVATION(softplus, 2, z > threshold ? x : math::softplus<T>(z) / beta, const T beta = n[0], threshold = n[1]; const V z = x * beta;)
TG_SLOPE(softplus, 2, z > threshold ? math::all(T(1)) : math::sigmoid<T>(z), const T beta = n[0], threshold = n[1]; const V z = x * beta;)

TG_ACTIVATION(mish, 0, x * math::tanh_softplus<T>(x))
TG_SLOPE(mish, 0, t + x * (T(1) - t * t) * math::sigmoid<T>(x), const V t = math::tanh_softplus<T>(x);)

TG_ACTIVATION(scaled_elu, 3, x > T(0) ? x * scale : math::expm1<T>((x > T(0) ? V{} : x) * input_scale) * (alpha * scale),
              const T alpha = n[0], scale = n[1], input_scale = n[2];)
TG_SLOPE(scaled_elu, 3, x > T(0) ? math::all(scale) : math::exp<T>((x > T(0) ? V{} : x) * input_scale) * (alpha * scale * input_scale),
         const T alpha = n[0], scale = n[1], input_scale = n[2];)

TG_ACTIVATION(leaky_relu, 1, x > T(0) ? x : x * n[0])
TG_SLOPE(leaky_relu, 1, x > T(0) ? math::all(T(1)) : math::all(n[0]))
