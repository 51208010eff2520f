"""What the recipes share: the training loop, the run folder, plots, the progress display."""
