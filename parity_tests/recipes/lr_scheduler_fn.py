"""Recipes that are a function for Keras' ``LearningRateScheduler``, stated in Python."""

from __future__ import annotations

import math

from recipes import parts
from recipes.formulas import below, exceeding, up_to
from recipes.row import Recipe
from recipes.statements import Decayed, Groups, Python, Recursive, SchedulerAndPlateau, of_epoch

ROOT = math.sqrt(0.1)
BOOK = "ageron/handson-ml2"
PACKT = "PacktPublishing/Advanced-Deep-Learning-with-Keras"
CIFAR = "BIGBALLON/cifar-10-cnn"
LARQ = "larq/zoo"


# --- functions of the current rate: the recipe is such a function, and so is its expression -------


def held_then_multiplied(hold, factor):
    return lambda epoch, lr: lr if epoch < hold else lr * factor


def multiplied_every(factor, every):
    return lambda epoch, lr: lr * factor if epoch % every == 0 and epoch != 0 else lr


def multiplied(factor):
    return lambda epoch, lr: lr * factor


def compounding(factor):
    return lambda epoch, lr: lr * factor ** math.floor(epoch / 1)


# --- statements -----------------------------------------------------------------------------------


def inclusive_restarts(epoch):
    """Cosines that reach both ends, each twice as long and 0.97 times as high."""
    high, period, since = 0.1, 10, 0
    for _ in range(epoch):
        if since == period:
            since, period, high = 0, period * 2, high * 0.97
        else:
            since += 1
    return 1e-8 + 0.5 * (high - 1e-8) * (1 + math.cos(math.pi * since / period))


def caffe_steps(epoch):
    return 4e-5 * 0.333 ** math.floor(epoch * 1800 / 136106)


def ramped(epoch):
    if epoch < 5:
        return (5e-5 - 1e-5) / 5 * epoch + 1e-5
    return (5e-5 - 1e-5) * 0.8 ** (epoch - 5) + 1e-5


def fractions(epoch):
    return below([100 * f for f in (0.25, 0.5, 0.75)], [0.1 * f for f in (1, 0.2, 0.04, 0.008)])(
        epoch
    )


def warm_then_floored(epoch):
    if epoch < 5:
        return 0.1 * epoch / 5
    return max(0.1 * 0.9 ** ((epoch - 5) / 2), 1e-4)


def warm_then_natural(epoch):
    if epoch < 5:
        return 1e-5 + (0.1 - 1e-5) * epoch / 5
    return max(0.1 * math.exp(0.05 * (5 - epoch)), 1e-5)


def constant_then_line(epoch):
    if epoch < 100:
        return 5e-4
    return (5e-4 - 1e-5) * (1 - (min(epoch, 800) - 100) / 700) + 1e-5


def batches_then_epochs(update):
    """A warm-up per update over 5 epochs, then a line per epoch until epoch 100."""
    if update < 500:
        return 0.001 * (update / 500)
    epoch = min(update // 100, 100)
    return (0.001 - 1e-5) * (1 - (epoch - 5) / 95) + 1e-5


def polynomial_cycles(epoch):
    length = 20 * (math.ceil(epoch / 20) or 1)
    return (0.1 - 1e-3) * (1 - epoch / length) ** 2 + 1e-3


RECIPES = (
    Recipe(
        "KLR043",
        "keras-team/keras",
        "ten epochs, then exp(-0.1) times the current rate",
        "LearningRateScheduler(held_then_multiplied(10, exp(-0.1)))",
        Recursive(lambda epoch, lr: lr if epoch < 10 else lr * math.exp(-0.1)),
        names={"held_then_multiplied": held_then_multiplied},
        remark="a float instead of the tensor, which Keras 3 refuses",
    ),
    Recipe(
        "KLR045",
        "keras-team/keras",
        "ResNet's steps, and a plateau that they undo",
        "[LearningRateScheduler(MultiStepDecay(1e-3, [80, 120, 160, 180], [0.1, 0.01, 1e-3, 5e-4])),"
        " ReduceLROnPlateau(factor=sqrt(0.1), patience=5, cooldown=0, min_lr=5e-7)]",
        SchedulerAndPlateau(
            exceeding(1e-3, [80, 120, 160, 180], [0.1, 0.01, 1e-3, 0.5e-3]),
            parts.ReduceLROnPlateau(factor=ROOT, patience=5, cooldown=0, min_lr=0.5e-6),
        ),
    ),
    Recipe(
        "KLR050",
        "tensorflow/docs",
        "steps at 3 and 7",
        "MultiStepDecay(1.0, [3, 7], [1e-3, 1e-4, 1e-5], comparison='<')",
        of_epoch(below([3, 7], [1e-3, 1e-4, 1e-5])),
    ),
    Recipe(
        "KLR102",
        "kpot/keras-transformer",
        "restarts with both ends",
        "InclusiveCosineRestarts(0.1, 1e-8, 10, period_mult=2, high_lr_mult=0.97)",
        of_epoch(inclusive_restarts, last=1000),
    ),
    Recipe(
        "KLR109",
        "michalfaber/keras_Realtime_Multi-Person_Pose_Estimation",
        "Caffe's steps, with multipliers of layers",
        "ScheduleLR(StepDecay(4e-5, 0.333, 136_106 / 1800, offset=0), lr_scales=[1, 2, 4, 8])",
        Groups([of_epoch(caffe_steps, last=200)] * 4, [1, 2, 4, 8]),
        remark="1800 updates in an epoch",
    ),
    Recipe(
        "KLR197",
        "sayakpaul/Adventures-in-TensorFlow-Lite",
        "ramp, then decay",
        "RampSustainDecay(1e-5, 5e-5, 1e-5, 5, 0, 0.8)",
        of_epoch(ramped),
    ),
    Recipe(
        "KLR216",
        "rykov8/ssd_keras",
        "0.9 per epoch",
        "PerEpoch(ExponentialDecay(3e-4, 1, 0.9))",
        of_epoch(lambda epoch: 3e-4 * 0.9**epoch),
    ),
    Recipe(
        "KLR217",
        "pierluigiferrari/ssd_keras",
        "steps at 80 and 100",
        "MultiStepDecay(1.0, [80, 100], [1e-3, 1e-4, 1e-5], comparison='<')",
        of_epoch(below([80, 100], [1e-3, 1e-4, 1e-5])),
        remark="the absolute epoch, resumed or not",
    ),
    Recipe(
        "KLR224",
        "yu4u/age-gender-estimation",
        "steps at quarters of the training",
        "MultiStepDecay(0.1, [epochs * 0.25, epochs * 0.5, epochs * 0.75], [1.0, 0.2, 0.04, 0.008],"
        " comparison='<')",
        of_epoch(fractions),
        names={"epochs": 100},
    ),
    Recipe(
        "KLR226",
        CIFAR,
        "steps after 60, 120 and 160",
        "MultiStepDecay(1.0, [60, 120, 160], [0.05, 0.01, 0.002, 0.0004], comparison='<=')",
        of_epoch(up_to([60, 120, 160], [0.05, 0.01, 0.002, 0.0004])),
        remark="read as <=, of the two variants",
    ),
    Recipe(
        "KLR229",
        CIFAR,
        "steps at 81 and 122",
        "MultiStepDecay(1.0, [81, 122], [0.1, 0.01, 0.001], comparison='<')",
        of_epoch(below([81, 122], [0.1, 0.01, 0.001])),
    ),
    Recipe(
        "KLR230",
        CIFAR,
        "steps at 60, 120 and 160",
        "MultiStepDecay(1.0, [60, 120, 160], [0.1, 0.02, 0.004, 0.0008], comparison='<')",
        of_epoch(below([60, 120, 160], [0.1, 0.02, 0.004, 0.0008])),
    ),
    Recipe(
        "KLR231",
        CIFAR,
        "steps at 150 and 225",
        "MultiStepDecay(1.0, [150, 225], [0.1, 0.01, 0.001], comparison='<')",
        of_epoch(below([150, 225], [0.1, 0.01, 0.001])),
    ),
    Recipe(
        "KLR234",
        "geifmany/cifar-vgg",
        "half every 20 epochs, under decay=",
        "[SGD(0.1, decay=1e-6), LearningRateScheduler(StepDecay(0.1, 0.5, 20, offset=0))]",
        Decayed(lambda epoch: 0.1 * 0.5 ** (epoch // 20), 1e-6, per_epoch=8),
    ),
    Recipe(
        "KLR238",
        PACKT,
        "eight thresholds, with an offset",
        "MultiStepDecay(1e-3, [60, 80, 100, 120, 140, 160, 180, 200],"
        " [0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 5e-4, 1e-4], comparison='>', offset=10)",
        of_epoch(
            lambda epoch: exceeding(
                1e-3,
                [60, 80, 100, 120, 140, 160, 180, 200],
                [0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001],
            )(epoch + 10)
        ),
    ),
    Recipe(
        "KLR239",
        PACKT,
        "thresholds at 40, 60 and 80",
        "MultiStepDecay(1e-3, [40, 60, 80], [0.5, 0.1, 0.05], comparison='>')",
        of_epoch(exceeding(1e-3, [40, 60, 80], [0.5, 0.1, 0.05])),
    ),
    Recipe(
        "KLR240",
        PACKT,
        "0.8 every 400 epochs",
        "StepDecay(1e-3, 0.8, 400, offset=0)",
        of_epoch(lambda epoch: 1e-3 * 0.8 ** (epoch // 400)),
    ),
    Recipe(
        "KLR245",
        "leondgarse/keras_cv_attention_models",
        "warm-up, exponential, floor",
        "PerEpoch(WarmUp(Clip(ExponentialDecay(0.1, 2, 0.9), minimum=1e-4), 5, line='product'))",
        of_epoch(warm_then_floored),
        remark="a warm-up from 0 that the decay does not count",
    ),
    Recipe(
        "KLR247",
        "leondgarse/Keras_insightface",
        "warm-up, exp(-0.05 t), floor",
        "PerEpoch(WarmUp(Clip(NaturalExpDecay(0.1, 1, 0.05), minimum=1e-5), 5,"
        " initial_learning_rate=1e-5, line='product'))",
        of_epoch(warm_then_natural),
    ),
    Recipe(
        "KLR251",
        BOOK,
        "a tenth per 20 epochs of the current rate",
        "LearningRateScheduler(multiplied(0.1 ** (1 / 20)))",
        Recursive(lambda epoch, lr: lr * 0.1 ** (1 / 20)),
        names={"multiplied": multiplied},
    ),
    Recipe(
        "KLR255",
        BOOK,
        "steps at 5 and 15",
        "MultiStepDecay(1.0, [5, 15], [0.01, 0.005, 0.001], comparison='<')",
        of_epoch(below([5, 15], [0.01, 0.005, 0.001])),
    ),
    Recipe(
        "KLR264",
        "tensorflow/examples",
        "range test, tenfold per 30 epochs",
        "PerEpoch(ExponentialDecay(1e-6, 30, 10))",
        of_epoch(lambda epoch: 1e-6 * 10 ** (epoch / 30)),
    ),
    Recipe(
        "KLR265",
        "tensorflow/examples",
        "range test from 1e-8, tenfold per 20 epochs",
        "PerEpoch(ExponentialDecay(1e-8, 20, 10))",
        of_epoch(lambda epoch: 1e-8 * 10 ** (epoch / 20)),
    ),
    Recipe(
        "KLR266",
        "mrdbourke/tensorflow-deep-learning",
        "range test from 1e-4",
        "PerEpoch(ExponentialDecay(1e-4, 20, 10))",
        of_epoch(lambda epoch: 1e-4 * 10 ** (epoch / 20)),
    ),
    Recipe(
        "KLR270",
        "tensorflow/examples",
        "steps at 150 and 225, in a loop too",
        "MultiStepDecay(0.1, [150, 225], 0.1, comparison='<')",
        of_epoch(below([150, 225], [0.1, 0.1 * 0.1, 0.1 * 0.1**2])),
        remark="ScheduleLR in a loop of the user's",
    ),
    Recipe(
        "KLR276",
        "vanvalenlab/deepcell-tf",
        "0.95 per epoch, under decay=",
        "[SGD(0.01, decay=1e-6), LearningRateScheduler(PerEpoch(ExponentialDecay(0.01, 1, 0.95)))]",
        Decayed(lambda epoch: 0.01 * 0.95**epoch, 1e-6, per_epoch=8),
    ),
    Recipe(
        "KLR277",
        "vanvalenlab/deepcell-tf",
        "0.99 per epoch, and a plateau that it undoes",
        "[LearningRateScheduler(PerEpoch(ExponentialDecay(1e-4, 1, 0.99))),"
        " ReduceLROnPlateau(factor=0.1, patience=5)]",
        SchedulerAndPlateau(
            lambda epoch: 1e-4 * 0.99**epoch,
            parts.ReduceLROnPlateau(factor=0.1, patience=5),
        ),
    ),
    Recipe(
        "KLR289",
        "aurora95/Keras-FCN",
        "polynomial of 0.9",
        "PerEpoch(PolynomialDecay(0.01, epochs, 0.0, power=0.9))",
        of_epoch(lambda epoch: 0.01 * (1 - epoch / 250) ** 0.9, last=250),
        names={"epochs": 250},
    ),
    Recipe(
        "KLR293",
        LARQ,
        "half every 10 epochs",
        "StepDecay(0.01, 0.5, 10, offset=0)",
        of_epoch(lambda epoch: 1e-2 * 0.5 ** (epoch // 10)),
    ),
    Recipe(
        "KLR296",
        LARQ,
        "0.3 at 70, 90 and 110",
        "MultiStepDecay(0.004, [70, 90, 110], 0.3, comparison='>=')",
        of_epoch(below([70, 90, 110], [0.004 * 0.3**i for i in range(4)])),
        remark="from each milestone on",
    ),
    Recipe(
        "KLR297",
        LARQ,
        "0.1 at 100 and 110",
        "MultiStepDecay(0.004, [100, 110], 0.1, comparison='>=')",
        of_epoch(below([100, 110], [0.004 * 0.1**i for i in range(3)])),
        remark="from each milestone on",
    ),
    Recipe(
        "KLR308",
        "aimat-lab/gcnn_keras",
        "constant, then a line",
        "PerEpoch(Join([5e-4, PolynomialDecay(5e-4, 800 - 100, 1e-5)], [100]))",
        of_epoch(constant_then_line),
    ),
    Recipe(
        "KLR311",
        "aimat-lab/gcnn_keras",
        "warm-up per batch, then a line per epoch",
        "Join([InPython(PolynomialDecay(0.0, 5 * spe, 0.001)),"
        " PerUpdate(PerEpoch(Offset(PolynomialDecay(0.001, epochs - 5, 1e-5), 5)), spe)],"
        " [5 * spe], restart=False)",
        Python(batches_then_epochs),
        names={"epochs": 100},
        remark="a warm-up of 5 epochs from 0",
    ),
    Recipe(
        "KLR312",
        "aimat-lab/gcnn_keras",
        "polynomial in cycles",
        "PerEpoch(PolynomialDecay(0.1, 20, 1e-3, power=2.0, cycle=True))",
        of_epoch(polynomial_cycles),
    ),
    Recipe(
        "KLR316",
        "GoogleCloudPlatform/keras-idiomatic-programmer",
        "a tenth at 20",
        "MultiStepDecay(1.0, [20], [1e-3, 1e-4], comparison='<')",
        of_epoch(below([20], [1e-3, 1e-4])),
        remark="the rate that the function is handed is not looked at",
    ),
    Recipe(
        "KLR334",
        "selimsef/dsb2018_topcoders",
        "a list of rates and last epochs, over stages",
        "MultiStepDecay(1.0, [92, 100, 120], [1e-6, 3e-5, 2e-5, 1e-5], comparison='<')",
        of_epoch(below([92, 100, 120, 130], [1e-6, 3e-5, 2e-5, 1e-5])),
        remark="the epoch goes on over the stages; each new optimizer is the user's",
    ),
    Recipe(
        "KLR347",
        "seeman1978/LearnTF",
        "a tenth of the current rate every 100 epochs",
        "LearningRateScheduler(multiplied_every(0.1, 100))",
        Recursive(lambda epoch, lr: lr * 0.1 if epoch % 100 == 0 and epoch else lr),
        names={"multiplied_every": multiplied_every},
        remark="the function returns the rate instead of setting it itself",
    ),
    Recipe(
        "KLR348",
        "ThomasTrepanier/log6307-final-project",
        "0.85 to the epoch, of the current rate",
        "LearningRateScheduler(compounding(0.85))",
        Recursive(lambda epoch, lr: lr * 0.85 ** math.floor(epoch / 1)),
        names={"compounding": compounding},
    ),
    Recipe(
        "KLR349",
        "Diponly/Computer_Vision_Models",
        "0.75 every 2 epochs",
        "StepDecay(1e-4, 0.75, 2, offset=0)",
        of_epoch(lambda epoch: 1e-4 * 0.75 ** math.floor(epoch / 2)),
    ),
)
