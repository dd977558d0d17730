"""Recipes that people train by, and the shipped parts that each of them is.

Each row holds a recipe's number in the catalogue, an expression such as
``WarmUp(CosineDecay(0.001, 8 * spe), spe)`` (read by ``expression.py``, never evaluated), and a
statement of the recipe that knows nothing of lrparity: Keras itself, TensorFlow's operations, or
Python.  ``make recipes`` compares the two to the last bit and counts.

Where the catalogue names no number, the row has one of ours: 100 updates in an epoch, for one.  Where
it does not say in which order a formula is computed, the statement has the order that the shipped
class documents.
"""
