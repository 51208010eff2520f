// What a GPU adds to its Python module: the stream.
#include <pybind11/pybind11.h>

#include "../core/stream.h"

namespace py = pybind11;

void add_cuda(py::module_& m) {
    m.def("set_stream", [](uintptr_t stream) { tg::current_stream = reinterpret_cast<CUstream_st*>(stream); }, py::arg("stream"),
          "The stream that kernels of this thread are launched on from here on: a cudaStream_t as a number, 0 for the default stream");
}
