"""PyTorch's path to `tensorgrad.data`."""
from ... import missing
from ...data import *  # noqa: F403

__getattr__ = missing.of(__name__)
