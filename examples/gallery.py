"""Draw every schedule that lrparity ships, one small panel each.

Usage: python examples/gallery.py [--out gallery.png]

The panels are a table: a schedule and how many steps of it are drawn, blue where it counts updates and
brown where it counts epochs.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lrparity import schedules as s

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    sys.exit("The gallery is drawn with matplotlib. Install it: pip install 'lrparity[plot]'")

COLUMNS = 7
COLOURS = {"update": "#12355b", "epoch": "#b3541e"}


@dataclass(frozen=True)
class Panel:
    """A schedule and how much of it is drawn."""

    schedule: s.LearningRateSchedule
    steps: int


def _unusual() -> s.LearningRateSchedule:
    """tf-models' class warns of the NaN after its last boundary; here none is drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return s.StepCosineDecayWithOffset([0, 60, 100], [0.1, 0.05, 0.01])


COSINE = s.CosineDecay(0.1, 80)
HALVED = s.StepDecay(0.1, drop=0.5, epochs_drop=10)

SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Keras' own": (
        Panel(s.ExponentialDecay(0.1, 20, 0.5, staircase=True), 100),
        Panel(s.InverseTimeDecay(0.1, 10, 0.5), 100),
        Panel(s.PolynomialDecay(0.1, 30, 0.01, power=2.0, cycle=True), 120),
        Panel(s.PiecewiseConstantDecay([30, 60], [0.1, 0.05, 0.01]), 100),
        Panel(s.CosineDecay(0.0, 80, alpha=0.1, warmup_target=0.1, warmup_steps=20), 120),
        Panel(s.CosineDecayRestarts(0.1, 15, t_mul=2.0, m_mul=0.8), 105),
    ),
    "TensorFlow's older ones, and the tutorials'": (
        Panel(s.NaturalExpDecay(0.1, 20, 0.7), 100),
        Panel(s.LinearCosineDecay(0.1, 100, num_periods=2.5, beta=0.01), 120),
        Panel(s.NoisyLinearCosineDecay(0.1, 100, initial_variance=0.05, noise=1), 120),
        Panel(s.TimeBasedDecay(0.1, 0.03), 100),
        Panel(s.StepDecay(0.1, drop=0.5, epochs_drop=10), 50),
        Panel(s.RampSustainDecay(1e-5, 5e-5, 1e-5, 5, 3, 0.8), 25),
    ),
    "Warm-ups": (
        Panel(s.WarmUp(COSINE, 20, initial_learning_rate=0.01, power=2.0), 120),
        Panel(s.LinearWarmup(s.CosineDecay(0.1, 100), 25, 0.0067), 120),
        Panel(s.PolynomialWarmUp(s.ExponentialDecay(0.1, 50, 0.5), 25, power=2.0), 120),
        Panel(s.BertWarmUp(0.1, s.PolynomialDecay(0.1, 100, 0.0), 30), 120),
        Panel(s.TransformersWarmUp(0.1, s.PolynomialDecay(0.1, 80, 0.0), 30), 120),
        Panel(
            s.WarmUpCosineDecay(0.1, 110, warmup_steps=20, hold_base_rate_steps=20),
            120,
        ),
    ),
    "Powers of the step": (
        Panel(s.Noam(128, warmup_steps=40), 200),
        Panel(s.InverseSquareRoot(2.0, 40, 512), 200),
        Panel(s.DirectPowerDecay(0.1, -0.5), 100),
        Panel(s.PowerAndLinearDecay(0.1, 100, -0.5, 0.4), 120),
        Panel(s.PowerDecayWithOffset(1.0, -1.0, 10, 0.2), 60),
        Panel(_unusual(), 100),
        Panel(s.WarmUpAndPolyDecay(2048, 2.0, 4.0, 40, 60, 60), 140),
    ),
    "Cycles": (
        Panel(s.CyclicalLearningRate(0.01, 0.1, 15, lambda x: 1 / x), 120),
        Panel(s.TriangularCyclicalLearningRate(0.01, 0.1, 15), 120),
        Panel(s.Triangular2CyclicalLearningRate(0.01, 0.1, 15), 120),
        Panel(s.ExponentialCyclicalLearningRate(0.01, 0.1, 15, gamma=0.98), 120),
        Panel(s.CyclicLR(0.01, 0.1, 15, mode="exp_range", gamma=0.98), 120),
        Panel(s.SnapshotCosine(60, 3, 0.1), 60),
        Panel(s.SGDRScheduler(0.001, 0.1, 1, lr_decay=0.8, cycle_length=10), 75),
        Panel(s.InclusiveCosineRestarts(0.1, 0.001, 10, 2, 0.8), 75),
        Panel(
            s.CosineLrSchedulerEpoch(0.1, 12, warmup_steps=4, cooldown_steps=2, lr_warmup=0.01),
            75,
        ),
        Panel(s.CosineAnnealing(50, 0.05, 0.0004), 50),
    ),
    "One cycle": (
        Panel(s.OneCycleLR(100, 10, 12, 0.1), 120),
        Panel(s.OneCycleScheduler(100, 0.1), 120),
        Panel(s.CosineOneCycle(0.1, 100), 100),
        Panel(s.OneCycle((0.01, 0.1), 100), 100),
        Panel(s.TriangularOneCycle(0.1, 40, final_lr=0.005), 80),
        Panel(s.OneCycleMomentum(s.OneCycle((0.01, 0.1), 100)), 100),
    ),
    "Pieces": (
        Panel(s.PiecewiseLinear([0, 30, 60, 100], [0.0, 0.1, 0.02, 0.05]), 120),
        Panel(s.LinearDecay(0.1, 70, 0.02), 100),
        Panel(s.MultiStepDecay(0.1, [30, 60], 0.3), 100),
        Panel(s.Constant(0.1), 100),
    ),
    "Made of others": (
        Panel(s.Join([0.1, COSINE, 0.02], [30, 100]), 130),
        Panel(s.Product([COSINE, s.TriangularCyclicalLearningRate(0.5, 1.0, 8)]), 100),
        Panel(s.Sum([0.02, COSINE]), 100),
        Panel(s.Scale(COSINE, 0.5), 100),
        Panel(s.Offset(COSINE, 30, minimum=0), 130),
        Panel(s.Clip(COSINE, minimum=0.02, maximum=0.08), 100),
        Panel(s.Hold(COSINE, stop=50), 100),
        Panel(s.Repeat(COSINE, 40), 120),
        Panel(s.PerEpoch(s.ExponentialDecay(0.1, 1, 0.9)), 40),
        Panel(s.PerUpdate(HALVED, steps_per_epoch=4), 120),
        Panel(s.InPython(s.WarmUp(COSINE, 20)), 120),
    ),
}


def draw(path: Path) -> None:
    """Draw all panels into one file."""
    rows = sum(math.ceil(len(panels) / COLUMNS) for panels in SECTIONS.values())
    figure = Figure(figsize=(2.3 * COLUMNS, 1.75 * rows + 0.35 * len(SECTIONS)), dpi=110)
    heights = [math.ceil(len(p) / COLUMNS) * 1.75 + 0.35 for p in SECTIONS.values()]
    parts = np.atleast_1d(figure.subfigures(len(SECTIONS), 1, height_ratios=heights))
    for part, (title, panels) in zip(parts, SECTIONS.items(), strict=True):
        count = math.ceil(len(panels) / COLUMNS)
        height = 1.75 * count + 0.35
        part.suptitle(title, fontsize=11, fontweight="bold", x=0.012, y=1 - 0.1 / height, ha="left")
        grid = part.add_gridspec(
            count,
            COLUMNS,
            left=0.035,
            right=0.995,
            top=1 - 0.62 / height,
            bottom=0.3 / height,
            hspace=0.75,
            wspace=0.28,
        )
        for i, panel in enumerate(panels):
            axes = part.add_subplot(grid[divmod(i, COLUMNS)])
            unit, steps = panel.schedule.unit, np.arange(panel.steps)
            epochs = unit == "epoch"
            axes.plot(
                steps,
                panel.schedule(steps),
                color=COLOURS[unit],
                linewidth=1.2,
                drawstyle="steps-post" if epochs else "default",
            )
            axes.set_ylim(bottom=0)
            axes.margins(x=0)
            axes.set_title(type(panel.schedule).__name__, fontsize=7.5, pad=4)
            axes.tick_params(labelsize=6, length=2, pad=1.5)
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
            axes.yaxis.get_offset_text().set_fontsize(6)
            axes.set_xlabel(unit, fontsize=6, labelpad=1)
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("gallery.png"), help="the picture (%(default)s)"
    )
    out = parser.parse_args().out
    draw(out)
    count = sum(map(len, SECTIONS.values()))
    print(f"{count} schedules are in {out}.")


if __name__ == "__main__":
    main()
