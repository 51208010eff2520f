// What the emulator adds to its Python module: its settings, and arrays between guard pages.
#include <pybind11/pybind11.h>

#include "../emulator/memory.h"

namespace py = pybind11;

void add_emulator(py::module_& m) {
    tg::invoke = emu::call_guarded;
    m.def("configure", [](unsigned seed, bool eager, int threads) {
        emu::settings = {seed, eager, threads};
    }, py::arg("seed"), py::arg("eager"), py::arg("threads"));
    m.def("settings", [] { return py::make_tuple(emu::settings.seed, emu::settings.eager, emu::settings.threads); });
}
