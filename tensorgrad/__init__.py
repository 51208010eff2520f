"""tensorgrad: a deep-learning framework that can be read down to the metal. `import tensorgrad as tg`.

The names are PyTorch's. Functions come from the files of `ops/`, creation from `creation.py` and `random.py`; subpackages such as `tg.nn`,
`tg.optim` and `tg.data` are imported when first used.
"""
from __future__ import annotations

from typing import Any

from . import aliases, dispatch, dtypes, missing
from . import autograd as autograd
from . import kernels as kernels
from . import ops as ops
from .amp.autocast_mode import autocast as autocast
from .amp.autocast_mode import clear_autocast_cache as clear_autocast_cache
from .amp.autocast_mode import get_autocast_dtype as get_autocast_dtype
from .amp.autocast_mode import is_autocast_cache_enabled as is_autocast_cache_enabled
from .amp.autocast_mode import is_autocast_enabled as is_autocast_enabled
from .amp.autocast_mode import set_autocast_cache_enabled as set_autocast_cache_enabled
from .amp.autocast_mode import set_autocast_dtype as set_autocast_dtype
from .amp.autocast_mode import set_autocast_enabled as set_autocast_enabled
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .constructors import constructors
from .constructors import empty_strided as empty_strided
from .constructors import frombuffer as frombuffer
from .constructors import range as range
from .constructors import set_default_tensor_type as set_default_tensor_type
from .creation import *  # noqa: F403  (creation.py has __all__)
from .determinism import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from .determinism import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from .determinism import use_deterministic_algorithms as use_deterministic_algorithms
from .device import device as device
from .device import get_default_device as get_default_device
from .device import set_default_device as set_default_device
from .dtypes import can_cast as can_cast
from .dtypes import dtype as dtype
from .dtypes import finfo as finfo
from .dtypes import get_default_dtype as get_default_dtype
from .dtypes import iinfo as iinfo
from .dtypes import promote_types as promote_types
from .dtypes import result_type as result_type
from .dtypes import set_default_dtype as set_default_dtype
from .inquiry import *  # noqa: F403  (inquiry.py has __all__)
from .interop import from_dlpack as from_dlpack
from .interop import to_dlpack as to_dlpack
from .memory_format import *  # noqa: F403  (memory_format.py has __all__)
from .printing import set_printoptions as set_printoptions
from .random import *  # noqa: F403  (random.py has __all__)
from .serialization import load as load
from .serialization import save as save
from .tensor import Size as Size
from .tensor import Tensor as Tensor
from .threads import get_num_threads as get_num_threads
from .threads import set_num_threads as set_num_threads
from .windows import *  # noqa: F403  (windows.py has __all__)
from .workspace import get_workspace_limit as get_workspace_limit
from .workspace import set_workspace_limit as set_workspace_limit

__version__ = "0.1.0"

globals().update({name: op.call for op in dispatch._ops.values() if op.function for name in (op.name, *op.aliases)})
globals().update({name: getattr(Tensor, name) for op in dispatch._ops.values() for name in op.twins()})
globals().update(constructors("cpu", __name__))
detach, detach_ = Tensor.detach, Tensor.detach_
globals().update(dtypes.BY_NAME)  # float32, bfloat16, int64, bool, ...; also half, double, long, ...




def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` allowed."""
    return _float32_matmul_precision


def set_float32_matmul_precision(precision: str) -> None:
    """Allow products of float32 to be less exact: "highest" (not at all), "high" or "medium". A permission that no kernel uses by itself:
    one that rounds to TF32 is asked for by name, `tensorgrad.kernels.use("matmul", "cuda/v08_tensor_core_tf32")`."""
    global _float32_matmul_precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"set_float32_matmul_precision: precision must be 'highest', 'high' or 'medium', not {precision!r}")
    _float32_matmul_precision = precision


_float32_matmul_precision = "highest"


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor", mode: str | None = None,
            options: dict | None = None, disable: bool = False) -> Any:
    """`model`, a function or a module, as it is: the same results are promised, and the kernels here are compiled already.

    Without `model` it is a decorator. The arguments are checked and change nothing else: nor may they change a result in PyTorch.
    """
    if mode is not None and options is not None:
        raise RuntimeError("compile: give mode or options, not both")
    if mode not in (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"):
        raise RuntimeError(f"compile: mode {mode!r} is none of default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs")
    if not isinstance(backend, str) and not callable(backend):
        raise TypeError(f"compile: backend must be a name or a function, not {backend!r}")
    if model is not None and not callable(model):
        raise TypeError(f"compile: expected a function or a module, got {type(model).__name__}")
    return (lambda function: compile(function, mode=mode, backend=backend)) if model is None else model


aliases.install()
__getattr__ = missing.of(__name__)
