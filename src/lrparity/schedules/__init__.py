"""Learning rates as pure functions of the update or the epoch, with the bits of Keras.

Class names, argument names, order and defaults are those of ``keras.optimizers.schedules``.  A
schedule is a frozen value; calling it with a step answers what Keras *reports*
(``numerics="eager"``, the default) or what a compiled ``model.fit`` *applies*
(``numerics="graph"``).  No torch, Lightning or TensorFlow is loaded.

>>> import numpy as np
>>> schedule = CosineDecay(0.1, decay_steps=1000, alpha=0.01, warmup_target=0.4, warmup_steps=50)
>>> schedule(120)
0.3952315151691437
>>> schedule(np.arange(100)).dtype
dtype('float32')
"""

from lrparity.schedules._arithmetic import Numerics
from lrparity.schedules._classic import StepDecay, TimeBasedDecay
from lrparity.schedules._composition import (
    Clip,
    Constant,
    Hold,
    InPython,
    Join,
    Offset,
    PerEpoch,
    PerUpdate,
    Product,
    Repeat,
    Scale,
    Sum,
)
from lrparity.schedules._cyclical import (
    CyclicalLearningRate,
    CyclicLR,
    ExponentialCyclicalLearningRate,
    Triangular2CyclicalLearningRate,
    TriangularCyclicalLearningRate,
)
from lrparity.schedules._keras import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from lrparity.schedules._legacy import (
    LinearCosineDecay,
    NaturalExpDecay,
    NoisyLinearCosineDecay,
)
from lrparity.schedules._line import LinearDecay
from lrparity.schedules._momentum import OneCycleMomentum
from lrparity.schedules._one_cycle import (
    CosineOneCycle,
    OneCycle,
    OneCycleLR,
    OneCycleScheduler,
    TriangularOneCycle,
)
from lrparity.schedules._piecewise import (
    MultiStepDecay,
    PiecewiseLinear,
)
from lrparity.schedules._power import (
    DirectPowerDecay,
    InverseSquareRoot,
    Noam,
    PowerAndLinearDecay,
    PowerDecayWithOffset,
    StepCosineDecayWithOffset,
    WarmUpAndPolyDecay,
)
from lrparity.schedules._ramp import (
    RampSustainDecay,
)
from lrparity.schedules._restarts import (
    CosineAnnealing,
    CosineLrSchedulerEpoch,
    InclusiveCosineRestarts,
    SGDRScheduler,
    SnapshotCosine,
)
from lrparity.schedules._schedule import (
    FunctionSchedule,
    LearningRateSchedule,
    Unit,
    as_schedule,
)
from lrparity.schedules._serialization import deserialize, serialize
from lrparity.schedules._warm_up import (
    BertWarmUp,
    LinearWarmup,
    PolynomialWarmUp,
    TransformersWarmUp,
    WarmUp,
    WarmUpCosineDecay,
)

__all__ = [
    "BertWarmUp",
    "Clip",
    "Constant",
    "CosineAnnealing",
    "CosineDecay",
    "CosineDecayRestarts",
    "CosineLrSchedulerEpoch",
    "CosineOneCycle",
    "CyclicLR",
    "CyclicalLearningRate",
    "DirectPowerDecay",
    "ExponentialCyclicalLearningRate",
    "ExponentialDecay",
    "FunctionSchedule",
    "Hold",
    "InPython",
    "InclusiveCosineRestarts",
    "InverseSquareRoot",
    "InverseTimeDecay",
    "Join",
    "LearningRateSchedule",
    "LinearCosineDecay",
    "LinearDecay",
    "LinearWarmup",
    "MultiStepDecay",
    "NaturalExpDecay",
    "Noam",
    "NoisyLinearCosineDecay",
    "Numerics",
    "Offset",
    "OneCycle",
    "OneCycleLR",
    "OneCycleMomentum",
    "OneCycleScheduler",
    "PerEpoch",
    "PerUpdate",
    "PiecewiseConstantDecay",
    "PiecewiseLinear",
    "PolynomialDecay",
    "PolynomialWarmUp",
    "PowerAndLinearDecay",
    "PowerDecayWithOffset",
    "Product",
    "RampSustainDecay",
    "Repeat",
    "SGDRScheduler",
    "Scale",
    "SnapshotCosine",
    "StepCosineDecayWithOffset",
    "StepDecay",
    "Sum",
    "TimeBasedDecay",
    "TransformersWarmUp",
    "Triangular2CyclicalLearningRate",
    "TriangularCyclicalLearningRate",
    "TriangularOneCycle",
    "Unit",
    "WarmUp",
    "WarmUpAndPolyDecay",
    "WarmUpCosineDecay",
    "as_schedule",
    "deserialize",
    "serialize",
]
