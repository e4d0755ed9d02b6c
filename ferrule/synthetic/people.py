"""Who is in the picture and how it was taken, drawn at random: a column (n, 1, 1) for each property."""

from dataclasses import dataclass

import numpy as np

from ferrule.synthetic.stream import Stream


@dataclass(frozen=True)
class Person:
    """A head. Lengths are in head units, half the width of an average head; tones run from 0, black, to 1, white."""

    skin: np.ndarray
    width: np.ndarray
    jaw: np.ndarray  # width of the chin, as a share of the head's
    chin: np.ndarray  # from the middle of the head down to the chin
    age: np.ndarray  # 0..1: how deep the wrinkles are
    eye_size: np.ndarray  # a factor
    eye_gap: np.ndarray  # from the middle to an eye
    eye_tilt: np.ndarray
    iris: np.ndarray  # tone
    brow_weight: np.ndarray
    brow_height: np.ndarray  # above the middle of the head
    nose_width: np.ndarray
    nose_length: np.ndarray
    mouth_width: np.ndarray
    mouth_height: np.ndarray  # below the middle of the head
    smile: np.ndarray  # how high the corners of the mouth lie at rest
    lips: np.ndarray  # fullness, a factor
    lipstick: np.ndarray  # 0..1
    beard: np.ndarray  # 0..1
    moustache: np.ndarray  # 0..1
    hair: np.ndarray  # tone
    hairline: np.ndarray
    temples: np.ndarray  # how far the hairline comes down at the sides
    parting: np.ndarray  # where it is highest
    volume: np.ndarray
    streaks: np.ndarray
    curl: np.ndarray
    long_hair: np.ndarray  # 0 or 1


@dataclass(frozen=True)
class Scene:
    """Pose, light, backdrop and camera. Turns are sines of angles; positions are shares of half the image."""

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    shift_x: np.ndarray
    shift_y: np.ndarray
    scale: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    skew: np.ndarray  # how much further the mouth moves on one side
    light_x: np.ndarray  # from the left is negative
    light_y: np.ndarray  # from above is negative
    ambient: np.ndarray  # 0..1: the light that comes from everywhere
    backdrop: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray
    clothes: np.ndarray
    exposure: np.ndarray
    contrast: np.ndarray
    softness: np.ndarray  # 0..1
    grain: np.ndarray  # standard deviation of the noise, of the grey range


def draw_person(stream: Stream) -> Person:
    """Draw as many people as the stream has images."""
    bearded = stream.chance(0.16)
    moustached = stream.chance(0.06)
    woman = stream.chance(0.5) * (1.0 - bearded)
    bald = stream.chance(0.1) * (1.0 - woman)
    fringe = stream.chance(0.25) * (1.0 - bald)
    fair = stream.chance(0.35)
    return Person(
        skin=stream.middling(0.42, 1.05),
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
        lipstick=stream.uniform(0.0, 0.6) * woman,
        beard=stream.uniform(0.3, 0.95) * bearded,
        moustache=stream.uniform(0.4, 0.9) * np.maximum(bearded, moustached * (1.0 - woman)),
        hair=stream.uniform(0.04, 0.22) + stream.uniform(0.1, 0.65) * fair,
        hairline=stream.middling(-1.04, -0.8) - 0.6 * bald + 0.34 * fringe,
        temples=stream.uniform(0.5, 1.6) + 0.3 * bald - 0.5 * fringe,
        parting=stream.uniform(-0.45, 0.45),
        volume=stream.uniform(0.03, 0.14) + stream.uniform(0.0, 0.16) * woman - 0.02 * bald,
        streaks=stream.uniform(0.03, 0.16),
        curl=stream.uniform(0.0, 0.42) * stream.uniform(0.0, 1.0),
        long_hair=stream.chance(0.8) * woman,
    )


def draw_scene(stream: Stream) -> Scene:
    """Draw as many scenes as the stream has images."""
    return Scene(
        yaw=stream.middling(-0.48, 0.48),
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
        backdrop=stream.uniform(0.02, 0.98),
        slope_x=stream.uniform(-0.25, 0.25),
        slope_y=stream.uniform(-0.25, 0.25),
        clothes=stream.uniform(0.05, 0.9),
        exposure=stream.middling(0.8, 1.25),
        contrast=stream.middling(0.8, 1.3),
        softness=stream.uniform(0.0, 0.7),
        grain=stream.uniform(0.003, 0.022),
    )
