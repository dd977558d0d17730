"""The network in torch, and its weights in Keras' order and shape."""

from __future__ import annotations

import torch

from demo_parts.run import Weights


def make_network(weights: Weights) -> torch.nn.Sequential:
    """One hidden relu layer, and the logits of the units after it, with these weights.

    Keras takes a sigmoid unit and its cross-entropy together, from the logit.  So does whoever
    trains this: with ``binary_cross_entropy_with_logits``.
    """
    columns, units = weights[0].shape
    network = torch.nn.Sequential(
        torch.nn.Linear(columns, units), torch.nn.ReLU(), torch.nn.Linear(units, len(weights[-1]))
    )
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value.T))  # torch keeps kernels as (units, inputs)
    return network


def weights_of(network: torch.nn.Module) -> Weights:
    """A copy of the weights, as Keras' ``get_weights()`` would return them."""
    return [parameter.detach().numpy().T.copy() for parameter in network.parameters()]
