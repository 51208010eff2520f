// The idea: write every patch out as a column; the convolution is then a matrix product, and the matmul ladder has that.
// Before it (v00): each product fetched its factors from memory; the product of matrices reuses them in shared memory and registers.
// Ownership: in im2col and col2im a thread owns an element of what is written; in the products, see matmul's v07 (fp64: v02).
// Bottleneck: the columns, kH kW times the image, are written to memory and read back. A 1x1 kernel of stride 1 needs none.
// Measure: python benchmarks/ladder.py conv2d v01_im2col (emulated time)
#include "columns.h"

namespace tg::matmul {  // the rungs used here
void double_buffered(Array& out, const Array& a, const Array& b);
void shared(Array& out, const Array& a, const Array& b);
}  // namespace tg::matmul

namespace tg::conv2d {

namespace {

constexpr int THREADS = 256;

template <class... P, class... A> void launch_each(void (*kernel)(P...), int64_t count, A... arguments) {
    if (count) launch(kernel, blocks_for(count, THREADS), THREADS, 0, current_stream, arguments..., count);
}

// `count` matrices (rows, columns), strides in elements.
template <class T> Array matrices(T* data, int64_t count, int64_t apart, int64_t rows, int64_t down, int64_t columns, int64_t right) {
    return {const_cast<std::remove_const_t<T>*>(data), DTYPE<std::remove_const_t<T>>, 3, {count, rows, columns}, {apart, down, right}};
}

template <class T> void multiply(Array out, const Array& a, const Array& b) {
    if constexpr (sizeof(T) == 8) matmul::shared(out, a, b);
    else matmul::double_buffered(out, a, b);
}

Array transposed(Array a) {
    std::swap(a.shape[1], a.shape[2]);
    std::swap(a.strides[1], a.strides[2]);
    return a;
}

// One group's convolution in pieces whose columns fit into the workspace.
template <class T> struct Columns {
    Problem<T> p;
    T* space;
    int64_t room;  // elements of it

    int64_t taken(int64_t pixels) const { return p.depth() * pixels; }
    // 1 x 1 at stride 1 without padding: the image is its columns.
    bool direct() const {
        const auto whole = [](const Line& l) { return l.taps == 1 && l.step == 1 && l.from == 0 && l.image == l.grid; };
        return whole(p.y) && whole(p.x) && flat(p.image, p.y.image, p.x.image) && flat(p.output, p.y.grid, p.x.grid);
    }
    static bool flat(const Strided<T>& s, int high, int wide) { return high == 1 || wide == 1 || s.stride[2] == wide * s.stride[3]; }

    // Calls f(piece, room for its columns); `per_image` more elements are set aside for each image of a piece.
    template <class F> void pieces(int64_t per_image, F&& f) const {
        const int64_t whole = direct() ? 0 : taken(int64_t(p.y.grid) * p.x.grid), each = std::max<int64_t>(1, whole + per_image);
        if (flat(p.output, p.y.grid, p.x.grid) && each <= room) {
            const int images = int(std::min<int64_t>(p.N, room / each));
            for (int n = 0; n < p.N; n += images) f(Piece{n, std::min(images, p.N - n), 0, p.y.grid}, space + images * per_image);
            return;
        }
        const int64_t rows = (room - per_image) / taken(p.x.grid);
        if (rows < 1)
            throw std::invalid_argument("the workspace of " + std::to_string(room) + " elements is too small for the columns of one row, " +
                                        std::to_string(taken(p.x.grid) + per_image) + "; set_workspace_limit allows more");
        const int high = flat(p.output, p.y.grid, p.x.grid) ? int(std::min<int64_t>(rows, p.y.grid)) : 1;
        for (int n = 0; n < p.N; ++n)
            for (int y = 0; y < p.y.grid; y += high) f(Piece{n, 1, y, std::min(high, p.y.grid - y)}, space + per_image);
    }

    Array columns(const Piece& piece, T* at) const {  // (images, channels taps, pixels)
        const int64_t pixels = piece.pixels(p.x.grid);
        return matrices(at, piece.images, taken(pixels), p.depth(), pixels, pixels, 1);
    }
    Array image(const Piece& piece) const {  // the same where the image is its columns
        const int64_t right = p.x.image == 1 ? p.image.stride[2] : p.image.stride[3];
        return matrices(p.image.at(piece.n, 0, piece.first_row, 0), piece.images, p.image.stride[0], p.channels, p.image.stride[1],
                        piece.pixels(p.x.image), right);
    }
    Array output(const Piece& piece) const {  // (images, rows, pixels)
        const int64_t right = p.x.grid == 1 ? p.output.stride[2] : p.output.stride[3];
        return matrices(p.output.at(piece.n, 0, piece.first_row, 0), piece.images, p.output.stride[0], p.rows, p.output.stride[1],
                        piece.pixels(p.x.grid), right);
    }
    Array filled(const Piece& piece, T* at) const {
        if (direct()) return image(piece);
        launch_each(im2col<T>, taken(piece.pixels(p.x.grid)) * piece.images, p, piece, at);
        return columns(piece, at);
    }

    bool weight_is_flat() const {
        const auto& s = p.weight.stride;
        return (p.x.taps == 1 || s[3] == 1) && (p.y.taps == 1 || s[2] == p.x.taps) && (p.channels == 1 || s[1] == p.y.taps * p.x.taps);
    }
    // (rows, channels taps), packed into the workspace where it does not lie so.
    Array weight() {
        if (weight_is_flat()) return matrices(p.weight.data, 1, 0, p.rows, p.weight.stride[0], p.depth(), 1);
        T* const packed = space;
        const int64_t size = int64_t(p.rows) * p.depth();
        if (size > room) throw std::invalid_argument("the workspace is too small for the weights; set_workspace_limit allows more");
        launch_each(pack_weight<T>, size, p, packed);
        space += size;
        room -= size;
        return matrices(packed, 1, 0, p.rows, p.depth(), p.depth(), 1);
    }
};

template <class T, class F> void for_groups(const Problem<T>& p, Array& space, F&& f) {
    for (int g = 0; g < p.groups; ++g) f(Columns<T>{p.of_group(g), space.ptr<T>(), space.size()});
}

}  // namespace

void im2col_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top,
                    int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<float, double>(y.dtype, [&]<class T>() {
        if (y.size() == 0) return;
        for_groups(forward_problem<T>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}), space, [](Columns<T> c) {
            const Array weight = c.weight();
            c.pieces(0, [&](const Piece& piece, T* at) { multiply<T>(c.output(piece), weight, c.filled(piece, at)); });
            if (c.p.bias) launch_each(add_bias<T>, int64_t(c.p.pixels()) * c.p.rows, c.p);
        });
    });
}

void im2col_input_grad(Array& dx, const Array& gy, const Array& w, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                       int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<float, double>(dx.dtype, [&]<class T>() {
        if (dx.size() == 0) return;
        for_groups(forward_problem<T>(gy, dx, w, nullptr, {sh, sw, top, left, dh, dw, groups}), space, [](Columns<T> c) {
            const int64_t plane = int64_t(c.p.channels) * c.p.y.image * c.p.x.image;
            if (c.p.pixels() == 0) return launch_each(clear<T>, plane * c.p.N, c.p);
            const Array weight = transposed(c.weight());
            c.pieces(0, [&](const Piece& piece, T* at) {
                if (c.direct()) return multiply<T>(c.image(piece), weight, c.output(piece));
                multiply<T>(c.columns(piece, at), weight, c.output(piece));
                launch_each(col2im<T>, plane * piece.images, c.p, piece, static_cast<const T*>(at), piece.first_row > 0);
            });
        });
    });
}

void im2col_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                        int64_t dh, int64_t dilation, int64_t groups) {
    by_dtype<float, double>(dw.dtype, [&]<class T>() {
        if (!dw.contiguous()) throw std::invalid_argument("the gradient of the weight must be contiguous");
        for_groups(forward_problem<T>(gy, x, dw, nullptr, {sh, sw, top, left, dh, dilation, groups}), space, [](const Columns<T>& c) {
            const int64_t size = int64_t(c.p.rows) * c.p.depth();
            bool add = false;
            if (c.p.pixels())
                c.pieces(size, [&](const Piece& piece, T* at) {
                    const Array parts = matrices(c.space, piece.images, size, c.p.rows, c.p.depth(), c.p.depth(), 1);
                    multiply<T>(parts, c.output(piece), transposed(c.filled(piece, at)));
                    launch_each(add_parts<T>, size, c.p.weight.data, static_cast<const T*>(c.space), piece.images, add);
                    add = true;
                });
            else launch_each(add_parts<T>, size, c.p.weight.data, static_cast<const T*>(c.space), 0, false);
        });
    });
}

TG_KERNEL(conv2d, "cuda/v01_im2col", "float32 float64", im2col_forward)
TG_KERNEL(conv2d_input_grad, "cuda/v01_im2col", "float32 float64", im2col_input_grad)
TG_KERNEL(conv2d_weight_grad, "cuda/v01_im2col", "float32 float64", im2col_weight_grad)

}  // namespace tg::conv2d
