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
from .creation import *  # noqa: F403  (creation.py has __all__)
from .determinism import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from .determinism import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from .determinism import use_deterministic_algorithms as use_deterministic_algorithms
from .device import device as device
from .dtypes import can_cast as can_cast
from .dtypes import dtype as dtype
from .dtypes import finfo as finfo
from .dtypes import get_default_dtype as get_default_dtype
from .dtypes import iinfo as iinfo
from .dtypes import promote_types as promote_types
from .dtypes import result_type as result_type
from .dtypes import set_default_dtype as set_default_dtype
from .interop import from_dlpack as from_dlpack
from .interop import to_dlpack as to_dlpack
from .printing import set_printoptions as set_printoptions
from .random import *  # noqa: F403  (random.py has __all__)
from .serialization import load as load
from .serialization import save as save
from .tensor import Size as Size
from .tensor import Tensor as Tensor
from .threads import get_num_threads as get_num_threads
from .threads import set_num_threads as set_num_threads
from .workspace import get_workspace_limit as get_workspace_limit
from .workspace import set_workspace_limit as set_workspace_limit

__version__ = "0.1.0"

globals().update({name: op.call for op in dispatch._ops.values() if op.function for name in (op.name, *op.aliases)})
globals().update(dtypes.BY_NAME)  # float32, bfloat16, int64, bool, ...; also half, double, long, ...


def is_tensor(obj: Any) -> Any:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return input.is_floating_point()


aliases.install()
__getattr__ = missing.of(__name__)
