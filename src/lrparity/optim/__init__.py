"""Keras' update rules as torch optimizers, so that training matches and not only the rate.

They are for closed loops: where a callback sets the learning rate from a metric, the rate depends
on the weights, and with momentum torch's weights part from Keras' at the first change of the rate.

Beside them, what they optimize: param groups with a learning rate for each layer.
"""

from lrparity.optim._param_groups import layer_decay, param_groups
from lrparity.optim._sgd import SGD

__all__ = ["SGD", "layer_decay", "param_groups"]
