"""What `demo.py` is made of.

Read `recipes.py` first: each recipe stands there twice, as one writes it for Keras and as one writes
it for torch with lrparity.  Then `torch_side.py`, a training loop without anything special.

========================  ==========================================================================
``data.py``               the data sets, the split, the initial weights
``recipes.py``            the five learning-rate recipes, in both frameworks
``keras_side.py``         ``model.fit``, and how the rates are read out of it
``torch_side.py``         the plain torch loop
``run.py``                what a training leaves behind
``comparison.py``         what differs between two runs, and what counts as a failure
``report.py``             the table, the JSON report
``picture.py``            the PNG
``progress.py``           the lines that tell how far the training is
========================  ==========================================================================
"""
