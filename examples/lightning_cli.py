"""A training described by a YAML file, the learning rate included.

python examples/lightning_cli.py fit --config examples/lightning_cli.yaml
python examples/lightning_cli.py fit --config examples/lightning_cli.yaml --print_config
"""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningCLI
from sklearn.datasets import load_breast_cancer
from torch.utils.data import DataLoader, TensorDataset

from lrparity.optim import SGD


class Classifier(LightningModule):
    """One hidden layer on scikit-learn's breast-cancer data.

    Args:
        units: how many units the hidden layer has.
        momentum: of the optimizer.
    """

    def __init__(self, units: int = 30, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.network = torch.nn.Sequential(
            torch.nn.LazyLinear(units), torch.nn.ReLU(), torch.nn.Linear(units, 1)
        )
        self.network(torch.zeros(1, 30))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int):
        """Lightning's name for it."""
        inputs, labels = batch
        loss = torch.nn.functional.binary_cross_entropy_with_logits(self.network(inputs), labels)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer alone: its rate comes from the YAML file."""
        return SGD(self.parameters(), lr=0.0, momentum=self.momentum)

    def train_dataloader(self) -> DataLoader:
        """Standardised columns, in batches of 28."""
        inputs, labels = load_breast_cancer(return_X_y=True)
        inputs = (inputs - inputs.mean(0)) / inputs.std(0)
        columns = torch.tensor(inputs, dtype=torch.float32)
        return DataLoader(
            TensorDataset(columns, torch.tensor(labels[:, None], dtype=torch.float32)),
            batch_size=28,
        )


def inverse_square_root(update: int) -> float:
    """A function that the YAML file can name: lightning_cli.inverse_square_root."""
    return 0.1 / (update + 1) ** 0.5


if __name__ == "__main__":
    # Without a logger, the CLI would save each run's config here, and refuse the second run.
    LightningCLI(Classifier, save_config_callback=None)
