"""Probability distributions: draw, score, differentiate. Names and shapes are PyTorch's."""
from .. import missing
from .bernoulli import Bernoulli as Bernoulli
from .categorical import Categorical as Categorical
from .distribution import Distribution as Distribution
from .exponential import Exponential as Exponential
from .exponential import Laplace as Laplace
from .independent import Independent as Independent
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .normal import Normal as Normal
from .uniform import Uniform as Uniform

__getattr__ = missing.of(__name__)
