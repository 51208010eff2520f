// placeholder to be grown
#include "../core/registry.h"
namespace tg { static void noop(Array& y, const Array& x, int64_t n, double d) { (void)y;(void)x;(void)n;(void)d; } TG_KERNEL(noop, "cpu/x", "float32 float64", noop) }
