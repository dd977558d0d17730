"""What the tests with two processes share: one rank's trainings, and how they are started."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch

from lightning_side import TinyTraining, make_trainer

HOUSES = {
    "lightning.pytorch": "lrparity.callbacks.lightning_pytorch",
    "pytorch_lightning": "lrparity.callbacks.pytorch_lightning",
}
BATCHES = 5  # of each rank


# --- in the processes -------------------------------------------------------------------------------


class Rank:
    """The trainings of one rank, under one of the two Lightnings."""

    TRAINING: type = TinyTraining

    def __init__(self, folder: Path, house: str, strategy: str = "ddp") -> None:
        self.pl = importlib.import_module(house)
        self.ours = importlib.import_module(HOUSES[house])
        self.folder, self.strategy = folder, strategy
        self.module = type("ThisTiny", (self.TRAINING, self.pl.LightningModule), {})

    def fit(
        self,
        name: str,
        callbacks: list[Any],
        module: dict[str, Any] | None = None,
        ckpt_path: Path | None = None,
        **trainer: Any,
    ) -> None:
        """Train, and write down this rank's updates and warnings."""
        rank = this_rank()
        arguments = dict(module or {})
        if rank == 0:
            arguments.pop("overflows", None)
        # Lightning gives each rank its share of the batches.
        tiny = self.module(arguments.pop("batches", 2 * BATCHES), **arguments)
        made = make_trainer(callbacks, house=self.pl, devices=2, strategy=self.strategy, **trainer)
        error = ""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                made.fit(tiny, ckpt_path=ckpt_path)
            except (ValueError, RuntimeError, OSError) as exception:
                error = f"{type(exception).__name__}: {exception}"
        assert made.world_size == 2
        told = {
            "updates": [list(update) for update in tiny.updates],
            "done": tiny.done,
            "warnings": [str(one.message) for one in caught],
            "error": error,
            "noted": getattr(tiny, "noted", []),
        }
        (self.folder / f"{name}-{rank}.json").write_text(json.dumps(told))


def this_rank() -> int:
    """Lightning tells the second process."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def show_where_it_hangs(seconds: float) -> None:
    """A rank that waits for another one in vain says where, and ends."""
    faulthandler.dump_traceback_later(seconds, exit=True)


def leave() -> NoReturn:
    """End both processes at once: gloo's threads abort now and then as the interpreter ends."""
    torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


# --- in the process of the test ---------------------------------------------------------------------


def run(script: str, folder: Path, house: str, what: str, *, timeout: float = 240.0) -> None:
    """Start a test's own file as the two processes, and wait until they have done what it says."""
    path = Path(script).resolve()
    paths = [str(path.parents[1]), os.environ.get("PYTHONPATH", "")]
    # A session of its own: if it hangs, Lightning's second process ends with the first.
    worker = subprocess.Popen(
        [sys.executable, str(path), str(folder), house, what],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed, _ = worker.communicate(timeout=timeout)
    except BaseException:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        raise
    assert worker.returncode == 0, printed[-4000:]


def told(folder: Path, name: str) -> list[dict[str, Any]]:
    """What each rank wrote down."""
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(2)]
