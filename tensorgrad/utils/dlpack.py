"""DLPack under PyTorch's module path."""
from ..interop import from_dlpack as from_dlpack
from ..interop import to_dlpack as to_dlpack
