"""Building blocks of networks: modules, layers, losses. Names and state_dict keys are PyTorch's."""
from __future__ import annotations

from .. import missing
from . import functional as functional
from . import init as init
from . import modules as modules
from . import parallel as parallel
from . import utils as utils
from .modules import Module as Module
from .parallel import DataParallel as DataParallel
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter

globals().update({name: c for name, c in vars(modules).items() if isinstance(c, type) and not name.startswith("_")})
__getattr__ = missing.of(__name__)
