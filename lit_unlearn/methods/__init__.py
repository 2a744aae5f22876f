"""One file per method: the paper's docstring, pure losses with equation numbers, one LightningModule."""
