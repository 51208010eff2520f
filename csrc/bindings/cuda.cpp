// What a GPU adds to its Python module: the stream.
#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>

#include "../core/registry.h"
#include "../core/stream.h"

namespace py = pybind11;

// Of the current device, 90 for 9.0.
static int chip() {
    int device = 0, major = 0, minor = 0;
    const auto check = [](cudaError_t error) {
        if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
    };
    check(cudaGetDevice(&device));
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    return major * 10 + minor;
}

void add_cuda(py::module_& m) {
    tg::chip = chip;
    m.def("chip", chip, "Compute capability of the current device: 90 for 9.0");
    m.def("set_stream", [](uintptr_t stream) { tg::current_stream = reinterpret_cast<CUstream_st*>(stream); }, py::arg("stream"),
          "The stream that kernels of this thread are launched on from here on: a cudaStream_t as a number, 0 for the default stream");
}
