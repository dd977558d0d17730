"""The PNG: rates, losses and weight distances, a column per recipe."""

from __future__ import annotations

import logging
import math
import textwrap
from collections.abc import Iterable, Sequence
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
LIGHTNING: dict[str, Any] = {"color": "#12355b", "linewidth": 1.6, "linestyle": (0, (4, 2))}
TORCH_LOOP: dict[str, Any] = {
    "color": "#3f8f80",
    "linewidth": 5.0,
    "alpha": 0.5,
    "solid_capstyle": "butt",
}
TORCH_SGD: dict[str, Any] = {"color": "#c0392b", "linewidth": 1.6}

LEGEND = {
    "keras": "Keras' model.fit",
    "lightning": "Lightning's Trainer.fit, lrparity",
    "torch_loop": "torch loop, lrparity",
    "torch_sgd": "torch loop, torch.optim.SGD under the same rates",
}

COLUMNS = 4
"""So many recipes at most are beside each other."""

SMALLEST = 2.0**-26
"""Where equal weights are drawn: 0 has no logarithm."""


def save(path: Path, outcomes: Sequence[Outcome], data: Split, *, gate_weights: bool) -> None:
    """Draw the outcomes of one seed."""
    columns = math.ceil(len(outcomes) / math.ceil(len(outcomes) / COLUMNS))
    blocks = [outcomes[at : at + columns] for at in range(0, len(outcomes), columns)]
    figure = Figure(
        figsize=(1.4 + 3.7 * max(columns, 2), 1.2 + 8.2 * len(blocks)),
        dpi=110,
        layout="constrained",
    )
    parts = figure.subfigures(len(blocks), 1, squeeze=False, hspace=0.02)[:, 0]
    handles: dict[str, Any] = {}
    for part, block in zip(parts, blocks, strict=True):
        axes = part.subplots(3, columns, sharex=True, sharey="row", squeeze=False)
        for column, one in enumerate(block):
            _column(axes[:, column], one, data.updates_per_epoch, gate_weights)
        for row, label in enumerate(
            (
                "learning rate applied",
                "training loss",
                "weights' distance from Keras'\nmax|dw| / max|w|",
            )
        ):
            axes[row, 0].set_ylabel(label, fontsize=11)
        for ax in axes[:, len(block) :].flat:
            ax.set_axis_off()
        for ax in axes.flat:
            handles.update({one.get_label(): one for one in ax.lines if one.get_label()[0] != "_"})
    vacant = len(outcomes) % columns != 0
    legend: dict[str, Any] = {"frameon": False, "fontsize": 11, "handlelength": 3.5}
    if vacant:
        axes[0, -1].legend(list(handles.values()), _wrapped(handles), loc="center", **legend)
    else:
        place: dict[str, Any] = {"loc": "outside lower center"}
        place["ncols"] = len(handles) if columns > 2 else 1
        figure.legend(list(handles.values()), list(handles), **place, **legend)
    figure.suptitle(_title(outcomes, data, int(8.5 * figure.get_figwidth())), fontsize=16)
    figure.savefig(path)


def _column(axes: Any, one: Outcome, updates_per_epoch: int, gate_weights: bool) -> None:
    axes[0].set_title(one.recipe.title, fontsize=13, fontweight="bold")
    _rates(axes[0], one, updates_per_epoch)
    _losses(axes[1], one)
    _distances(axes[2], one, gate_weights)
    axes[2].set_xlabel("epoch")
    for ax in axes:
        ax.grid(color="#e4e4e4", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)


def _wrapped(labels: Iterable[str]) -> list[str]:
    return [textwrap.fill(label, 26) for label in labels]


def _title(outcomes: Sequence[Outcome], data: Split, width: int) -> str:
    title = "One network, trained by Keras' model.fit and by Lightning's Trainer.fit with lrparity"
    exact = [one for one in outcomes if one.recipe.follows_loss is None]
    if exact:
        bits = count_bits(rates for one in exact for rates in (one.reported, one.applied))
        title += f": {bits}, reported and applied"
    if exact and len(exact) < len(outcomes):
        title += " (loss-driven apart)"
    configuration = (
        f"{data.table.name} data, {len(data.inputs)} training rows, "
        f"{counted(outcomes[0].recipe.epochs, 'epoch')}, seed {data.seed}"
    )
    return "\n".join([*textwrap.wrap(title, width), *textwrap.wrap(configuration, width)])


def _rates(ax: Axes, one: Outcome, updates_per_epoch: int) -> None:
    for name, style in (("keras", KERAS), ("lightning", LIGHTNING)):
        rates = getattr(one, name).applied.learning_rate
        epochs = np.arange(len(rates) + 1) / updates_per_epoch
        lasting = np.append(rates, rates[-1])  # each rate lasts until the next update
        ax.plot(epochs, lasting, drawstyle="steps-post", label=LEGEND[name], **style)
    remark = count_bits((one.reported, one.applied)).replace("learning-rate ", "")
    if one.applied.explained is not None and one.applied.bits:
        remark += f"\nby up to {one.applied.comparison.max_ulp} ULP, as the losses do"
    _remark(ax, remark)


def _losses(ax: Axes, one: Outcome) -> None:
    epochs = np.arange(1, one.recipe.epochs + 1)
    marker = "o" if len(epochs) == 1 else ""
    ax.plot(epochs, one.keras.applied.metrics["loss"], marker=marker, markersize=12, **KERAS)
    losses = one.lightning.applied.metrics["loss"]
    ax.plot(epochs, losses, marker=marker, **LIGHTNING)
    if len(epochs) == 1:  # the axis would span the last bit of the loss
        ax.plot(epochs[[0, 0]], [losses[0] / 2, losses[0] * 2], alpha=0.0)
    ax.set_yscale("log")
    _remark(
        ax,
        f"validation accuracy\nKeras {one.keras.validation_accuracy:.4f}\n"
        f"Lightning {one.lightning.validation_accuracy:.4f}",
    )


def _distances(ax: Axes, one: Outcome, gate_weights: bool) -> None:
    epochs = np.arange(1, one.recipe.epochs + 1)
    marker = "o" if len(epochs) == 1 else ""
    torch_sgd, lightning = (one.distances[name][-1] for name in ("torch_sgd", "lightning"))
    # At a constant rate the two rules are one, and so are the lines.
    below, above, further_above = -7, 7, 23
    where = below if torch_sgd > 100 * lightning else further_above
    for name, title, style, rise in (
        ("torch_loop", "torch loop", TORCH_LOOP, below),
        ("torch_sgd", "torch SGD", TORCH_SGD, where),
        ("lightning", "Lightning", LIGHTNING, above),
    ):
        distances = one.distances[name]
        shown = np.maximum(distances, SMALLEST)
        ax.plot(epochs, shown, marker=marker, label=LEGEND[name], **style)
        ax.annotate(
            f"{title} {distances[-1]:.1e}",
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
    ax.margins(y=0.2)  # for the lowest remark


def _remark(ax: Axes, text: str) -> None:
    ax.text(
        0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=10, color="#444444"
    )
