"""What `demo.py` is made of.

Read `recipes.py` first: each recipe stands there as one writes it for Keras, for Lightning and for a
torch loop.  Then `lightning_side.py`, whose module and Trainer have nothing special about them, and
`torch_side.py`, the training loop without Lightning.

========================  ==========================================================================
``data.py``               the data sets, the split, the initial weights
``recipes.py``            the seven learning-rate recipes, in three ways
``keras_side.py``         ``model.fit``, and how the rates are read out of it
``lightning_side.py``     ``Trainer.fit``
``torch_side.py``         the plain torch loop
``network.py``            the network in torch, with Keras' weights
``run.py``                what a training leaves behind
``comparison.py``         what differs between two runs, and what counts as a failure
``report.py``             the table, the JSON report
``picture.py``            the PNG
``progress.py``           the lines that tell how far the training is
========================  ==========================================================================
"""
