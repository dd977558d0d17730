"""What the tests share that SIGKILL trainings at random moments.

One process imports everything and forks the runs, one after the other: an import of torch and
Lightning takes longer than the training.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as pl
import numpy as np
import torch
from fsspec.implementations.local import LocalFileOpener
from lightning.pytorch.callbacks import ModelCheckpoint

from bits import assert_same_bits
from lightning_side import append_line, make_trainer

KILLS_OF_A_RUN = 12
HOOKS = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_batch_end",
    "on_train_epoch_end",
    "on_train_end",
)


Begin = Callable[[Path, int, tuple[str, Any, Any]], None]
"""Begins or resumes a training in a folder, with a checkpoint every so many steps, until the kill."""

# --- in the forked processes ------------------------------------------------------------------------


class Kill(pl.Callback):
    """SIGKILL at the n-th call of one hook."""

    def __init__(self, hook: str, n: int) -> None:
        self.hook, self.left = hook, n

    def count(self, hook: str) -> None:
        if hook == self.hook:
            self.left -= 1
            if self.left < 0:
                kill_self()


for _hook in HOOKS:
    setattr(Kill, _hook, lambda self, *_, hook=_hook, **__: self.count(hook))


def kill_self() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def kill_in_writing(n: int, share: float) -> None:
    """SIGKILL within the n-th checkpoint from now, with that share of its bytes in the file."""
    write = LocalFileOpener.write
    left = [n]

    def killing(self: Any, data: bytes, *rest: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            return write(self, data, *rest)
        write(self, data[: int(len(data) * share)], *rest)
        self.f.flush()
        kill_self()

    LocalFileOpener.write = killing


def newest(folder: Path) -> Path | None:
    """The checkpoint that was written last."""
    found = (folder / "checkpoints").glob("*.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def train(
    folder: Path,
    every: int,
    kill: tuple[str, Any, Any],
    callbacks: Sequence[Any],
    module: Any,
    **trainer: Any,
) -> None:
    """Go on from the newest checkpoint, until the training is done or the kill comes."""
    way, which, when = kill
    path = newest(folder)
    append_line(folder / "log", f"# {path and path.name}")
    saver = ModelCheckpoint(
        folder / "checkpoints",
        "{epoch}-{step}",
        every_n_train_steps=every,
        save_top_k=-1,
        enable_version_counter=False,
    )
    more = [Kill(which, when)] if way == "hook" else []
    if way == "writing":
        kill_in_writing(which, when)
    made = make_trainer([*callbacks, saver, *more], **trainer)
    made.fit(module, ckpt_path=path)
    append_line(folder / "log", "# done " + " ".join(map(str, module.done)))


def drawn_kill(rng: np.random.Generator) -> tuple[str, Any, Any]:
    """How the next process ends, if it does not end before."""
    way = str(rng.choice(["hook", "hook", "writing", "time"]))
    if way == "hook":
        hook = str(rng.choice(HOOKS))
        return way, hook, int(rng.integers(3 if "epoch" in hook else 25))
    if way == "writing":
        return way, int(rng.integers(10)), float(rng.uniform())
    return way, float(rng.uniform(0.0, 0.2)), None


def was_killed(begin: Begin, folder: Path, every: int, kill: tuple[str, Any, Any]) -> bool:
    """Train in a forked process; whether it was killed before it was done."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            begin(folder, every, kill)
            status = 0
        except BaseException:
            (folder / "error").write_text(traceback.format_exc())
        finally:
            os._exit(status)
    if kill[0] == "time":
        time.sleep(kill[1])
        os.kill(process, signal.SIGKILL)  # it is not reaped yet, so the id is still its own
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    assert os.WEXITSTATUS(status) == 0, (folder / "error").read_text()
    return False


def main(begins: dict[str, Begin], folder: Path, seed: int, kills: int, *names: str) -> None:
    """Runs of the cases in turn, each killed again and again, until there were enough kills."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # no pool of threads, which a fork would lose
    rng = np.random.default_rng(seed)
    summary: list[dict[str, Any]] = []
    total = 0
    while total < kills:
        name = names[(len(summary) + seed) % len(names)]
        run = folder / f"{len(summary)}"
        (run / "temporary").mkdir(parents=True)
        # Lightning writes a checkpoint there first: what a kill leaves goes away with the folder.
        tempfile.tempdir = str(run / "temporary")
        every, ways = int(rng.integers(1, 5)), Counter()
        while True:
            kill = drawn_kill(rng)
            if sum(ways.values()) >= min(KILLS_OF_A_RUN, kills - total):
                kill = ("none", None, None)
            if not was_killed(begins[name], run, every, kill):
                break
            ways[kill[0]] += 1
        total += sum(ways.values())
        summary.append({"case": name, "folder": str(run), "every": every, "ways": ways})
    print(json.dumps(summary))


# --- in the process of the test ---------------------------------------------------------------------


def killed_runs(
    script: str, folder: Path, seed: int, kills: int, names: Iterable[str]
) -> list[dict[str, Any]]:
    """What the worker, a test's own file, tells of its runs."""
    path = Path(script).resolve()
    paths = [str(path.parents[1]), os.environ.get("PYTHONPATH", "")]
    worker = subprocess.run(
        [sys.executable, str(path), str(folder), str(seed), str(kills), *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert worker.returncode == 0, f"seed {seed}: {worker.stderr[-3000:]}"
    runs = json.loads(worker.stdout.splitlines()[-1])
    assert sum(sum(run["ways"].values()) for run in runs) >= kills
    return runs


def checked_rates(
    run: dict[str, Any], expected: Callable[[int, int, int], float], context: object
) -> list[list[float]]:
    """The rates of each optimizer's updates, once every update of every process has the right one.

    Args:
        run: what the worker told of it.
        expected: the rate of the optimizer, the update's number and the epoch.
        context: for messages.
    """
    folder = Path(run["folder"])
    *lines, last = (folder / "log").read_text().splitlines()
    assert last.startswith("# done"), context
    done = [int(count) for count in last.split()[2:]]
    starts = [line for line in lines if line.startswith("#")]
    # One that is killed at a random time may not have come as far as its first line.
    silent = sum(run["ways"].values()) + 1 - len(starts)
    assert 0 <= silent <= run["ways"].get("time", 0), context
    found: list[dict[int, float]] = [{} for _ in done]
    following: list[int | None] = [0] * len(done)
    for line in lines:
        if line.startswith("#"):
            # From a checkpoint the counts begin somewhere before.
            following = [0 if line == "# None" else None] * len(done)
            continue
        optimizer, number, epoch, rate = line.split()
        i, k = int(optimizer), int(number)
        assert following[i] in {k, None}, (context, line)
        assert k <= len(found[i]), (context, line, "updates were skipped")
        following[i] = k + 1
        assert_same_bits(float(rate), expected(i, k, int(epoch)), [k], (context, line))
        found[i][k] = float(rate)  # the last process to make this update is the one that counts
    for path in (folder / "checkpoints").glob("*.ckpt"):
        torch.load(path, weights_only=True)  # it is whole
    return [[rates[k] for k in range(count)] for count, rates in zip(done, found, strict=True)]
