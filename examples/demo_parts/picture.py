"""The PNG: rates, losses and weight distances of both frameworks, a column per recipe."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demo_parts.comparison import LIMIT, Outcome
from demo_parts.data import Split
from demo_parts.progress import counted
from demo_parts.report import count_bits

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

KERAS: dict[str, Any] = {
    "color": "#f2a65a",
    "linewidth": 6.0,
    "alpha": 0.75,
    "solid_capstyle": "butt",
}
LRPARITY: dict[str, Any] = {"color": "#12355b", "linewidth": 1.6, "linestyle": (0, (4, 2))}
TORCH_SGD: dict[str, Any] = {"color": "#c0392b", "linewidth": 1.6}


def save(path: Path, outcomes: Sequence[Outcome], data: Split, *, gate_weights: bool) -> None:
    """Draw the outcomes of one seed."""
    columns = len(outcomes)
    figure = Figure(figsize=(1.4 + 3.7 * max(columns, 2), 9.4), dpi=110, layout="constrained")
    axes = figure.subplots(3, columns, sharex=True, sharey="row", squeeze=False)
    for column, one in enumerate(outcomes):
        axes[0, column].set_title(one.recipe.title, fontsize=13, fontweight="bold")
        _rates(axes[0, column], one, data.updates_per_epoch)
        _losses(axes[1, column], one)
        _distances(axes[2, column], one, gate_weights)
        axes[2, column].set_xlabel("epoch")
    for row, label in enumerate(
        (
            "learning rate applied",
            "training loss",
            "weights' distance from Keras'\nmax|dw| / max|w|",
        )
    ):
        axes[row, 0].set_ylabel(label, fontsize=11)
    for ax in axes.flat:
        ax.grid(color="#e4e4e4", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        handles.update({line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"})
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=len(handles) if columns > 2 else 1,
        frameon=False,
        fontsize=11,
        handlelength=3.5,
    )
    figure.suptitle(_title(outcomes, data, int(8.5 * figure.get_figwidth())), fontsize=16)
    figure.savefig(path)


def _title(outcomes: Sequence[Outcome], data: Split, width: int) -> str:
    differing, compared = count_bits(outcomes)
    title = (
        f"One network, trained by Keras' model.fit and by a torch loop with lrparity: "
        f"{differing:,} of {compared:,} learning-rate bits differ, reported and applied"
    )
    configuration = (
        f"{data.table.name} data, {len(data.inputs)} training rows, "
        f"{counted(outcomes[0].recipe.epochs, 'epoch')}, seed {data.seed}"
    )
    return "\n".join([*textwrap.wrap(title, width), *textwrap.wrap(configuration, width)])


def _rates(ax: Axes, one: Outcome, updates_per_epoch: int) -> None:
    for run, label, style in (
        (one.keras, "Keras' model.fit", KERAS),
        (one.lrparity, "torch loop with lrparity", LRPARITY),
    ):
        rates = run.applied.learning_rate
        epochs = np.arange(len(rates) + 1) / updates_per_epoch
        lasting = np.append(rates, rates[-1])  # each rate lasts until the next update
        ax.plot(epochs, lasting, drawstyle="steps-post", label=label, **style)
    differing = one.reported.bits + one.applied.bits
    _remark(ax, f"{differing} of {64 * one.applied.updates:,} bits differ")


def _losses(ax: Axes, one: Outcome) -> None:
    epochs = np.arange(1, one.recipe.epochs + 1)
    marker = "o" if len(epochs) == 1 else ""
    ax.plot(epochs, one.keras.applied.metrics["loss"], marker=marker, markersize=12, **KERAS)
    ax.plot(epochs, one.lrparity.applied.metrics["loss"], marker=marker, **LRPARITY)
    ax.set_yscale("log")
    _remark(
        ax,
        f"validation accuracy\nKeras {one.keras.validation_accuracy:.4f}\n"
        f"lrparity {one.lrparity.validation_accuracy:.4f}",
    )


def _distances(ax: Axes, one: Outcome, gate_weights: bool) -> None:
    epochs = np.arange(1, one.recipe.epochs + 1)
    marker = "o" if len(epochs) == 1 else ""
    label = "torch.optim.SGD under the same rates"
    for name, distances, style, rise in (
        ("torch SGD", one.torch_sgd_distances, {**TORCH_SGD, "label": label}, -7),
        ("lrparity", one.distances, LRPARITY, 7),
    ):
        shown = np.maximum(distances, 2.0**-26)  # 0 has no logarithm
        ax.plot(epochs, shown, marker=marker, **style)
        ax.annotate(
            f"{name} {distances[-1]:.1e}",
            (epochs[-1], shown[-1]),
            (0, rise),
            textcoords="offset points",
            ha="right",
            va="bottom" if rise > 0 else "top",
            color=style["color"],
        )
    if gate_weights:
        ax.axhline(LIMIT, color="#888888", linewidth=1.0, linestyle=":")
        ax.text(0.02, LIMIT, "limit", transform=ax.get_yaxis_transform(), va="bottom")
    ax.set_yscale("log")


def _remark(ax: Axes, text: str) -> None:
    ax.text(
        0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=10, color="#444444"
    )
