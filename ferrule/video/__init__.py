"""Video files and webcams: frames in time, faces followed from frame to frame, their expressions over time."""

from ferrule.video.analyse import VideoResult, analyse_video
from ferrule.video.timeline import write_timeline

__all__ = ["VideoResult", "analyse_video", "write_timeline"]
