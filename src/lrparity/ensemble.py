"""Several trained members that predict as one: the other half of a snapshot ensemble.

It needs torch only.  :class:`lrparity.callbacks.SnapshotEnsemble` writes the snapshots.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from lrparity import _validation as check

__all__ = ["SnapshotAverage"]

Average = Literal["probabilities", "logits"]
Activation = Literal["softmax", "sigmoid"] | Callable[[Tensor], Tensor] | None
Metric = Callable[[Tensor, Tensor], Any]

ENSEMBLE = "ensemble"
"""What :meth:`SnapshotAverage.evaluate` calls the whole."""


class SnapshotAverage(nn.Module):
    """Members whose predictions are averaged.

    ::

        average="probabilities":    forward(x) = mean over m of activation(member_m(x))
        average="logits":           forward(x) = mean over m of member_m(x)

    Args:
        members: modules that return one floating-point tensor each, all of the same shape.
        average: what is averaged.  The mean of logits is returned as such, for a loss or for
            ``probabilities(x)``.
        activation: makes probabilities of what a member returns: ``"softmax"`` over dimension 1, as
            ``torch.nn.functional.cross_entropy`` takes it; ``"sigmoid"``; a function; or None where the
            members return probabilities themselves.
        names: of the members, for :meth:`evaluate`; by default ``member_1``, ``member_2``, ...

    **Numerics.**  What the members return is taken to float64 (float32 on MPS, which has no other), and
    activated, summed and divided there, then rounded once to the members' own dtype.  So the order of the
    members as good as never shows in float32, and half precision loses nothing in the sum.

    The members are submodules: ``.to(device)``, ``.eval()`` and ``state_dict()`` reach them.  A module made
    by :meth:`from_snapshots` is in evaluation mode; one made of modules leaves them as they are.

    Raises:
        TypeError: a member is no module; when called, one returns no floating-point tensor.
        ValueError: no members, one of them twice, an unknown word; when called, outputs of different
            shapes, or a softmax over a single column, which would be 1 always.

    Source: Huang et al., "Snapshot Ensembles: Train 1, get M for free", 2017, averages the softmax outputs;
    so do titu1994/Snapshot-Ensembles' scripts, with weights they search for.  ``torch.optim.swa_utils``
    averages weights instead, into one model.

    >>> one, two = torch.nn.Linear(1, 2), torch.nn.Linear(1, 2)
    >>> for member, bias in ((one, [0.0, 0.0]), (two, [3.0, 0.0])):
    ...     _ = member.weight.data.zero_(), member.bias.data.copy_(torch.tensor(bias))
    >>> SnapshotAverage([one, two])(torch.zeros(1, 1)).tolist()               # (0.5 + 0.9526) / 2
    [[0.7262870669364929, 0.2737129330635071]]
    >>> SnapshotAverage([one, two], average="logits")(torch.zeros(1, 1)).tolist()
    [[1.5, 0.0]]
    """

    def __init__(
        self,
        members: Iterable[nn.Module],
        average: Average = "probabilities",
        activation: Activation = "softmax",
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        made = list(members)
        for i, member in enumerate(made):
            if not isinstance(member, nn.Module):
                raise TypeError(
                    f"Argument `members` must hold torch modules. Received: members[{i}]={member!r:.200}."
                )
        if not made:
            raise ValueError("Argument `members` is empty: there is nothing to average.")
        if len({id(member) for member in made}) < len(made):
            raise ValueError(
                "Argument `members` holds one module more than once, and so one set of weights. Make a "
                "new module for each member; a factory has to, too."
            )
        self.members = nn.ModuleList(made)
        self.average = cast(
            "Average", check.choice("average", average, ("probabilities", "logits"))
        )
        if activation is not None and not callable(activation):
            check.choice("activation", activation, ("softmax", "sigmoid"))
        self.activation = activation
        self.names = _checked_names(names, len(made))

    @classmethod
    def from_snapshots(
        cls,
        paths: Iterable[str | os.PathLike[str]],
        make: Callable[[], nn.Module],
        average: Average = "probabilities",
        activation: Activation = "softmax",
        *,
        prefix: str = "",
        map_location: Any = "cpu",
        weights_only: bool = True,
    ) -> SnapshotAverage:
        """Members from files, such as ``SnapshotEnsemble.paths``: checkpoints, or bare state dicts.

        Args:
            paths: the files, which name the members.
            make: returns a new module for each, into which the weights are loaded; every name and shape
                has to fit.
            average: as in the class.
            activation: as in the class.
            prefix: take only the weights whose names begin with it, without it: ``"network."`` loads the
                ``self.network`` of a LightningModule into a bare network.
            map_location: as in ``torch.load``.
            weights_only: as in ``torch.load``: with True nothing in a file is executed.  A checkpoint that
                holds objects of other kinds (hyperparameters, say) needs False; do that only with files
                that you trust.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file is damaged, holds what ``weights_only`` forbids, holds no weights, or those
                of another module.
        """
        files = [os.fspath(path) for path in paths]
        if not files:
            raise ValueError(
                "Argument `paths` is empty: no snapshot has been taken, or none was passed."
            )
        members = []
        for path in files:
            weights = _read(path, map_location, weights_only=weights_only)
            members.append(_filled(make(), weights, path, prefix))
        stems = [Path(path).stem for path in files]
        names = files if len(set(stems)) < len(stems) or ENSEMBLE in stems else stems
        return cls(members, average, activation, names=names).eval()

    def forward(self, *inputs: Any) -> Tensor:
        """The average of what the members say of the inputs."""
        return self._averaged(self._outputs(inputs))

    def member_outputs(self, *inputs: Any) -> list[Tensor]:
        """What each member says, as it is averaged: probabilities or logits."""
        outputs = self._outputs(inputs)
        return [self._prepared(one).to(one.dtype) for one in outputs]

    def probabilities(self, *inputs: Any) -> Tensor:
        """The ensemble's probabilities; with ``average="logits"`` those of the mean logits."""
        averaged = self(*inputs)
        if self.average == "probabilities":
            return cast("Tensor", averaged)
        return self._activated(_wide(averaged)).to(averaged.dtype)

    def evaluate(
        self,
        batches: Iterable[Any],
        metrics: Mapping[str, Metric] | Metric,
        *,
        device: Any = None,
    ) -> dict[str, dict[str, float]]:
        """Each member's metrics, and the ensemble's, under the name ``"ensemble"``.

        Args:
            batches: pairs of inputs and targets, as a ``DataLoader`` yields them.
            metrics: functions of the outputs and the targets that return a number, by name; or one
                function.  They are called once for each member, with the outputs of all batches, so the
                result is exact for a metric that is no mean over rows.  torchmetrics' functions fit, and
                its metric objects.  The outputs are those of :meth:`member_outputs` and :meth:`forward`.
            device: where to take the batches to; None: that of the first parameter.

        The modules are in evaluation mode meanwhile, and afterwards as they were.  The outputs of all
        batches are kept on the CPU.

        Raises:
            TypeError: a batch is no pair, or a metric returns no number.
            ValueError: there is no batch.
        """
        wanted = {"metric": metrics} if callable(metrics) else dict(metrics)
        if device is None:
            device = next((one.device for one in self.parameters()), torch.device("cpu"))
        outputs: list[list[Tensor]] = [[] for _ in range(len(self.members) + 1)]
        targets: list[Tensor] = []
        with _evaluating(self), torch.no_grad():
            for batch in batches:
                if not isinstance(batch, list | tuple) or len(batch) != 2:
                    raise TypeError(
                        "Argument `batches` must yield pairs of inputs and targets. Received: "
                        f"{type(batch).__name__}."
                    )
                inputs, target = batch
                told = self._outputs((inputs.to(device),))
                shown = [self._prepared(one).to(one.dtype) for one in told]
                for kept, one in zip(outputs, [*shown, self._averaged(told)], strict=True):
                    kept.append(one.cpu())
                targets.append(target.cpu())
        if not targets:
            raise ValueError("Argument `batches` yielded none: there is nothing to evaluate.")
        truth = torch.cat(targets)
        return {
            name: {
                title: _number(title, metric(torch.cat(kept), truth))
                for title, metric in wanted.items()
            }
            for name, kept in zip([*self.names, ENSEMBLE], outputs, strict=True)
        }

    def extra_repr(self) -> str:
        """What ``repr`` shows beside the members."""
        return f"average={self.average!r}, activation={self.activation!r}"

    def _outputs(self, inputs: tuple[Any, ...]) -> list[Tensor]:
        outputs: list[Tensor] = []
        for name, member in zip(self.names, self.members, strict=True):
            output = member(*inputs)
            if not isinstance(output, Tensor) or not output.is_floating_point():
                raise TypeError(
                    f"The member {name!r} returns {type(output).__name__}, and a floating-point tensor is "
                    "needed. Wrap it in a module that returns the logits alone."
                )
            if outputs and output.shape != outputs[0].shape:
                raise ValueError(
                    f"The member {name!r} returns the shape {tuple(output.shape)}, {self.names[0]!r} "
                    f"{tuple(outputs[0].shape)}: they cannot be averaged."
                )
            outputs.append(output)
        return outputs

    def _averaged(self, outputs: Sequence[Tensor]) -> Tensor:
        total = self._prepared(outputs[0])
        for one in outputs[1:]:
            total = total + self._prepared(one)
        return (total / len(outputs)).to(outputs[0].dtype)

    def _prepared(self, output: Tensor) -> Tensor:
        """In the precision to sum in, and as probabilities if those are averaged."""
        wide = _wide(output)
        return self._activated(wide) if self.average == "probabilities" else wide

    def _activated(self, logits: Tensor) -> Tensor:
        if self.activation is None:
            return logits
        if self.activation == "sigmoid":
            return logits.sigmoid()
        if self.activation == "softmax":
            if logits.ndim < 2 or logits.shape[1] < 2:
                raise ValueError(
                    f"A softmax over dimension 1 of the shape {tuple(logits.shape)} is 1 everywhere, or not "
                    'there. For one logit per row pass activation="sigmoid".'
                )
            return logits.softmax(1)
        return self.activation(logits)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """All modules in evaluation mode, and afterwards each as it was."""
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield
    finally:
        for one in training:
            one.training = True


def _checked_names(names: Any, number: int) -> list[str]:
    if names is None:
        return [f"member_{i}" for i in range(1, number + 1)]
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"Argument `names` must be a list of strings. Received: names={names!r}.")
    listed = list(names)
    twice = [name for name, times in Counter([*listed, ENSEMBLE]).items() if times > 1]
    if twice or len(listed) != number:
        raise ValueError(
            f"Argument `names` must be {number} different names, and none {ENSEMBLE!r}. Received: "
            f"names={listed}."
        )
    return listed


def _number(title: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"The metric {title!r} must return a number. Received: {value!r:.200}."
        ) from error


# --- files ------------------------------------------------------------------------------------------


def _read(path: str, map_location: Any, *, weights_only: bool) -> Mapping[str, Tensor]:
    """The weights in a file."""
    if not Path(path).exists():
        raise FileNotFoundError(
            f"There is no snapshot {path!r}. It was moved, or removed because of `last_k`."
        )
    try:
        content = torch.load(path, map_location=map_location, weights_only=weights_only)
    except pickle.UnpicklingError as error:
        # torch says so of a file that is no pickle at all, too.
        raise ValueError(
            f"The snapshot {path!r} is damaged, or holds more than tensors and plain Python, which is not "
            "loaded because it could execute code. If you trust the file, pass weights_only=False. "
            f"torch says: {error!s:.300}"
        ) from error
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its readers do
        raise ValueError(
            f"The snapshot {path!r} is damaged: {type(error).__name__}: {error!s:.300}"
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not any(isinstance(w, Tensor) for w in weights.values()):
        raise ValueError(
            f"The snapshot {path!r} holds no weights: neither a Lightning checkpoint nor a state dict."
        )
    return weights


def _filled(module: Any, weights: Mapping[str, Tensor], path: str, prefix: str) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"Argument `make` must return a torch module, a new one at each call. Received: {module!r:.200}."
        )
    chosen = {
        name.removeprefix(prefix): weight
        for name, weight in weights.items()
        if name.startswith(prefix)
    }
    try:
        module.load_state_dict(chosen, strict=True)
    except RuntimeError as error:
        starts = {name.partition(".")[0] + "." for name in weights}
        hint = f" Its names begin with {sorted(starts)[:5]}: is one of them the `prefix`?"
        raise ValueError(
            f"The weights in the snapshot {path!r}, with prefix={prefix!r}, are not those of the "
            f"{type(module).__name__} that `make` returns.{hint} torch says: {error!s:.1000}"
        ) from error
    return module
