"""PyTorch's path to `tensorgrad.data.dataset`."""
from ...data.dataset import *  # noqa: F403
