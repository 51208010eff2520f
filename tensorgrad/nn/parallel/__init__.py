"""Wrappers of modules for several devices, under the path PyTorch has them at."""
from ... import missing
from .data_parallel import DataParallel as DataParallel

__getattr__ = missing.of(__name__)
