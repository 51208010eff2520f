// The point-wise part of recurrent cells: from the sums of a unit's gates to its new state, and back. For every kind of kernel: who
// includes this has said what TG_INLINE is and where `math` has its functions. T is the type computed in, V one value of it or a vector.
//
// x is the input's share of the sums, y the state's, one for each gate. `carry` is what a gradient of the state does not bring along by
// itself: dc of an lstm, and of a gru what came past the product; it is read for this step and left for the one before.
// `kept` is what backward needs beside the states. CELL: there is a c; SLOPE_OF_STATE: backward reads h; BLENDS: both read the h before.

template <class T, class V> struct Rnn {  // h = tanh(x + y), or relu
    static constexpr int GATES = 1, KEPT = 0;
    static constexpr bool CELL = false, SLOPE_OF_STATE = true, BLENDS = false;
    bool relu;

    TG_INLINE void forward(const V* x, const V* y, V, V, V& h, V&, V*) const {
        const V s = x[0] + y[0];
        if (relu) h = s < T(0) ? math::all(T(0)) : s;  // NaN stays NaN
        else h = math::tanh<T>(s);
    }
    TG_INLINE void backward(V dh, V h, V, V, V, const V*, V&, V* dx, V*) const {
        if (relu) dx[0] = h > T(0) ? dh : math::all(T(0));
        else dx[0] = dh * (T(1) - h * h);
    }
};

template <class T, class V> struct Lstm {  // i, f, g, o: c = f c' + i g, h = o tanh(c)
    static constexpr int GATES = 4, KEPT = 4;
    static constexpr bool CELL = true, SLOPE_OF_STATE = false, BLENDS = false;

    TG_INLINE void forward(const V* x, const V* y, V, V c_before, V& h, V& c, V* kept) const {
        kept[0] = math::sigmoid<T>(x[0] + y[0]);
        kept[1] = math::sigmoid<T>(x[1] + y[1]);
        kept[2] = math::tanh<T>(x[2] + y[2]);
        kept[3] = math::sigmoid<T>(x[3] + y[3]);
        c = kept[1] * c_before + kept[0] * kept[2];
        h = kept[3] * math::tanh<T>(c);
    }
    TG_INLINE void backward(V dh, V, V, V c, V c_before, const V* kept, V& carry, V* dx, V*) const {
        const V i = kept[0], f = kept[1], g = kept[2], o = kept[3], t = math::tanh<T>(c);
        const V dc = carry + dh * o * (T(1) - t * t);
        dx[0] = dc * g * i * (T(1) - i);
        dx[1] = dc * c_before * f * (T(1) - f);
        dx[2] = dc * i * (T(1) - g * g);
        dx[3] = dh * t * o * (T(1) - o);
        carry = dc * f;
    }
};

template <class T, class V> struct Gru {  // r, z, n = tanh(x + r y): h = n + z (h' - n); y of n is kept as well
    static constexpr int GATES = 3, KEPT = 4;
    static constexpr bool CELL = false, SLOPE_OF_STATE = false, BLENDS = true;

    TG_INLINE void forward(const V* x, const V* y, V h_before, V, V& h, V&, V* kept) const {
        kept[0] = math::sigmoid<T>(x[0] + y[0]);
        kept[1] = math::sigmoid<T>(x[1] + y[1]);
        kept[2] = math::tanh<T>(x[2] + kept[0] * y[2]);
        kept[3] = y[2];
        h = kept[2] + kept[1] * (h_before - kept[2]);
    }
    TG_INLINE void backward(V dh, V, V h_before, V, V, const V* kept, V& carry, V* dx, V* dy) const {
        const V r = kept[0], z = kept[1], n = kept[2], all = dh + carry;
        const V dn = all * (T(1) - z) * (T(1) - n * n);
        dx[0] = dn * kept[3] * r * (T(1) - r);
        dx[1] = all * (h_before - n) * z * (T(1) - z);
        dx[2] = dn;
        dy[0] = dx[0];
        dy[1] = dx[1];
        dy[2] = dn * r;
        carry = all * z;
    }
};

// f(cell) for the cell of a number that ops/recurrence.py gives.
template <class T, class V, class F> void by_cell(int64_t number, F&& f) {
    if (number == 0 || number == 1) f(Rnn<T, V>{number == 1});
    else if (number == 2) f(Lstm<T, V>{});
    else if (number == 3) f(Gru<T, V>{});
    else throw std::invalid_argument("there is no cell number " + std::to_string(number));
}
