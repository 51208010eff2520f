"""PyTorch's path to `tensorgrad.data.sampler`."""
from ...data.sampler import *  # noqa: F403
