"""What programs draw by chance."""

import random

import numpy as np
from numpy.random import bit_generator


def draw_as(seed: int) -> None:
    """Have programs draw what every attempt with that *seed* draws, also from generators that they
    make without one: `numpy` seeds those by what its `randbits` says, which asks the system.
    """
    random.seed(seed)
    vars(bit_generator)["randbits"] = random.Random(seed).getrandbits  # noqa: S311  no secret
    np.random.seed(seed)
