"""PyTorch's path to `tensorgrad.data.dataloader`."""
from ...data.dataloader import *  # noqa: F403
