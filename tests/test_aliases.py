"""`sys.modules["torch"] = tensorgrad`: ordinary model files run as they are, submodules included."""
from __future__ import annotations

import subprocess
import sys

HEAD = "import sys, tensorgrad; sys.modules['torch'] = tensorgrad\n"

MODEL = '''
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torch.utils.checkpoint
from torch import Tensor
from torch.autograd import Variable
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import Parameter
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = Parameter(torch.ones(1))
        assert isinstance(self.conv, _ConvNd)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x)) * self.scale


net = nn.Sequential(Block(2), nn.Flatten(), nn.Linear(32, 3))
data = DataLoader(TensorDataset(torch.randn(4, 2, 4, 4), torch.randint(0, 3, (4,))), batch_size=2)
optimizer = optim.SGD(net.parameters(), lr=0.1)
schedule = StepLR(optimizer, 1)
for x, y in data:
    loss = F.cross_entropy(net(Variable(x)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
assert math.isfinite(loss.item())
'''


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_model_file_runs_under_the_other_name():
    done = run(HEAD + MODEL)
    assert done.returncode == 0, done.stderr


def test_both_names_are_one_module():
    code = """
import torch.nn, torch.nn.functional as F, tensorgrad.nn.functional as G, importlib
assert F is G and torch.nn is tensorgrad.nn and torch.nn.Linear is tensorgrad.nn.Linear
assert sys.modules['torch.nn'] is sys.modules['tensorgrad.nn'] and torch.nn.__spec__.name == 'tensorgrad.nn'
"""
    done = run(HEAD + code)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_an_import_error():
    for line in ("import torch.fx", "from torch.nn import Foo"):
        done = run(HEAD + line)
        assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
