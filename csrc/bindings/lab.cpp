// What the lab adds to its Python module: recording.
#include <pybind11/pybind11.h>

#include "../emulator/lab/recorder.h"

namespace py = pybind11;

void add_emulator(py::module_& m);

void add_lab(py::module_& m) {
    add_emulator(m);
    m.def("start", &emu::lab::start, py::arg("metrics"), py::arg("races"), "Records every launch from here on");
    m.def("stop", [] { return py::module_::import("json").attr("loads")(emu::lab::stop()); }, "Ends the recording: what was seen, as a dict");
}
