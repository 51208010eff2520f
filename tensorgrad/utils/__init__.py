"""PyTorch's paths to helpers: `utils.data`, `utils.checkpoint`."""
