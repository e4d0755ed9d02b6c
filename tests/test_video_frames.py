"""Frames: what is read of which file and when it was, what is sampled, where scenes are cut, what is written."""

import os
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferrule.errors import DataError, ParameterError
from ferrule.video.files import check_ending, record_frames, write_video
from ferrule.video.frames import Frame, Video, replay, sample_frames, steady_frames, steady_rate

RATE = 10.0


def make_frames(count: int = 20, *, size=(96, 64), rate: float = RATE) -> list[Frame]:
    """Return a bright square that moves over a dark ground, two pixels a frame."""
    frames = []
    for number in range(count):
        image = np.full((size[1], size[0], 3), 40, np.uint8)
        image[20:40, 10 + 2 * number : 30 + 2 * number] = (230, 120, 20)
        frames.append(Frame(number, number / rate, image))
    return frames


def write(path: Path, frames=None, rate: float = RATE) -> Path:
    write_video(make_frames() if frames is None else frames, path, rate, lambda _: None)
    return path


def read(path: Path, **limits) -> list[Frame]:
    with Video.open(path) as video:
        return list(video.frames(**limits))


@pytest.mark.parametrize("ending", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"])
def test_each_kind_of_file_is_read_as_it_was_written(ending, tmp_path, capfd):
    path = write(tmp_path / f"clip{ending}")
    frames = read(path)
    assert [frame.number for frame in frames] == list(range(20))
    assert [frame.seconds for frame in frames] == pytest.approx(np.arange(20) / RATE, abs=0.002)
    red, _, blue = frames[0].image[30, 20]
    assert red > 180
    assert blue < 80
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "no draft is left"
    assert capfd.readouterr().err == ""


def test_a_file_says_how_long_it_is_before_it_is_read(tmp_path):
    with Video.open(write(tmp_path / "clip.mp4")) as video:
        assert video.seconds == pytest.approx(2.0)
        assert next(video.frames()).number == 0
        assert len(video.times) == 1, "frames are read when they are asked for"


def test_frames_of_uneven_length_have_their_own_times(tmp_path):
    animation = cv2.Animation()
    animation.frames = [np.full((40, 60, 3), 25 * number, np.uint8) for number in range(6)]
    animation.durations = np.array([100, 100, 500, 100, 100, 100])
    assert cv2.imwriteanimation(str(tmp_path / "clip.gif"), animation)
    frames = read(tmp_path / "clip.gif")
    times = [frame.seconds for frame in frames]
    assert times == pytest.approx([0, 0.1, 0.2, 0.7, 0.8, 0.9])
    assert steady_rate(times) == 10
    assert [frame.number for frame in steady_frames(frames, 10)] == [0, 1, 2, 2, 2, 2, 2, 3, 4, 5]
    assert [frame.number for frame in sample_frames(frames, 5)] == [0, 2, 3, 4]


def test_a_phone_held_upright_gives_upright_frames(tmp_path):
    """The file says in its head that it is to be turned by a quarter, as those of phones do."""
    path = write(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (first, *_) = read(path)
    assert first.image.shape == (96, 64, 3)
    assert first.image[20, 64 - 30, 0] > 180, "what was at (20, 30) is now at (64 - 30, 20)"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("clip.mp4", b"", "an empty file"),
        ("clip.mp4", b"no video at all" * 20, "300 bytes that it does not know"),
        ("clip.avi", b"RIFF\0\0\0\0AVI ", "it does not know"),
    ],
)
def test_what_is_no_video_is_one_sentence(name, content, words, tmp_path, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)
    assert capfd.readouterr().err == "", "FFmpeg has nothing to add"


def test_what_is_no_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        Video.open(tmp_path)
    with pytest.raises(DataError, match="is not there"):
        Video.open(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="Expected webcam 97 to open"):
        Video.open(97)


def test_a_name_that_is_no_text_is_one_sentence(tmp_path):
    """OpenCV would end the process."""
    path = tmp_path / os.fsdecode(b"\xff.mp4")
    with pytest.raises(DataError, match="a path that is text"):
        write(path)
    path.write_bytes(write(tmp_path / "clip.mp4").read_bytes())
    with pytest.raises(DataError, match="a path that is text"):
        Video.open(path)


def test_a_file_without_its_index_is_one_sentence(tmp_path):
    path = write(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="end before their index"):
        Video.open(path)


def test_of_a_file_that_ends_early_the_beginning_is_read_and_that_is_said(tmp_path, capfd):
    path = write(tmp_path / "clip.avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Video.open(path) as video:
        frames = list(video.frames())
        assert 4 < len(frames) < 16
        assert f"{len(frames)} of 20 frames could be read" in video.ended_early()
    assert capfd.readouterr().err == ""


def test_nothing_is_said_of_a_file_that_is_whole_or_not_read_to_its_end(tmp_path):
    path = write(tmp_path / "clip.avi")
    for limit, frames in ((None, 20), (1.0, 10), (0.05, 1)):
        with Video.open(path) as video:
            assert len(list(video.frames(limit))) == frames
            assert video.ended_early() is None


def test_a_file_whose_frames_are_all_damaged_is_one_sentence(tmp_path):
    path = write(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    begin, end = data.find(b"mdat") + 4, data.find(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    with pytest.raises(DataError, match="none that can be decoded"):
        read(path)


def test_a_file_without_times_has_those_of_its_rate(tmp_path):
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame.image)[1].tobytes() for frame in make_frames(5)))
    steps = np.diff([frame.seconds for frame in read(path)])
    assert (steps > 0).all()
    assert steps == pytest.approx(0.04, abs=0.001)


def test_a_camera_has_our_clock(tmp_path):
    """A file stands for the camera: what is read is the same, and only the clock is another."""
    write(tmp_path / "clip.avi")
    with Video(cv2.VideoCapture(str(tmp_path / "clip.avi")), "webcam 0", live=True) as video:
        times = [frame.seconds for frame in video.frames()]
        assert video.seconds is None
        assert video.ended_early() is None
    assert times[0] == 0
    assert times[-1] < 1.9, "it is read faster than it plays"
    assert all(later > earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("rate", "chosen"),
    [
        (5, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
        (3, [0, 4, 7, 10, 14, 17]),
        (1, [0, 10]),
        (0.1, [0]),
        (10, range(20)),
        (1000, range(20)),
    ],
)
def test_frames_are_sampled_by_time(rate, chosen):
    assert [frame.number for frame in sample_frames(make_frames(), rate)] == list(chosen)


def test_after_a_pause_the_samples_go_on_at_once():
    times = [0, 0.1, 0.2, 3.05, 3.15, 3.25]
    frames = [replace(frame, seconds=seconds) for frame, seconds in zip(make_frames(6), times, strict=True)]
    assert [frame.number for frame in sample_frames(frames, 5)] == [0, 2, 3, 5]


def test_a_cut_is_told_also_where_it_lies_between_samples():
    rng = np.random.default_rng(0)
    scenes = [cv2.resize(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), (96, 64)) for _ in range(2)]
    frames = [replace(frame, image=scenes[frame.number >= 7]) for frame in make_frames(20)]
    assert [frame.number for frame in sample_frames(frames, 2) if frame.cut] == [10]


def test_movement_and_a_lamp_are_no_cut():
    moving = make_frames(30)
    assert not any(frame.cut for frame in sample_frames(moving, 2))
    lit = [
        replace(each, image=np.clip(each.image.astype(int) * (2 if each.number > 9 else 1), 0, 255).astype(np.uint8))
        for each in make_frames()
    ]
    assert not any(frame.cut for frame in sample_frames(lit, 2))


def test_frames_of_an_odd_size_lose_a_row(tmp_path):
    frames = read(write(tmp_path / "clip.mp4", make_frames(size=(97, 65))))
    assert frames[0].image.shape == (64, 96, 3)


def test_a_copy_keeps_the_times_of_the_original(tmp_path):
    times = [0, 0.3, 0.4, 1.0]
    list(record_frames(make_frames(6), tmp_path / "kept.avi", 25))
    frames = list(replay(tmp_path / "kept.avi", times))
    assert [frame.seconds for frame in frames] == times


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path):
    def broken():
        yield from make_frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "clip.mp4", broken())
    assert not list(tmp_path.iterdir())


def test_a_kind_that_cannot_be_written_is_one_sentence():
    with pytest.raises(ParameterError, match=r"ends with .mp4, .* got 'clip.gif'"):
        check_ending(Path("clip.gif"))
