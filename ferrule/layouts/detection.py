"""Which layout a file or folder has: pixel CSVs, or class folders of image files, with or without FER+ votes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ferrule.errors import DataError
from ferrule.layouts.archives import is_archive
from ferrule.layouts.csvfiles import CsvFile, count_rows, open_csv
from ferrule.layouts.listing import list_csv_files, list_folders, list_visible
from ferrule.layouts.pictures import Picture, parse_class
from ferrule.layouts.usages import UNLABELLED, USAGES, assign_usages, is_split, read_usage
from ferrule.layouts.votes import holds_votes

KNOWN = (
    "fer2013.csv, icml_face_data.csv, ICML train.csv (and test.csv), class folders in train and test (or in "
    "images/train and images/validation), or a .zip or .tar.gz of one of these"
)

_DEPTH = 2  # levels of wrapping folders, as in archive/images/train
_PREFERRED = ("fer2013.csv", "icml_face_data.csv")  # where one folder has both, as Kaggle's users do
_SHOWN = 6  # names, before "and 17 more"


@dataclass(frozen=True)
class Layout:
    """What was recognised: `tables` or `pictures` under `root`, perhaps FER+ `votes`; and the names of what was not."""

    root: Path
    tables: tuple[CsvFile, ...] = ()
    pictures: tuple[Picture, ...] = ()
    votes: Path | None = None
    left_out: tuple[str, ...] = ()

    @property
    def files(self) -> dict[Path, Path]:
        """The recognised files, each with its place relative to the folder that they may be put under."""
        files = {file.path: Path(file.path.name) for file in self.tables}
        files |= {picture.path: picture.path.relative_to(self.root) for picture in self.pictures}
        return files | ({self.votes: Path(self.votes.name)} if self.votes else {})

    def describe(self) -> str:
        """Say in one line what it is, with its rows counted (which reads a CSV once through)."""
        parts = [_describe_table(table) for table in self.tables] or [_describe_pictures(self)]
        if self.votes:
            parts.append(f"FER+ votes in {self.votes.name}")
        if self.left_out:
            parts.append(f"left out: {_enumerate(self.left_out)}")
        return "; ".join(parts)


def detect_layout(path: Path, also: frozenset[str] = frozenset()) -> Layout:
    """Recognise the layout of a CSV file, or of a folder and up to two wrapping levels of folders in it.

    Folders of a class are known by its name, or by one of the words `also`.

    Of several layouts in one folder the one that says most is taken: a CSV with emotion, pixels and Usage before ICML's
    train.csv and test.csv, and those before class folders; the others are left out, and named. Raises DataError where
    nothing known is found, with what was seen, and where one cannot tell which of several is meant.
    """
    try:
        if not path.exists():
            raise DataError(f"Expected a file or folder at {path}; there is none; check the path.")
        problems: list[str] = []
        layout = _detect_file(path, problems) if path.is_file() else _search(path, _DEPTH, problems, also)
        if layout is None:
            raise DataError(_describe_failure(path, problems))
        return _add_votes(layout, path if path.is_dir() else path.parent)
    except OSError as error:
        raise DataError(f"Expected to look into {path}; {error.strerror}; make it readable.") from error


def _detect_file(path: Path, problems: list[str]) -> Layout | None:
    if is_archive(path):
        raise DataError(f"Expected a CSV file or a folder; {path.name} is an archive; unpack it (place_data does).")
    tables = _choose_tables([open_csv(path)])
    if not tables:
        problems.append(f"{path.name} has no column emotion")
    return Layout(path.parent, tables) if tables else None


def _search(folder: Path, depth: int, problems: list[str], also: frozenset[str]) -> Layout | None:
    """Return the layout of `folder`, or the only one of its folders; note in `problems` what came near to one."""
    layout = _detect_tables(folder, problems) or _detect_pictures(folder, problems, also)
    if layout or not depth:
        return layout
    found = [layout for sub in list_folders(folder) if (layout := _search(sub, depth - 1, problems, also))]
    if len(found) > 1:
        names = _enumerate([str(layout.root.relative_to(folder)) for layout in found])
        raise DataError(f"Expected one dataset in {folder}; found several, in {names}; give one of them.")
    return found[0] if found else None


def _detect_tables(folder: Path, problems: list[str]) -> Layout | None:
    files = []
    for path in list_csv_files(folder):
        try:
            if holds_votes(path):
                problems.append(f"{path.name} has FER+ votes but no images; put it beside them")
            else:
                files.append(open_csv(path))
        except DataError as error:
            problems.append(str(error))
    tables = _choose_tables(files)
    if not tables:
        problems += [f"{file.path.name} has no column emotion" for file in files]
        return None
    taken = {table.path for table in tables}
    return Layout(folder, tables, left_out=tuple(entry.name for entry in list_visible(folder) if entry not in taken))


def _choose_tables(files: Sequence[CsvFile]) -> tuple[CsvFile, ...]:
    """Return the file with emotion, pixels and Usage; or those named after splits; or the one with labels; or none."""
    labelled = [file for file in files if file.emotion is not None]
    if complete := [file for file in labelled if file.usage is not None]:
        return (_choose_one(complete),)
    usages = assign_usages(file.path.stem for file in labelled)
    if usages:
        parts = [replace(file, default_usage=usages[file.path.stem]) for file in labelled if file.path.stem in usages]
        parts.sort(key=lambda part: USAGES.index(part.default_usage or ""))
        unlabelled = [file for file in files if file.emotion is None and is_split(file.path.stem)]
        return (*parts, *(replace(file, default_usage=UNLABELLED) for file in unlabelled))
    return (_choose_one(labelled),) if labelled else ()


def _choose_one(files: Sequence[CsvFile]) -> CsvFile:
    by_name = {file.path.name.lower(): file for file in files}
    for name in _PREFERRED:
        if name in by_name:
            return by_name[name]
    if len(files) > 1:
        names = _enumerate([file.path.name for file in files])
        raise DataError(f"Expected one dataset in {files[0].path.parent}; found {names}; give one of these files.")
    return files[0]


def _detect_pictures(folder: Path, problems: list[str], also: frozenset[str]) -> Layout | None:
    subfolders = list_folders(folder)
    splits = [sub for sub in subfolders if is_split(sub.name) and _count_classes(list_folders(sub), also)]
    if splits:
        usages = assign_usages(split.name for split in splits)
        pictures = [picture for split in splits for picture in _list_pictures(split, usages[split.name])]
        stray = [f"{path.parent.name}/{path.name}" for split in splits for path in list_visible(split)]
        layout = _lay_out(folder, pictures, taken=splits)
        return replace(layout, left_out=(*layout.left_out, *(name for name in stray if not (folder / name).is_dir())))
    if _count_classes(subfolders, also) >= 2:
        return _lay_out(folder, _list_pictures(folder, None), taken=subfolders)
    if len(subfolders) > 1 and all(sub.name.isdecimal() for sub in subfolders):
        problems.append("folders named by numbers do not tell their class; name them angry, disgust and so on")
    return None


def _count_classes(folders: Sequence[Path], also: frozenset[str]) -> int:
    return sum(parse_class(folder.name, also) is not None for folder in folders)


def _list_pictures(folder: Path, usage: str | None) -> list[Picture]:
    """Return all that lies in the folders of `folder`; what is no image, or in a folder of no class, ingest rejects."""
    return [
        Picture(path, class_folder.name, read_usage(path.name) or usage)
        for class_folder in list_folders(folder)
        for path in list_visible(class_folder)
    ]


def _lay_out(folder: Path, pictures: Sequence[Picture], taken: Sequence[Path]) -> Layout:
    if not pictures:
        raise DataError(f"Expected image files in the class folders of {folder}; they are empty; get the data again.")
    left_out = [entry.name for entry in list_visible(folder) if entry not in taken]
    return Layout(folder, pictures=tuple(pictures), left_out=tuple(left_out))


def _add_votes(layout: Layout, top: Path) -> Layout:
    """Add the FER+ file beside the data: in its folder, or in one above it up to `top`."""
    for folder in (layout.root, *layout.root.parents):
        for path in list_csv_files(folder):
            if holds_votes(path):
                left_out = [name for name in layout.left_out if folder / name != path]
                return replace(layout, votes=path, left_out=tuple(left_out))
        if folder == top:
            break
    return layout


def _describe_table(table: CsvFile) -> str:
    used = [table.names[at] for at in (table.emotion, table.pixels, table.usage) if at is not None]
    unlabelled = " unlabelled" if table.emotion is None else ""
    extra = f" (left out: {', '.join(table.extra_columns)})" if table.extra_columns else ""
    return f"{table.path.name}: {count_rows(table):,}{unlabelled} rows, columns {', '.join(used)}{extra}"


def _describe_pictures(layout: Layout) -> str:
    splits = Counter(picture.path.parent.parent for picture in layout.pictures)
    folders = [f"{'.' if split == layout.root else split.name}/: {count:,} images" for split, count in splits.items()]
    classes = {parse_class(picture.class_name) for picture in layout.pictures} - {None}
    return f"{', '.join(folders)}, {len(classes)} classes, {_describe_usages(layout.pictures)}"


def _describe_usages(pictures: Sequence[Picture]) -> str:
    named = sum(read_usage(picture.path.name) is not None for picture in pictures)
    if named == len(pictures):
        return "Usage from the file names"
    if all(picture.usage is None for picture in pictures):
        return "no Usage"
    return f"Usage from the folders and {named:,} file names" if named else "Usage from the folders"


def _describe_failure(path: Path, problems: Sequence[str]) -> str:
    if len(problems) == 1 and problems[0].endswith("."):
        return problems[0]
    entries = list_visible(path) if path.is_dir() else [path]
    seen = _enumerate([entry.name + "/" * entry.is_dir() for entry in entries])
    archives = [f"{entry.name} is an archive: give that file itself" for entry in entries if is_archive(entry)]
    told = [*problems[:3], *archives[:1]]
    remarks = f" ({'; '.join(problem.rstrip('.') for problem in told)})" if told else ""
    return f"Expected {KNOWN}; {path} holds {seen or 'nothing'}{remarks}; give a path that holds one of these."


def _enumerate(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
