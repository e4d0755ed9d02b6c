"""Parquet files of images: a column of pixels, or one of encoded pictures (PNG, JPEG), in batches of rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ferrule.errors import DataError
from ferrule.layouts.damage import DamageError
from ferrule.layouts.pictures import decode_picture
from ferrule.layouts.pixels import decode_text
from ferrule.samples import IMAGE_SIZE

if TYPE_CHECKING:
    import pyarrow as pa

PIXEL_COLUMN = "pixels"
PICTURE_COLUMNS = ("image", "png", "jpeg", "jpg", "bytes")  # the first that is there is taken

_BATCH_ROWS = 256


def read_batches(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Yield batches: the number of their first row (from 1), and a value a row for `decode_value`.

    Raises DataError where `path` is no Parquet, is damaged, or has no column of images, and without pyarrow, which the
    library does without otherwise.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f"Expected pyarrow, to read {path.name}; it is not installed; install pyarrow (`pip install pyarrow`)."
        ) from error
    if not path.stat().st_size:
        raise DataError(f"Expected rows in {path.name}; it is empty; get it again.")
    try:
        with pq.ParquetFile(path) as file:
            row, column = 1, _find_column(path, file.schema_arrow)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[column]):
                yield row, batch.column(0).to_pylist()
                row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        told = str(error).partition("\n")[0].rstrip(".")
        raise DataError(
            f"Expected a whole Parquet file in {path.name}; it cannot be read ({told}); get it again."
        ) from error


def decode_value(value: Any) -> np.ndarray:
    """Return one image, uint8 (IMAGE_SIZE, IMAGE_SIZE), from a pixel string, a list of pixels or an encoded picture.

    Raises DamageError that tells what is wrong with it.
    """
    if isinstance(value, dict):  # as Hugging Face's datasets have it
        value = value["bytes"]
    if isinstance(value, bytes):
        return decode_picture(value)
    if value is None:
        raise DamageError("null pixels", "no pixels")
    text = value if isinstance(value, str) else " ".join(map(str, value))
    return decode_text(text.encode()).reshape(IMAGE_SIZE, IMAGE_SIZE)


def _find_column(path: Path, schema: "pa.Schema") -> str:
    by_name = {name.casefold(): name for name in schema.names}
    for name in (PIXEL_COLUMN, *PICTURE_COLUMNS):
        if name in by_name and _holds_images(schema.field(by_name[name]).type, name):
            return by_name[name]
    raise DataError(
        f"Expected a column pixels (text or lists), or image or png (bytes of pictures), in {path.name}; it has "
        f"{', '.join(schema.names[:8]) or 'none'}; name the column of the images so."
    )


def _holds_images(kind: "pa.DataType", name: str) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if name == PIXEL_COLUMN:
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        return is_list or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
