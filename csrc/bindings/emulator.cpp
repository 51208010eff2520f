// What the emulator adds to its Python module: its settings, and arrays between guard pages.
#include <pybind11/pybind11.h>

#include "../emulator/memory.h"

namespace py = pybind11;

void add_emulator(py::module_& m) {
    tg::invoke = emu::call_guarded;
    tg::chip = [] { return emu::settings.chip; };
    m.def("configure", [](unsigned seed, bool eager, int threads, int chip) {
        emu::settings = {seed, eager, threads, chip};
    }, py::arg("seed"), py::arg("eager"), py::arg("threads"), py::arg("chip"));
    m.def("settings", [] { return py::make_tuple(emu::settings.seed, emu::settings.eager, emu::settings.threads, emu::settings.chip); });
}
