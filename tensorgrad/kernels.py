"""`tg.kernels`: list the kernels and choose among them."""
from .dispatch import Kernel as Kernel
from .dispatch import list_kernels as list
from .dispatch import use as use

__all__ = ["Kernel", "list", "use"]
