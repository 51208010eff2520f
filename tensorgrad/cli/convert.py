"""`tensorgrad convert`: weights from PyTorch and to it."""
from __future__ import annotations

from typing import Annotated

import typer


def convert(source: Annotated[str, typer.Argument(help="A .pt or .safetensors file, told by its contents; nothing in it is executed.")],
            target: Annotated[str, typer.Argument(help="Where to: .safetensors, or .pt, .pth, .bin, which torch.load reads.")]) -> None:
    """Convert weights between PyTorch's files and safetensors."""
    from ..convert import convert as run

    run(source, target)
