"""PyTorch's paths to helpers: `utils.data`, `utils.checkpoint`, `utils.dlpack`."""
from .. import missing
from . import dlpack as dlpack

__getattr__ = missing.of(__name__)
