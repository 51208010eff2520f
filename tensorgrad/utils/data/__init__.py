"""PyTorch's path to `tensorgrad.data`."""
from ...data import *  # noqa: F403
