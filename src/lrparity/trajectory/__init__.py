"""What one run did: learning rates, metrics, events, provenance; saved, loaded and compared.

A :class:`Trajectory` is a value: immutable, equal by content, hashable.  Its learning rates keep
their bits, in memory, in the file and in the comparison.

>>> recorded = Trajectory([0.5, 0.25, 0.125], provenance={"framework": "keras"})
>>> simulated = Trajectory([0.5, 0.25, 0.25])
>>> Trajectory.from_json(recorded.to_json()) == recorded
True
>>> print(compare(recorded, simulated))
different: 1 of 3 rates differ by more than 0 ULP; largest 8388608 ULP, 0.5 relative
first at update 2 of 'learning_rate':
     update      a     b      ULP
          0    0.5   0.5        0
          1   0.25  0.25        0
  >       2  0.125  0.25  8388608

The file form is JSON, described under *The file format* in ``_file.py``.  Reading a file executes
and imports nothing; whatever is wrong with it ends in :class:`TrajectoryError`.
"""

from lrparity.trajectory._compare import Comparison, Difference, compare
from lrparity.trajectory._events import Event, EventKind
from lrparity.trajectory._file import MAXIMUM_BYTES, MAXIMUM_VALUES, TrajectoryError
from lrparity.trajectory._trajectory import (
    DEFAULT_SERIES,
    Plain,
    Reading,
    Series,
    Trajectory,
    Unit,
    provenance,
)

__all__ = [
    "DEFAULT_SERIES",
    "MAXIMUM_BYTES",
    "MAXIMUM_VALUES",
    "Comparison",
    "Difference",
    "Event",
    "EventKind",
    "Plain",
    "Reading",
    "Series",
    "Trajectory",
    "TrajectoryError",
    "Unit",
    "compare",
    "provenance",
]
