"""tensorgrad: a deep-learning framework that can be read down to the metal. `import tensorgrad as tg`."""
from __future__ import annotations

from . import autograd as autograd
from . import kernels as kernels
from . import ops as ops
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .creation import *  # noqa: F403
from .device import device as device
from .dtypes import *  # noqa: F403
from .tensor import Size as Size
from .tensor import Tensor as Tensor
