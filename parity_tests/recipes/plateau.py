"""Recipes that are Keras' ``ReduceLROnPlateau``, compared with the callback of the Keras at hand.

Their numbers stand here twice, once for each side.
"""

from __future__ import annotations

import math

from recipes.parts import ReduceLROnPlateau
from recipes.row import Recipe
from recipes.statements import Plateau

ACCURACY = '`auto` was "max" for an accuracy up to Keras 3.10; from 3.11 on it must be said'

RECIPES = (
    Recipe(
        "KLR029",
        "keras-team/keras-io",
        "defaults with a patience of 3",
        "ReduceLROnPlateau(factor=0.1, patience=3)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=3)),
        remark="the optimizer's wrapper has no part in the rate",
    ),
    Recipe(
        "KLR032",
        "keras-team/keras-io",
        "PSNR, with a tiny min_delta",
        "ReduceLROnPlateau(factor=0.5, patience=5, monitor='val_psnr', min_delta=1e-7, mode='max')",
        Plateau(
            ReduceLROnPlateau(
                factor=0.5, patience=5, monitor="val_psnr", min_delta=1e-7, mode="max"
            )
        ),
    ),
    Recipe(
        "KLR063",
        "keras-team/keras-cv",
        "min_delta of 0.001",
        "ReduceLROnPlateau(factor=0.1, patience=10, min_delta=0.001, min_lr=0.0001)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=10, min_delta=0.001, min_lr=0.0001)),
    ),
    Recipe(
        "KLR064",
        "keras-team/keras-cv",
        "accuracy of a probe",
        "ReduceLROnPlateau(factor=0.1, patience=5, monitor='probe_accuracy',"
        " min_delta=0.005, mode='max', min_lr=0.0001)",
        Plateau(
            ReduceLROnPlateau(
                factor=0.1,
                patience=5,
                monitor="probe_accuracy",
                min_delta=0.005,
                mode="max",
                min_lr=0.0001,
            )
        ),
        remark=ACCURACY,
    ),
    Recipe(
        "KLR090",
        "coxy1989/superconv",
        "a fifth, with a high floor",
        "ReduceLROnPlateau(factor=0.2, patience=5, min_lr=0.001)",
        Plateau(ReduceLROnPlateau(factor=0.2, patience=5, min_lr=0.001), (0.01,)),
    ),
    Recipe(
        "KLR212",
        "qqwweee/keras-yolo3",
        "the second of two stages",
        "ReduceLROnPlateau(factor=0.1, patience=3)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=3), (0.0001,)),
        remark="stage 1 is Constant(1e-3); the new optimizer of stage 2 begins at 1e-4 with a new callback",
    ),
    Recipe(
        "KLR214",
        "experiencor/keras-yolo3",
        "the training's loss",
        "ReduceLROnPlateau(factor=0.1, patience=2, monitor='loss', min_delta=0.01, mode='min')",
        Plateau(
            ReduceLROnPlateau(factor=0.1, patience=2, monitor="loss", min_delta=0.01, mode="min"),
            (0.0001,),
        ),
        remark="`epsilon` is the old name of `min_delta`",
    ),
    Recipe(
        "KLR215",
        "fizyr/keras-retinanet",
        "the training's loss, all arguments",
        "ReduceLROnPlateau(factor=0.1, patience=2, monitor='loss', min_delta=0.0001, cooldown=0)",
        Plateau(
            ReduceLROnPlateau(factor=0.1, patience=2, monitor="loss", min_delta=0.0001, cooldown=0),
            (1e-5,),
        ),
    ),
    Recipe(
        "KLR218",
        "pierluigiferrari/ssd_keras",
        "a fifth after 8",
        "ReduceLROnPlateau(factor=0.2, patience=8, min_delta=0.001, min_lr=1e-5)",
        Plateau(ReduceLROnPlateau(factor=0.2, patience=8, min_delta=0.001, min_lr=1e-5)),
        remark="`epsilon` is the old name of `min_delta`",
    ),
    Recipe(
        "KLR221",
        "david8862/keras-YOLOv3-model-set",
        "half after 10",
        "ReduceLROnPlateau(factor=0.5, patience=10, min_lr=1e-10)",
        Plateau(ReduceLROnPlateau(factor=0.5, patience=10, min_lr=1e-10)),
    ),
    Recipe(
        "KLR235",
        "titu1994/DenseNet",
        "a root of a tenth, by accuracy",
        "ReduceLROnPlateau(factor=sqrt(0.1), patience=5, monitor='val_acc', mode='max',"
        " min_lr=1e-5)",
        Plateau(
            ReduceLROnPlateau(
                factor=math.sqrt(0.1), patience=5, monitor="val_acc", mode="max", min_lr=1e-5
            )
        ),
        remark=ACCURACY,
    ),
    Recipe(
        "KLR242",
        "PacktPublishing/Advanced-Deep-Learning-with-Keras",
        "a root of a tenth",
        "ReduceLROnPlateau(factor=sqrt(0.1), patience=5, min_lr=5e-7)",
        Plateau(ReduceLROnPlateau(factor=math.sqrt(0.1), patience=5, min_lr=5e-7)),
    ),
    Recipe(
        "KLR257",
        "ageron/handson-ml2",
        "half after 5",
        "ReduceLROnPlateau(factor=0.5, patience=5)",
        Plateau(ReduceLROnPlateau(factor=0.5, patience=5), (0.02,)),
    ),
    Recipe(
        "KLR267",
        "mrdbourke/tensorflow-deep-learning",
        "a fifth after 2",
        "ReduceLROnPlateau(factor=0.2, patience=2, min_lr=1e-7)",
        Plateau(ReduceLROnPlateau(factor=0.2, patience=2, min_lr=1e-7), (0.0001,)),
    ),
    Recipe(
        "KLR268",
        "mrdbourke/tensorflow-deep-learning",
        "a patience of 100",
        "ReduceLROnPlateau(factor=0.1, patience=100)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=100), (0.001,)),
    ),
    Recipe(
        "KLR269",
        "tensorflow/examples",
        "half, by categorical accuracy",
        "ReduceLROnPlateau(factor=0.5, patience=4, monitor='val_categorical_accuracy',"
        " mode='max', min_lr=1e-5)",
        Plateau(
            ReduceLROnPlateau(
                factor=0.5, patience=4, monitor="val_categorical_accuracy", mode="max", min_lr=1e-5
            )
        ),
    ),
    Recipe(
        "KLR272",
        "tensorflow/ranking",
        "min_delta of a hundredth of the rate",
        "ReduceLROnPlateau(factor=0.1, patience=10, min_delta=0.01 * 0.05)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=10, min_delta=0.01 * 0.05), (0.05,)),
        remark="for a rate of 0.05",
    ),
    Recipe(
        "KLR274",
        "stardist/stardist",
        "no min_delta",
        "ReduceLROnPlateau(factor=0.5, patience=40, min_delta=0)",
        Plateau(ReduceLROnPlateau(factor=0.5, patience=40, min_delta=0), (0.0003,)),
    ),
    Recipe(
        "KLR279",
        "spotify/basic-pitch",
        "half after 10",
        "ReduceLROnPlateau(factor=0.5, patience=10)",
        Plateau(ReduceLROnPlateau(factor=0.5, patience=10)),
    ),
    Recipe(
        "KLR280",
        "hfawaz/dl-4-tsc",
        "the training's loss, after 50",
        "ReduceLROnPlateau(factor=0.5, patience=50, monitor='loss', min_lr=0.0001)",
        Plateau(ReduceLROnPlateau(factor=0.5, patience=50, monitor="loss", min_lr=0.0001)),
    ),
    Recipe(
        "KLR281",
        "hfawaz/dl-4-tsc",
        "a floor of 0.1",
        "ReduceLROnPlateau(factor=0.5, patience=200, monitor='loss', min_lr=0.1)",
        Plateau(
            ReduceLROnPlateau(factor=0.5, patience=200, monitor="loss", min_lr=0.1), (0.001, 1.0)
        ),
        remark="never below the floor: nothing happens at 0.001, and at 1.0 it does",
    ),
    Recipe(
        "KLR283",
        "awni/ecg",
        "a floor of a thousandth",
        "ReduceLROnPlateau(factor=0.1, patience=2, min_lr=0.001 * 0.001)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=2, min_lr=0.001 * 0.001), (0.001,)),
    ),
    Recipe(
        "KLR285",
        "CVxTz/ECG_Heartbeat_Classification",
        "accuracy after 3",
        "ReduceLROnPlateau(factor=0.1, patience=3, monitor='val_acc', mode='max')",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=3, monitor="val_acc", mode="max"), (0.001,)),
    ),
    Recipe(
        "KLR287",
        "jackkwok/neural-road-inspector",
        "a patience of 2",
        "ReduceLROnPlateau(factor=0.1, patience=2, min_delta=0.0001)",
        Plateau(ReduceLROnPlateau(factor=0.1, patience=2, min_delta=0.0001)),
        remark="`epsilon` is the old name of `min_delta`",
    ),
)
