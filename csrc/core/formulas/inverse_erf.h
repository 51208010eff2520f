// The inverse of the error function, element by element. Who includes this has said in TG_SCALAR_FUNCTION what a function is there.

// y with erf(y) = x: Giles' approximation, then Newton's steps on the side (erf or erfc) that keeps the digits.
template <class T> TG_SCALAR_FUNCTION T inverse_erf(T x) {
    const double a = std::abs(double(x));
    if (!(a < 1)) return a == 1 ? std::copysign(T(INFINITY), x) : T(NAN);
    const double w = -std::log((1 - a) * (1 + a));
    double y;
    if (w < 5) {
        const double c[] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941};
        y = c[0];
        for (int i = 1; i < 9; ++i) y = c[i] + y * (w - 2.5);
    } else {
        const double c[] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682};
        y = c[0];
        for (int i = 1; i < 9; ++i) y = c[i] + y * (std::sqrt(w) - 3);
    }
    y *= a;
    for (int i = 0; i < 2; ++i) {
        const double error = a < 0.5 ? std::erf(y) - a : (1 - a) - std::erfc(y);
        y -= error * 0.886226925452758013649 * std::exp(y * y);
    }
    return T(std::copysign(y, double(x)));
}
