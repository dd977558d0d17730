"""Keras learning-rate schedules for PyTorch and Lightning, identical to the last bit.

``import lrparity`` loads NumPy only.  What you want is one level down:

- :mod:`lrparity.schedules`: Keras' schedules as pure functions of the update or the epoch;
- :mod:`lrparity.callbacks`: the same as Lightning callbacks, and a recorder;
- :mod:`lrparity.lr_scheduler`: the same as torch ``LRScheduler`` classes;
- :mod:`lrparity.optim`: Keras' SGD rule as a torch optimizer;
- :mod:`lrparity.trajectory`: what one run did, its file format and its exact comparison;
- :mod:`lrparity.float32`: the arithmetic beneath.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
