"""Special functions, each an op with its place here: `tensorgrad.special.expit`."""
from . import missing, op
from . import ops as ops

globals().update(op.offered("special"))

__getattr__ = missing.of(__name__)
