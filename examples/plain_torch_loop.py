"""A plain torch loop with a scheduler and SGD of lrparity: Keras' training, and no Keras needed.

Usage: python examples/plain_torch_loop.py
"""

import torch
from sklearn.datasets import load_breast_cancer

from lrparity.lr_scheduler import CosineDecayLR
from lrparity.optim import SGD

EPOCHS, BATCH_SIZE = 20, 28

torch.manual_seed(7)
inputs, labels = (torch.tensor(part).float() for part in load_breast_cancer(return_X_y=True))
inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)
batches = list(zip(inputs.split(BATCH_SIZE), labels[:, None].split(BATCH_SIZE), strict=True))

network = torch.nn.Sequential(torch.nn.Linear(30, 30), torch.nn.ReLU(), torch.nn.Linear(30, 1))
loss_function = torch.nn.BCEWithLogitsLoss()
optimizer = SGD(network.parameters(), lr=0.1, momentum=0.9)
scheduler = CosineDecayLR(optimizer, decay_steps=EPOCHS * len(batches), alpha=0.01)

for epoch in range(EPOCHS):
    rate = scheduler.get_last_lr()[0]
    losses = []
    for batch, targets in batches:
        optimizer.zero_grad()
        loss = loss_function(network(batch), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()  # once per update
        losses.append(loss.item())
    print(f"epoch {epoch + 1:2}  learning rate {rate:.9f}  loss {sum(losses) / len(losses):.4f}")
