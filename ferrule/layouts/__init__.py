"""Everything between raw files and Samples: which layout they have, putting them in their place, reading them.

- detection: which layout a file or folder has; archives unpacks, placement copies what was recognised
- reading: samples and rejects of any layout, out of csvfiles (rows), pixels (their images) and pictures (image files)
- streaming: new images without labels, in chunks, out of these and of parquetfiles
- votes: FER+ votes to the images they belong to
- damage: why a row or file is not read
"""

from ferrule.layouts.damage import REASONS
from ferrule.layouts.detection import Layout, detect_layout
from ferrule.layouts.placement import place_data
from ferrule.layouts.reading import Reading, read_samples

__all__ = ["REASONS", "Layout", "Reading", "detect_layout", "place_data", "read_samples"]
