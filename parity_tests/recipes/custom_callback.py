"""Recipes that are a callback of their own, stated in Python's float64 unless they say otherwise."""

from __future__ import annotations

import math

import numpy as np
from keras.optimizers import schedules as live

from recipes import parts
from recipes.formulas import cosine_after, triangle
from recipes.row import Recipe
from recipes.statements import (
    Decayed,
    Groups,
    MomentumCorrected,
    Python,
    Recursive,
    ScheduleTimesPlateau,
    WarmUpAndPlateau,
    WithHyperparameter,
    of_epoch,
)

CLR = "bckenstler/CLR"
OPTIMIZERS_RATE = float(np.float32(1e-3))
"""What a callback reads back from an optimizer of 1e-3."""


# --- functions of the current rate ----------------------------------------------------------------


def multiplied(factor):
    return lambda index, lr: lr * factor


def multiplied_at(factor, epochs):
    return lambda epoch, lr: lr * factor if epoch in epochs else lr


def risen_then_left(top, updates):
    """A warm-up that ends at the top and then leaves the rate to others."""
    return lambda update, lr: top * (update + 1) / updates if update < updates else lr


# --- statements -----------------------------------------------------------------------------------


def one_cycle(k):
    """A hundred epochs of ten batches: up and down, with a tenth of it for the tail."""
    n, scale = 1000, 0.1
    mid = int(n * (1 - 0.1) / 2)
    if k > n:
        k = (k - 1) % n + 1
    if k > 2 * mid:
        depth = (k - 2 * mid) / (n - 2 * mid)
        return 0.02 * (1 + depth * (1 - 100) / 100) * scale
    height = 1 - (k - mid) / mid if k > mid else k / mid
    return 0.02 * (1 + height * (scale * 100 - 1)) * scale


def one_cycle_momentum(k):
    """A triangle the other way round, and its highest value in the tail."""
    done, mid = k % 1000, int(1000 * (1 - 0.1) / 2)
    if done > 2 * mid:
        return 0.95
    depth = 1 - (done - mid) / mid if done > mid else done / mid
    return 0.95 - depth * (0.95 - 0.85)


def cosine_one_cycle(k):
    x = k / 1000
    if x < 0.3:
        return (math.cos(x * math.pi / 0.3 - math.pi) + 1) * (0.1 - 0.01) / 2 + 0.01
    return (math.cos((x - 0.3) * math.pi / (1 - 0.3)) + 1) / 2 * 0.1


def cosine_momentum(k):
    x, first, second = k / 1000, 0.95, 0.85
    if x < 0.3:
        return (math.cos(x * math.pi / 0.3 - math.pi) + 1) * (second - first) / 2 + first
    return (math.cos((x - 0.3) * math.pi / (1 - 0.3)) + 1) / 2 * (second - first) + first


def super_convergence(k):
    return float(np.interp(k, [0, 150, 300, 350], [0.01, 0.1, 0.01, 1e-7]))


def super_momentum(k):
    """301 updates, the middle one of which has the lowest momentum."""
    mid = (301 - 1) // 2
    if k >= 2 * mid:
        return 0.95
    return 0.95 - (k if k <= mid else 2 * mid - k) / mid * (0.95 - 0.8)


def triangle_to_thousandth(k):
    cycle = math.floor(1 + k / 1000)
    x = abs(k / 500 - 2 * cycle + 1)
    low = 0.001 / 1000 if (k % 1000) / 500 > 1 else 0.001 / 10
    return low + (0.001 - low) * max(0, 1 - x)


def beta_of_the_next(k):
    """Set at the end of a batch, by the count of the one after the next; none before the first."""
    if k == 0:
        return 0.9
    ahead = (k + 1) % 1000
    depth = 1 - (ahead - 500) / 500 if ahead / 500 > 1 else ahead / 500
    return 0.95 - depth * (0.95 - 0.85)


def cut_triangle(k, cuts):
    high = 1e-3 * 0.5**cuts
    return triangle(high / 10, high, 5, lambda cycle, step: 1.0)(k)


def sgdr(k):
    """Batch by batch: each sets the next one's rate, and a restart comes after that."""
    low, high, length, batch = 1e-5, 0.01, 10, 0
    rate, epochs = high, 0
    for update in range(k):
        batch += 1
        rate = low + 0.5 * (high - low) * (1 + math.cos(batch / (20 * length) * math.pi))
        if (update + 1) % (20 * 1) == 0 and (update + 1) // 20 == epochs + length:
            epochs, batch = epochs + length, 0
            length, high = math.ceil(length * 2), high * 0.9
    return rate


def delayed_restarts(k):
    """The optimizer's rate up to update 102, then cosines that include both of their ends."""
    if k < 102:
        return OPTIMIZERS_RATE
    since, period = k - 102, 50
    while since > period:
        since, period = since - period - 1, period * 2
    low = 1e-5
    return low + 0.5 * (OPTIMIZERS_RATE - low) * (1 + math.cos(math.pi * (since / period)))


def risen_from(k):
    if k >= 500:
        return OPTIMIZERS_RATE
    return 1e-6 + (OPTIMIZERS_RATE - 1e-6) * (k + 1) / 500


def annealed(epoch):
    return 0.0004 + (0.05 - 0.0004) * (1 + math.cos(math.pi * epoch / 100)) / 2


def by_fractional_epoch(k):
    epoch, base = k // 100 + (k % 100) / 100, 0.1 * 512 / 256
    if epoch < 5:
        return base * 1.0 * epoch / 5
    return (
        base
        * [f for f, start in ((1.0, 5), (0.1, 30), (0.01, 60), (0.001, 80)) if epoch >= start][-1]
    )


def big_transfer(k):
    if k < 500:
        return 0.003 * k / 500
    rate = 0.003
    for support in (3000, 6000, 9000):
        if k > support:
            rate /= 10
    return rate


RESTARTS = live.CosineDecayRestarts(0.1, 20, 2.0, 0.5, 1e-5 / 0.1)


def restarts_with_rests(epoch):
    """A warm-up of 5 epochs, then cycles of Keras' restarts with an epoch of rest after each."""
    if epoch < 5:
        return 1e-4 + (0.1 - 1e-4) * epoch / 5
    trained, position, length = 0, epoch - 5, 20
    for _ in range(4):
        if position < length:
            return float(RESTARTS(trained + position))
        if position == length:
            return 1e-5
        trained, position, length = trained + length, position - length - 1, length * 2
    return 1e-5


def world_size(k):
    """Horovod: up to the rate of 4 workers at the end of 5 epochs, then the factors of three ranges."""
    epoch, workers = k // 100, 4
    rate = 0.0125 * workers
    if epoch < 5:
        after = epoch + (k % 100) / 100 + 1 / 100
        return rate * (1 / workers * (after * (workers - 1) / 5 + 1))
    return rate * next(
        f for f, end in ((1, 30), (0.1, 60), (0.01, 80), (0.001, 1e9)) if epoch < end
    )


def counted(k):
    return k * 0.001 / 500 if k <= 500 else 0.001


def epoch_before(epoch):
    return 0.001 if epoch == 0 else 0.001 * 0.5 ** ((epoch - 1) // 10)


RECIPES = (
    Recipe(
        "KLR075",
        CLR,
        "cycles of half the height each",
        "CyclicLR(0.001, 0.006, 2000.0, mode='triangular2')",
        Python(triangle(0.001, 0.006, 2000.0, lambda cycle, k: 1 / 2.0 ** (cycle - 1))),
    ),
    Recipe(
        "KLR076",
        CLR,
        "cycles that a gamma lowers",
        "CyclicLR(0.001, 0.006, 2000.0, mode='exp_range', gamma=0.99994)",
        Python(triangle(0.001, 0.006, 2000.0, lambda cycle, k: 0.99994**k)),
    ),
    Recipe(
        "KLR077",
        CLR,
        "cycles scaled by a sine of their number",
        "CyclicLR(0.001, 0.006, 2000.0, scale_fn=Repeat(Join([0.5, 1.0, 0.5, 0.0], [1, 2, 3]), 4))",
        Python(
            triangle(
                0.001, 0.006, 2000.0, lambda cycle, k: 0.5 * (1 + math.sin(cycle * math.pi / 2))
            )
        ),
        remark="of whole numbers the sine has four values; the function itself does as well",
    ),
    Recipe(
        "KLR078",
        CLR,
        "cycles scaled by a power of the step",
        "CyclicLR(0.001, 0.006, 2000.0, scale_fn=InPython(ExponentialDecay(1.0, 1e4, 1 / 5)),"
        " scale_mode='iterations')",
        Python(triangle(0.001, 0.006, 2000.0, lambda cycle, k: 1 / (5 ** (k * 0.0001)))),
        remark="without the reset in mid-training, which is a new schedule",
    ),
    Recipe(
        "KLR084",
        "titu1994/keras-one-cycle",
        "one cycle with a tail",
        "[ScheduleLR(cycle := OneCycleLR(num_samples=1000, batch_size=100, epochs=100, max_lr=0.02,"
        " end_percentage=0.1)),"
        " ScheduleHyperparameter('momentum', OneCycleMomentum(cycle, 0.85, 0.95))]",
        WithHyperparameter(Python(one_cycle), "momentum", Python(one_cycle_momentum)),
    ),
    Recipe(
        "KLR086",
        "psklight/keras_one_cycle_clr",
        "one cycle along cosines, to 0",
        "[ScheduleLR(cycle := OneCycle([0.01, 0.1], 1000, phase_one_fraction=0.3)),"
        " ScheduleHyperparameter('momentum', OneCycleMomentum(cycle, 0.85, 0.95))]",
        WithHyperparameter(Python(cosine_one_cycle), "momentum", Python(cosine_momentum)),
        remark="momenta of our choice",
    ),
    Recipe(
        "KLR088",
        "coxy1989/superconv",
        "one cycle with a ramp, under decay=",
        "[SGD(0.01, decay=5e-4), ScheduleLR(PiecewiseLinear([0, 150, 300, 350],"
        " [0.01, 0.1, 0.01, 0.01 * 1e-5])),"
        " ScheduleHyperparameter('momentum', PiecewiseLinear([0, 150, 300], [0.95, 0.8, 0.95]))]",
        Decayed(super_convergence, 5e-4, momentum=super_momentum),
    ),
    Recipe(
        "KLR095",
        "amaiya/ktrain",
        "one triangle down to a thousandth",
        "[ScheduleLR(cycle := TriangularOneCycle(0.001, 500)), ScheduleHyperparameter('betas',"
        " Join([0.9, OneCycleMomentum(cycle, 0.85, 0.95)], [1], restart=False), index=0)]",
        WithHyperparameter(
            Python(triangle_to_thousandth), "betas", Python(beta_of_the_next), index=0
        ),
        remark="the first update has the optimizer's own beta_1",
    ),
    Recipe(
        "KLR096",
        "amaiya/ktrain",
        "triangles that a plateau lowers",
        "[ScheduleLR(CyclicLR(1e-3 / 10, 1e-3, 5)),"
        " ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.0)]",
        ScheduleTimesPlateau(
            cut_triangle,
            parts.ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.0),
            per_epoch=10,
        ),
        remark="cutting both bounds is cutting the rate; a factor of one half is exact",
    ),
    Recipe(
        "KLR097",
        "amaiya/ktrain",
        "restarts per batch, lower and longer",
        "SGDRScheduler(1e-5, 0.01, 20, lr_decay=0.9, cycle_length=10, mult_factor=2)",
        Python(sgdr, last=5000),
    ),
    Recipe(
        "KLR099",
        "xuannianz/EfficientDet",
        "restarts from the optimizer's rate, later",
        "Join([float32(1e-3), InclusiveCosineRestarts(float32(1e-3), 1e-5, 50, unit='update')],"
        " [100 + 2])",
        Python(delayed_restarts),
        remark="two updates after its first iteration, as the callback does",
    ),
    Recipe(
        "KLR100",
        "xuannianz/EfficientDet",
        "line to the optimizer's rate, counted from 1",
        "InPython(WarmUp(float32(1e-3), 500, initial_learning_rate=1e-6, counter='step + 1'))",
        Python(risen_from),
    ),
    Recipe(
        "KLR103",
        "4uiiurz1/keras-cosine-annealing",
        "cosine between two rates",
        "CosineAnnealing(100, 0.05, 0.0004)",
        of_epoch(annealed),
    ),
    Recipe(
        "KLR179",
        "mlcommons/training",
        "warm-up and steps in fractional epochs",
        "PerUpdate(PerEpoch(WarmUp(Join([base, base * 0.1, base * 0.01, base * 0.001], [30, 60, 80],"
        " restart=False), 5, shift=False, line='product')), spe, staircase=False)",
        Python(by_fractional_epoch),
        names={"base": 0.1 * 512 / 256},
    ),
    Recipe(
        "KLR194",
        "google-research/big_transfer",
        "warm-up, then tenths after each support",
        "InPython(WarmUp(PiecewiseConstantDecay([3000, 6000, 9000],"
        " [0.003, 0.003 / 10, 0.003 / 100, 0.003 / 1000]), 500, shift=False,"
        " line='product'))",
        Python(big_transfer, last=9999),
        remark="up to the last support, where the callback has no rate any more",
    ),
    Recipe(
        "KLR246",
        "leondgarse/Keras_insightface",
        "Keras' restarts per epoch, with warm-up and rests",
        "CosineLrSchedulerEpoch(0.1, 20, m_mul=0.5, t_mul=2.0, lr_min=1e-5, lr_warmup=1e-4,"
        " warmup_steps=5, cooldown_steps=1)",
        of_epoch(restarts_with_rests),
    ),
    Recipe(
        "KLR252",
        "ageron/handson-ml2",
        "a tenth per 20 epochs of the current rate, per batch",
        "BatchLearningRateScheduler(multiplied(0.1 ** (1 / (20 * spe))), at='end')",
        Recursive(multiplied(0.1 ** (1 / 2000)), at="end"),
        names={"multiplied": multiplied},
    ),
    Recipe(
        "KLR262",
        "titu1994/keras-one-cycle",
        "range test within an epoch",
        "InPython(ExponentialDecay(1e-5, 1000, 10 / 1e-5))",
        Python(lambda k: 1e-5 * (10 / 1e-5) ** (k / 1000), last=1000),
        waits_for="nothing of ours: Lightning's own LearningRateFinder is the tool for the losses and"
        " the end of the test",
    ),
    Recipe(
        "KLR263",
        "JonnoFTW/keras_find_lr_on_plateau",
        "a plateau that looks for a new rate",
        waits_for="a learning rate finder: a training within the training",
    ),
    Recipe(
        "KLR317",
        "horovod/horovod",
        "warm-up to the world size, then ranges",
        "InPython(WarmUp(Join([0.05, 0.05 * 0.1, 0.05 * 0.01, 0.05 * 0.001], [30 * spe, 60 * spe,"
        " 80 * spe], restart=False), 5 * spe, initial_learning_rate=0.0125, shift=False,"
        " counter='step + 1'))",
        MomentumCorrected(world_size),
        remark="on torch.optim.SGD, whose rule has the corrected momentum by itself: weights to 1e-6",
    ),
    Recipe(
        "KLR318",
        "horovod/horovod",
        "warm-up, then a plateau",
        "[BatchLearningRateScheduler(risen_then_left(0.004, 5 * spe)), ReduceLROnPlateau(patience=10)]",
        WarmUpAndPlateau(
            lambda update: 0.004 * (update + 1) / 500 if update < 500 else None,
            parts.ReduceLROnPlateau(patience=10),
            per_epoch=100,
        ),
        names={"risen_then_left": risen_then_left},
        remark="the warm-up leaves the current rate alone afterwards, so it is a function of it",
    ),
    Recipe(
        "KLR319",
        "Tony607/Keras_Bag_of_Tricks",
        "line that counts to N",
        "InPython(WarmUp(0.001, 500, inclusive=True, line='product'))",
        Python(counted),
    ),
    Recipe(
        "KLR320",
        "Tony607/Keras_Bag_of_Tricks",
        "warm-up, hold, cosine",
        "InPython(WarmUpCosineDecay(0.001, total, warmup_learning_rate=1e-5, warmup_steps=200,"
        " hold_base_rate_steps=300))",
        Python(cosine_after(200, 300, 2000, 0.001, 1e-5)),
        names={"total": 2000},
    ),
    Recipe(
        "KLR344",
        "a search excerpt",
        "two optimizers of a GAN, each from its own rate",
        "ScheduleLR([PerEpoch(ExponentialDecay(4e-4, 1, 0.98)), PerEpoch(ExponentialDecay(1e-4, 1, 0.98))])",
        Groups(
            [of_epoch(lambda epoch: 4e-4 * 0.98**epoch), of_epoch(lambda epoch: 1e-4 * 0.98**epoch)]
        ),
        remark="a factor of our choice",
    ),
    Recipe(
        "KLR345",
        "a search excerpt",
        "a tenth of the current rate in listed epochs",
        "LearningRateScheduler(multiplied_at(0.1, [10, 20, 25]))",
        Recursive(lambda epoch, lr: lr * 0.1 if epoch in (10, 20, 25) else lr),
        names={"multiplied_at": multiplied_at},
    ),
    Recipe(
        "KLR346",
        "naveenkumarbs/myPythonWorkspace",
        "half every 10 epochs, set at the end of one",
        "Hold(StepDecay(0.001, 0.5, 10, offset=-1), start=1)",
        of_epoch(epoch_before),
    ),
)
