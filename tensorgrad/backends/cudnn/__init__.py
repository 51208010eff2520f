"""`backends.cudnn`: what training scripts set here allows cuDNN something. There is no cuDNN: convolutions are this package's kernels.

`benchmark` and `allow_tf32` are permissions, and nobody makes use of them; `deterministic` asks for what holds anyway: no kernel that is
chosen by itself gives different bits from run to run (`tensorgrad.use_deterministic_algorithms` refuses those that are named, too).
"""
enabled = False
benchmark = False
benchmark_limit = 10
deterministic = True
allow_tf32 = False


def is_available() -> bool:
    """False: there is no cuDNN in this package."""
    return False


def version() -> None:
    """None: there is no cuDNN in this package."""
    return None
