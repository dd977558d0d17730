"""Param groups by the names of a module's parameters: discriminative rates, layer-wise decay."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch.nn import Module, Parameter

from lrparity import _validation as check
from lrparity.lr_scheduler._groups import scaled

Layers = Sequence[str | Sequence[str]]


def param_groups(
    module: Module,
    lr_scales: Mapping[str, float] | None = None,
    *,
    default: float = 1.0,
    exclude_from_weight_decay: str | Sequence[str] = (),
    lr: float | None = None,
) -> list[dict[str, Any]]:
    """A module's parameters as param groups, each with the ``lr_scale`` that its names ask for.

    ::

        group["lr"] = float32(schedule(k)) * float32(lr_scale)          as float32, by ScheduleLR

    Args:
        module: whose parameters, by the names that ``module.named_parameters()`` gives them.
        lr_scales: from patterns to what the rate is multiplied by; >= 0.  A pattern is the name of a
            parameter or of a module that holds it, ``"encoder"`` or ``"encoder.layers.0"``, with
            ``*``, ``?`` and ``[...]`` as in file names (a ``*`` goes over dots).  **The first that fits
            wins**: write ``"encoder.norm"`` before ``"encoder"``.
        default: the scale of all other parameters.
        exclude_from_weight_decay: patterns of parameters that get groups of their own with
            ``weight_decay=0.0``, such as ``["*.bias", "*norm*"]``.
        lr: gives each group ``lr = lr * lr_scale``, too, for a plateau or a function of the epoch on an
            optimizer without a schedule: they go on from the ``lr`` that is there.  A schedule brings
            its own.

    Returns:
        One group for each pattern, in their order, and one for the rest, for
        ``torch.optim.AdamW(param_groups(model, ...))`` and any other optimizer.  A group's ``name`` is
        its pattern, ``"default"``, or either with ``"/no_weight_decay"``: ``LearningRateMonitor`` and
        the ``groups`` of ``ScheduleHyperparameter`` know it by that.

    Each parameter is in one group, a shared one too; any of its names may fit.  **Frozen** ones
    (``requires_grad=False``) are in the groups like others: no optimizer changes what has no gradient,
    and ``requires_grad_(True)`` is all that it takes to thaw them.  Whatever writes ``lr`` without
    lrparity knows nothing of ``lr_scale``.

    **Keras.**  ``schedule(step) * multiplier``, in float32, is what the ``layer_decay`` of tf-models' ViT
    optimizer computes, and ``LRMultiplier`` of keras-lr-multiplier (where the longest prefix of a name
    wins).  Three things have other last bits, and are ``ScheduleLR`` with a list of schedules, one for
    each group: an optimizer per layer whose rate was multiplied beforehand, ``CosineDecay(0.1 * 0.3, ...)``;
    ``decay=`` under ``LRMultiplier``, which multiplies before it divides; and, with
    ``numerics="graph"``, a product that a compiled ``fit`` works into the formula,
    ``Scale(schedule, 0.3)``.  A multiplier that is a function of the step is such a list as well, of
    ``Product([schedule, function])``.

    Raises:
        ValueError: a pattern fits no parameter, or only ones that earlier patterns have taken; a scale
            is negative or not finite.
        TypeError: not a module, or not patterns.

    Source of the convention: ``lr_scale`` in timm's optimizers.  Keras has no such function.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
    >>> optimizer = torch.optim.SGD(param_groups(model, {"0": 0.1, "1": 0.3}))
    >>> for group in optimizer.param_groups:
    ...     print(group["name"], group["lr_scale"], len(group["params"]))
    0 0.1 2
    1 0.3 2
    default 1.0 2
    >>> from lrparity.lr_scheduler import ScheduleLR
    >>> from lrparity.schedules import CosineDecay
    >>> ScheduleLR(optimizer, CosineDecay(0.1, decay_steps=100)).get_last_lr()
    [0.010000000707805157, 0.030000001192092896, 0.10000000149011612]
    """
    if not isinstance(module, Module):
        raise TypeError(
            f"Argument `module` must be a torch.nn.Module. Received: {module!r} of type "
            f"{type(module).__name__}."
        )
    scales = _checked_scales(lr_scales)
    default = _scale("default", default)
    rate = None if lr is None else check.rate("lr", lr)
    excluded = _patterns("exclude_from_weight_decay", exclude_from_weight_decay)
    known = _names(module)
    chosen: dict[str | None, list[Parameter]] = {pattern: [] for pattern in [*scales, None]}
    for names, parameter in known:
        first = next((pattern for pattern in scales if _fits_any(pattern, names)), None)
        chosen[first].append(parameter)
    for pattern in scales:
        if not chosen[pattern]:
            raise ValueError(_nothing(f"lr_scales[{pattern!r}]", pattern, known, list(scales)))
    spared = set()
    for pattern in excluded:
        fitting = {id(parameter) for names, parameter in known if _fits_any(pattern, names)}
        if not fitting:
            raise ValueError(_nothing("exclude_from_weight_decay", pattern, known, []))
        spared |= fitting
    groups = []
    for one, parameters in chosen.items():
        scale, name = (default, _rest(scales)) if one is None else (scales[one], one)
        entries = (
            {"lr_scale": scale} if rate is None else {"lr": scaled(rate, scale), "lr_scale": scale}
        )
        for spare in (False, True):
            some = [one for one in parameters if (id(one) in spared) is spare]
            if some:
                own = (
                    {"name": f"{name}/no_weight_decay", "weight_decay": 0.0}
                    if spare
                    else {"name": name}
                )
                groups.append({"params": some, **own, **entries})
    return groups


def layer_decay(module: Module, decay: float, layers: Layers) -> dict[str, float]:
    """Layer-wise decay: the deeper a layer lies below the head, the smaller its rate.

    ::

        lr_scale = decay ** (n - i)          for the i-th of n layers, from 0; 1 for all others

    Args:
        module: the module.
        decay: the factor from one layer to the one below it, such as 0.75; > 0.
        layers: from the input to the output, without the head, which keeps the full rate.  Each is the
            name of a module or of a parameter, or a list of those that lie equally deep.  A ``*`` that
            stands for one part of the name is as many layers as there are: ``"blocks.*"``.

    Returns:
        What :func:`param_groups` takes as ``lr_scales``; merge it with scales of your own by ``|``.

    For a ViT or BERT of 12 blocks, ``["embed", "blocks.*"]`` are 13 layers, from ``decay ** 13`` to
    ``decay ** 1``.

    Raises:
        ValueError: a name is not there, or twice; ``decay`` is not > 0.
        TypeError: not a module, or not a list of names.

    Source: ``layer_decay`` of tf-models' ViT optimizer, ``decay ** (max(idx) + 1 - idx)``; the fine-tuning
    of ELECTRA, BEiT and MAE count so, too.  torch has no such function.

    >>> import torch
    >>> model = torch.nn.Sequential()
    >>> model.embed = torch.nn.Linear(4, 4)
    >>> model.blocks = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    >>> model.head = torch.nn.Linear(4, 1)
    >>> layer_decay(model, 0.5, ["embed", "blocks.*"])
    {'embed': 0.125, 'blocks.0': 0.25, 'blocks.1': 0.5}
    >>> [group["lr_scale"] for group in param_groups(model, layer_decay(model, 0.5, ["embed", "blocks.*"]))]
    [0.125, 0.25, 0.5, 1.0]
    """
    if not isinstance(module, Module):
        raise TypeError(f"Argument `module` must be a torch.nn.Module. Received: {module!r}.")
    factor = float(check.positive("decay", decay))
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise TypeError(
            "Argument `layers` must be a list of names, from the input to the output. "
            f"Received: layers={layers!r}."
        )
    known = _names(module)
    there = [name for name, _ in module.named_modules() if name]
    there += [name for names, _ in known for name in names]
    expanded: list[list[str]] = []
    for i, layer in enumerate(layers):
        if not isinstance(layer, str):
            expanded.append(list(_patterns(f"layers[{i}]", layer)))
        elif "*" not in layer:
            expanded.append([layer])
        else:
            dots = layer.count(".")
            found = [
                one
                for one in there  # without those of no parameters, such as an activation
                if one.count(".") == dots
                and fnmatchcase(one, layer)
                and any(_fits_any(one, names) for names, _ in known)
            ]
            if not found:
                raise ValueError(_nothing(f"layers[{i}]", layer, known, []))
            expanded += [[one] for one in dict.fromkeys(found)]
    scales: dict[str, float] = {}
    for i, together in enumerate(expanded):
        for pattern in together:
            if pattern in scales:
                raise ValueError(f"Argument `layers` names {pattern!r} twice, at two depths.")
            if not any(_fits_any(pattern, names) for names, _ in known):
                raise ValueError(_nothing("layers", pattern, known, []))
            scales[pattern] = factor ** (len(expanded) - i)
    return scales


def _names(module: Module) -> list[tuple[list[str], Parameter]]:
    """Each parameter once, with all its names."""
    found: dict[int, tuple[list[str], Parameter]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), ([], parameter))[0].append(name)
    if not found:
        raise ValueError(f"Argument `module` has no parameters: {type(module).__name__}.")
    return list(found.values())


def _fits_any(pattern: str, names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for name in names)


def _checked_scales(scales: Any) -> dict[str, float]:
    if scales is None:
        return {}
    if not isinstance(scales, Mapping):
        raise TypeError(
            "Argument `lr_scales` must be a mapping from patterns of names to scales, such as "
            f"{{'encoder': 0.1}}. Received: lr_scales={scales!r}."
        )
    _patterns("lr_scales", list(scales))
    return {pattern: _scale(f"lr_scales[{pattern!r}]", one) for pattern, one in scales.items()}


def _scale(name: str, value: Any) -> float:
    scale = check.rate(name, value)
    if scale < 0:
        raise ValueError(f"Argument `{name}` must be >= 0. Received: {value!r}. 0 stands still.")
    return scale


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, Sequence) or not all(
        isinstance(one, str) and one for one in several
    ):
        raise TypeError(
            f"Argument `{name}` must hold names of parameters or modules, or patterns of them. "
            f"Received: {value!r}."
        )
    return tuple(several)


def _rest(scales: Mapping[str, float]) -> str:
    return "default" if "default" not in scales else "all others"


def _nothing(
    argument: str, pattern: str, known: list[tuple[list[str], Parameter]], others: list[str]
) -> str:
    """What to say of a pattern without parameters."""
    fitting = [names for names, _ in known if _fits_any(pattern, names)]
    if fitting:
        taken = [one for one in others if any(_fits_any(one, names) for names in fitting)]
        before = taken[: taken.index(pattern)]
        return (
            f"Argument `{argument}`: all that {pattern!r} fits is taken by {before}, which come before "
            f"it, and the first that fits wins. Write {pattern!r} first."
        )
    there = [name for names, _ in known for name in names]
    holders = {name.rsplit(".", n)[0] for name in there for n in range(1, name.count(".") + 1)}
    near = difflib.get_close_matches(pattern, sorted(holders | set(there)), n=5, cutoff=0.5)
    shown = f"The nearest are {near}" if near else f"There are {there[:8]}"
    more = "" if near or len(there) <= 8 else f" and {len(there) - 8} more"
    return f"Argument `{argument}`: no parameter is called {pattern!r}. {shown}{more}."
