"""`backends.mps`: Apple's GPUs, which there are no kernels for."""


def is_available() -> bool:
    """False: there is no device `mps`."""
    return False


def is_built() -> bool:
    """False: there is no device `mps`."""
    return False
