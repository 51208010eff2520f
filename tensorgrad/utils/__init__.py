"""PyTorch's paths to helpers: `utils.data`, `utils.checkpoint`, `utils.dlpack`."""
from . import dlpack as dlpack
