"""What a training is told: the section `train` of params.yaml, with the chosen recipe in it."""

from dataclasses import dataclass

from ferrule.views import Distortion


@dataclass(frozen=True)
class TrainSettings:
    """The section `train` of params.yaml, where each value is explained, and the seed."""

    seed: int
    backend: str
    labels: str
    network: str
    precision: str
    epochs: int
    epoch_images: int
    batch_size: int
    sizes: tuple[int, ...]
    peak_rate: float
    rest_rate: float
    warm_up: float
    final_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    class_weights: float
    sampling: float
    dropout: float
    mixup: float
    flip: float
    rotation: float
    zoom: float
    aspect: float
    shift: float
    erasing: float
    members: int
    distil: float

    @property
    def distortion(self) -> Distortion:
        """How far each training image is distorted."""
        return Distortion(self.flip, self.rotation, self.zoom, self.aspect, self.shift, self.erasing)

    def size(self, epoch: int) -> int:
        """Return the side, in pixels, of the images of `epoch` (from 0): `sizes` are spread evenly over the epochs."""
        return self.sizes[epoch * len(self.sizes) // self.epochs]
