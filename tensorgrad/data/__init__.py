"""Data: data sets, samplers and the loader, with PyTorch's names; ready-made sets of images are in `data.sets`."""
from .. import missing
from .dataloader import DataLoader as DataLoader
from .dataloader import default_collate as default_collate
from .dataset import ChainDataset as ChainDataset
from .dataset import ConcatDataset as ConcatDataset
from .dataset import Dataset as Dataset
from .dataset import IterableDataset as IterableDataset
from .dataset import MapDataset as MapDataset
from .dataset import Subset as Subset
from .dataset import TensorDataset as TensorDataset
from .dataset import k_fold as k_fold
from .dataset import random_split as random_split
from .prefetch import prefetch as prefetch
from .sampler import BatchSampler as BatchSampler
from .sampler import RandomSampler as RandomSampler
from .sampler import Sampler as Sampler
from .sampler import SequentialSampler as SequentialSampler
from .sampler import SubsetRandomSampler as SubsetRandomSampler
from .sampler import WeightedRandomSampler as WeightedRandomSampler

__getattr__ = missing.of(__name__)
