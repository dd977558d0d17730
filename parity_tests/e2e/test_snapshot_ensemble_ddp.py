"""``SnapshotEnsemble`` in two processes over gloo: one set of files, and both ranks know the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from bits import assert_same_bits
from ddp_side import BATCHES, Rank, leave, run, this_rank, told
from lightning_side import TinyTraining
from lrparity.schedules import SnapshotCosine

COSINE = SnapshotCosine(6, 3, 0.1)


# --- in the processes -------------------------------------------------------------------------------


class OfItsOwn(TinyTraining):
    """Each rank logs its own number, without reducing it."""

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("rank", float(this_rank() + 10), sync_dist=False)


class Training(Rank):
    """Everything that one rank does."""

    TRAINING = OfItsOwn

    def snapshots(self, name: str, folder: str, **arguments: Any) -> None:
        ensemble = self.ours.SnapshotEnsemble(
            6, 3, 0.1, dirpath=self.folder / folder, last_k=arguments.pop("last_k", None)
        )
        self.fit(name, [ensemble], max_epochs=6, **arguments)
        known = [[one.cycle, one.epoch, one.path, one.metrics] for one in ensemble.snapshots]
        (self.folder / f"{name}-known-{this_rank()}.json").write_text(json.dumps(known))

    def everything(self) -> None:
        self.snapshots("whole", "whole")
        self.snapshots("resumed", "whole", ckpt_path=self.folder / "whole" / "snapshot_1.ckpt")
        self.snapshots("refused", "whole")  # on both ranks, and neither waits for the other
        self.snapshots("two", "two", last_k=2)


def main(folder: Path, house: str, what: str) -> None:
    torch.set_num_threads(1)
    getattr(Training(folder, house), what)()
    leave()


# --- in the process of the test ---------------------------------------------------------------------


def check(folder: Path, name: str, cycles: list[int], first: int = 0) -> None:
    one, other = told(folder, name)
    assert not one["error"]
    assert not other["error"]
    assert one["updates"] == other["updates"]
    assert_same_bits(
        [update[4][0] for update in one["updates"]],
        [COSINE(k // BATCHES) for k in range(first, 6 * BATCHES)],
    )
    known = [json.loads((folder / f"{name}-known-{rank}.json").read_text()) for rank in range(2)]
    assert known[0] == known[1]
    assert [one[:2] for one in known[0]] == [[cycle, 2 * cycle - 1] for cycle in cycles]
    assert [one[3] for one in known[0]] == [{"rank": 10.0}] * len(cycles)  # rank 0's
    for _, epoch, path, _ in known[0]:
        content = torch.load(path, weights_only=True)
        assert content["account"] == [(epoch + 1) * BATCHES]


def check_all(folder: Path) -> None:
    check(folder, "whole", [1, 2, 3])
    check(folder, "resumed", [1, 2, 3], first=2 * BATCHES)
    for one in told(folder, "refused"):
        assert "which this training did not write" in one["error"]
        assert not one["updates"]
    check(folder, "two", [2, 3])
    assert {path.name for path in (folder / "two").iterdir()} == {
        "snapshot_2.ckpt",
        "snapshot_3.ckpt",
    }


def test_two_processes(tmp_path):
    run(__file__, tmp_path, "lightning.pytorch", "everything")
    check_all(tmp_path)


def test_the_other_lightning(tmp_path):
    run(__file__, tmp_path, "pytorch_lightning", "everything")
    check_all(tmp_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
