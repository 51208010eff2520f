// A step of a recurrent layer beside its product: gates, cell and state of every row, forward and backward, in vectors along the units.
#include "../core/parallel.h"
#include "../core/registry.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

namespace math = simd;
#define TG_INLINE inline
#include "../core/formulas/cells.h"

using namespace simd;

constexpr int MOST = 4;  // gates, and numbers kept of a unit

void step(Array& h_, Array& c_, Array& kept_, const Array& gx_, const Array& gh_, const Array& before_, const Array& c_before_, int64_t number) {
    dispatch_float(h_.dtype, "recurrence", [&]<class T>() {
        T *h = h_.ptr<T>(), *c = c_.ptr<T>(), *kept = kept_.ptr<T>();
        const T *gx = gx_.ptr<T>(), *gh = gh_.ptr<T>(), *before = before_.ptr<T>(), *c_before = c_before_.ptr<T>();
        const int64_t rows = h_.shape[0], H = h_.shape[1];
        by_cell<T, V<T>>(number, [&]<class Cell>(Cell cell) {
            parallel_ranges(rows, rows * H * 8, [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row)
                    for (int64_t j = 0; j < H; j += W<T>) {
                        const int64_t i = row * H + j, left = H - j;
                        V<T> x[MOST]{}, y[MOST]{}, k[MOST]{}, now{}, cell_now{};
                        for (int g = 0; g < Cell::GATES; ++g) {
                            x[g] = load(gx + (row * Cell::GATES + g) * H + j, left, T(0));
                            y[g] = load(gh + (row * Cell::GATES + g) * H + j, left, T(0));
                        }
                        cell.forward(x, y, Cell::BLENDS ? load(before + i, left, T(0)) : V<T>{}, Cell::CELL ? load(c_before + i, left, T(0)) : V<T>{}, now,
                                     cell_now, k);
                        store(h + i, now, left);
                        if (Cell::CELL) store(c + i, cell_now, left);
                        for (int g = 0; kept && g < Cell::KEPT; ++g) store(kept + (row * Cell::KEPT + g) * H + j, k[g], left);
                    }
            });
        });
    });
}

void step_backward(Array& dgx_, Array& dgh_, Array& carry_, const Array& dy_, const Array& dh_, const Array& kept_, const Array& h_,
                   const Array& before_, const Array& c_, const Array& c_before_, int64_t number) {
    dispatch_float(dy_.dtype, "recurrence_backward", [&]<class T>() {
        T *dgx = dgx_.ptr<T>(), *dgh = dgh_.ptr<T>(), *carry = carry_.ptr<T>();
        const T *dy = dy_.ptr<T>(), *dh = dh_.ptr<T>(), *kept = kept_.ptr<T>(), *h = h_.ptr<T>(), *before = before_.ptr<T>();
        const T *c = c_.ptr<T>(), *c_before = c_before_.ptr<T>();
        const int64_t rows = dy_.shape[0], H = dy_.shape[1];
        by_cell<T, V<T>>(number, [&]<class Cell>(Cell cell) {
            parallel_ranges(rows, rows * H * 8, [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row)
                    for (int64_t j = 0; j < H; j += W<T>) {
                        const int64_t i = row * H + j, left = H - j;
                        const auto of = [&](bool there, const T* p) { return there ? load(p + i, left, T(0)) : V<T>{}; };
                        V<T> k[MOST]{}, dx[MOST]{}, ds[MOST]{}, past = of(Cell::KEPT > 0, carry);
                        for (int g = 0; g < Cell::KEPT; ++g) k[g] = load(kept + (row * Cell::KEPT + g) * H + j, left, T(0));
                        cell.backward(of(true, dy) + of(dh != nullptr, dh), of(Cell::SLOPE_OF_STATE, h), of(Cell::BLENDS, before), of(Cell::CELL, c), of(Cell::CELL, c_before),
                                      k, past, dx, ds);
                        if (Cell::KEPT > 0) store(carry + i, past, left);
                        for (int g = 0; g < Cell::GATES; ++g) {
                            store(dgx + (row * Cell::GATES + g) * H + j, dx[g], left);
                            if (dgh) store(dgh + (row * Cell::GATES + g) * H + j, ds[g], left);
                        }
                    }
            });
        });
    });
}

TG_KERNEL(recurrence, "cpu/fused", "float32 float64", step)
TG_KERNEL(recurrence_backward, "cpu/fused", "float32 float64", step_backward)

}  // namespace
}  // namespace tg
