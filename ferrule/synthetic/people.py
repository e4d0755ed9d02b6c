"""Who is in the picture and how it was taken: drawn at random, a column (n, 1, 1) for each property."""

from dataclasses import dataclass

import numpy as np

from ferrule.synthetic.stream import Stream


@dataclass(frozen=True)
class Person:
    """A head. Lengths are in head units: half the width of an average head; tones run from 0 (black) to 1 (white)."""

    skin: np.ndarray
    width: np.ndarray
    jaw: np.ndarray  # width of the chin, as a share of the head's
    chin: np.ndarray  # from the middle of the head down to the chin
    age: np.ndarray  # 0..1, depth of the wrinkles
    eye_size: np.ndarray
    eye_gap: np.ndarray  # from the middle to an eye
    eye_tilt: np.ndarray
    iris: np.ndarray
    brow_weight: np.ndarray
    brow_height: np.ndarray
    nose_width: np.ndarray
    nose_length: np.ndarray
    mouth_width: np.ndarray
    mouth_height: np.ndarray
    smile: np.ndarray  # how the corners of the mouth lie at rest
    lips: np.ndarray  # fullness
    lipstick: np.ndarray
    beard: np.ndarray
    moustache: np.ndarray
    hair: np.ndarray
    hairline: np.ndarray
    temples: np.ndarray  # how far the hair comes down at the sides
    parting: np.ndarray
    volume: np.ndarray
    length: np.ndarray
    streaks: np.ndarray
    curl: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Pose, light, backdrop and camera. Turns are sines; positions are shares of half the image."""

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    shift_x: np.ndarray
    shift_y: np.ndarray
    scale: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    skew: np.ndarray  # how much more one half of the face moves
    light_x: np.ndarray
    light_y: np.ndarray
    ambient: np.ndarray
    exposure: np.ndarray
    contrast: np.ndarray
    softness: np.ndarray
    grain: np.ndarray
    backdrop: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray
    clothes: np.ndarray


def draw_person(stream: Stream) -> Person:
    """Draw as many people as the stream has images."""
    bearded = stream.chance(0.16)
    woman = stream.chance(0.5) * (1.0 - bearded)
    bald = stream.chance(0.1) * (1.0 - woman)
    fringe = stream.chance(0.25) * (1.0 - bald)
    skin = stream.middling(0.42, 1.08)
    dark_hair = stream.uniform(0.04, 0.22)
    fair = stream.chance(0.35)
    return Person(
        skin=skin,
        width=stream.middling(0.84, 1.04),
        jaw=stream.middling(0.72, 0.98) - 0.08 * woman,
        chin=stream.middling(1.12, 1.34),
        age=stream.uniform(0.0, 1.0) * stream.uniform(0.0, 1.0),
        eye_size=stream.middling(0.95, 1.3) + 0.06 * woman,
        eye_gap=stream.middling(0.38, 0.46),
        eye_tilt=stream.middling(-0.04, 0.03),
        iris=stream.uniform(0.08, 0.4),
        brow_weight=stream.middling(0.035, 0.085) - 0.012 * woman,
        brow_height=stream.middling(0.29, 0.4),
        nose_width=stream.middling(0.15, 0.25),
        nose_length=stream.middling(0.26, 0.4),
        mouth_width=stream.middling(0.3, 0.42),
        mouth_height=stream.middling(0.64, 0.74),
        smile=stream.middling(-0.02, 0.045),
        lips=stream.middling(0.5, 1.5),
        lipstick=woman * stream.uniform(0.0, 0.6),
        beard=bearded * stream.uniform(0.3, 0.95),
        moustache=np.maximum(bearded, stream.chance(0.06) * (1.0 - woman)) * stream.uniform(0.4, 0.9),
        hair=dark_hair + fair * stream.uniform(0.1, 0.65),
        hairline=-0.9 - 0.6 * bald + 0.34 * fringe + stream.middling(-0.14, 0.1),
        temples=stream.uniform(0.5, 1.6) - 0.5 * fringe + 0.3 * bald,
        parting=stream.uniform(-0.45, 0.45),
        volume=stream.uniform(0.03, 0.14) + woman * stream.uniform(0.0, 0.16) - 0.02 * bald,
        length=woman * stream.chance(0.8),
        streaks=stream.uniform(0.03, 0.16),
        curl=stream.uniform(0.0, 0.42) * stream.uniform(0.0, 1.0),
    )


def draw_scene(stream: Stream) -> Scene:
    """Draw as many scenes as the stream has images."""
    return Scene(
        yaw=stream.middling(-0.55, 0.55),
        pitch=stream.middling(-0.22, 0.22),
        roll=stream.middling(-0.16, 0.16),
        shift_x=stream.middling(-0.16, 0.16),
        shift_y=stream.middling(-0.12, 0.12),
        scale=stream.middling(0.66, 0.95),
        gaze_x=stream.middling(-0.6, 0.6),
        gaze_y=stream.middling(-0.3, 0.3),
        skew=stream.middling(-0.12, 0.12),
        light_x=stream.uniform(-1.1, 1.1),
        light_y=stream.uniform(-0.9, 0.3),
        ambient=stream.uniform(0.3, 0.7),
        exposure=stream.middling(0.8, 1.3),
        contrast=stream.middling(0.75, 1.3),
        softness=stream.uniform(0.0, 0.7),
        grain=stream.uniform(0.003, 0.022),
        backdrop=stream.uniform(0.02, 0.98),
        slope_x=stream.uniform(-0.25, 0.25),
        slope_y=stream.uniform(-0.25, 0.25),
        clothes=stream.uniform(0.05, 0.9),
    )
