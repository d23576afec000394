"""A device that is calibrated anew each time it is looked at, and does not say when."""

from qiskit.providers.fake_provider import GenericBackendV2


class Drifting(GenericBackendV2):
    def refresh(self) -> None:
        self._seed = getattr(self, "_seed", 0) + 1
        self._target = GenericBackendV2(2, seed=self._seed).target


def device() -> Drifting:
    return Drifting(2)
