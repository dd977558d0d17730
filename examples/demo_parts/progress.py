"""Progress of the training: a line that moves on a terminal, a line per training elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence


class Progress:
    """Tells how far the trainings are.

    Args:
        titles: of all recipes that there will be, in order.
        epochs: epochs per training.
    """

    def __init__(self, titles: Sequence[str], epochs: int) -> None:
        self.titles, self.epochs = titles, epochs
        self.width = max(map(len, titles))
        self.moving = sys.stdout.isatty()
        self.number, self.framework = -1, ""
        self.started = self.shown = 0.0
        self.loss = float("nan")

    def begin_recipe(self) -> None:
        """Go on to the next recipe."""
        self.number += 1

    def begin(self, framework: str) -> None:
        """Begin a training."""
        self.framework, self.started = framework, time.monotonic()

    def epoch(self, epoch: int, loss: float) -> None:
        """An epoch is over; epochs count from 0."""
        self.loss = loss
        now = time.monotonic()
        if self.moving and now - self.shown > 0.1:
            self.shown = now
            self._write(f"epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}", end="")

    def end(self) -> None:
        """The training is over."""
        self._write(counted(self.epochs, "epoch"), end="\n")

    def _write(self, epochs: str, end: str) -> None:
        recipes = str(len(self.titles))
        of = f"[{self.number + 1:{len(recipes)}}/{recipes}]"
        seconds = time.monotonic() - self.started
        line = (
            f"{of} {self.titles[self.number]:<{self.width}}  {self.framework:<28} {epochs:<12} "
            f"loss {self.loss:<8.4f} {seconds:5.1f} s"
        )
        self._clear()
        if not end:
            line = line[: shutil.get_terminal_size().columns - 1]
        print(line, end=end, flush=True)

    def _clear(self) -> None:
        if self.moving:
            print("\r\x1b[K", end="")


def counted(number: int, noun: str) -> str:
    """A number and a noun.

    >>> counted(1, "epoch"), counted(50, "epoch")
    ('1 epoch', '50 epochs')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")
