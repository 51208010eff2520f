"""Linear algebra, each function an op with its place here: `tensorgrad.linalg.solve`. Matrices are the last two dimensions.

The factorizations are LAPACK's, by way of NumPy, in float32 and float64: the matrices of a GPU go to the host for them, the factors back.
"""
from . import missing, op
from . import ops as ops
from .errors import LinAlgError as LinAlgError

globals().update(op.offered("linalg"))

__getattr__ = missing.of(__name__)
