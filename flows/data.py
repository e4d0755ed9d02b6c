"""The raw data in the project: drawn, taken from a person's files or fetched from Kaggle, and versioned as data.dvc."""

import shutil
from pathlib import Path

from ferrule.errors import DataError, WorkflowError
from ferrule.modelcard.origin import SAMPLE_MD5
from flows.project import run_dvc
from pipelines.pins import read_data_md5

DATA = "data"
POINTER = "data.dvc"
DRAFT = ".data.draft"  # data/ is written here first, then renamed: it appears whole or not at all
FORMER = ".data.former"  # what was in data/ until the new pointer stands


def draw_sample_data(root: Path, replace: bool = False) -> str:
    """Write the embedded sample to data/ and version it; do nothing where it is there already.

    Raises DataError where data/ or data.dvc hold something else, unless `replace`.
    """
    from ferrule.synthetic import write_sample

    md5 = read_data_md5(root)
    if md5 == SAMPLE_MD5 and _holds_what_is_pinned(root):
        return f"The embedded sample is in {DATA}/ already."
    if md5 not in (None, SAMPLE_MD5) and not replace:
        raise DataError(
            f"Expected no other data, but {POINTER} pins some ({md5}); `ferrule data sample --replace` puts the sample "
            "in its place (what was there stays in DVC's cache)."
        )
    draft = _fresh_draft(root)
    try:
        write_sample(draft / "fer2013.csv")
        _put_in_place(root, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return f"The embedded sample, drawn by Ferrule, is in {DATA}/ ({read_data_md5(root)})."


def use_data(root: Path, source: Path) -> str:
    """Put the data at `source`, in any known layout, under data/ and version it; return a line that says what it is.

    Raises DataError where `source` is in no known layout; data/ is then as it was.
    """
    from ferrule.layouts import place_data

    draft = _fresh_draft(root)
    try:
        description = place_data(source, draft)
        _put_in_place(root, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return f"{description}. It is in {DATA}/ ({read_data_md5(root)})."


def fetch_kaggle_data(root: Path, slug: str) -> str:
    """Download the Kaggle dataset or competition `slug` and use it.

    Raises DataError, with the remedy, without the kaggle extra, credentials, or network.
    """
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise DataError(
            "Expected kagglehub, which is not installed; run `pip install -e '.[kaggle]'` in the checkout."
        ) from error
    # An owner/name is a dataset; a bare name is a competition, whose data asks for an account that has joined it.
    fetch = kagglehub.dataset_download if "/" in slug else kagglehub.competition_download
    try:
        folder = fetch(slug)
    except Exception as error:  # kagglehub raises its own, requests' and urllib3's errors alike
        cause = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
        raise DataError(
            f"Expected to download {slug!r} from Kaggle; {cause}; check the name, the network and the credentials "
            "(KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json), or download it by hand and run `ferrule data use PATH`."
        ) from error
    return use_data(root, Path(folder))


def ensure_data(root: Path) -> str:
    """See that data/ holds what data.dvc pins: from DVC's cache, drawn again if it is the sample, or from a remote.

    Raises WorkflowError where it cannot be had.
    """
    md5 = read_data_md5(root)
    if md5 is None:
        raise WorkflowError("Expected data; there is none; run `ferrule data sample` or `ferrule data use PATH`.")
    if (root / DATA).is_dir():
        if _holds_what_is_pinned(root):
            return f"Data: {md5}."
        raise WorkflowError(
            f"Expected in {DATA}/ what {POINTER} pins ({md5}); other files are there; run `dvc add {DATA}` to go on "
            f"with them, or move {DATA}/ away, and the pinned ones are fetched."
        )
    for command in ("checkout", "pull"):
        try:
            run_dvc(root, command, POINTER)
        except WorkflowError:
            if command == "checkout" and md5 == SAMPLE_MD5:
                return draw_sample_data(root)
        else:
            return f"Data: {md5}, restored by `dvc {command}`."
    raise WorkflowError(
        f"Expected {DATA}/ with what {POINTER} pins ({md5}), but neither DVC's cache nor a remote has it; run "
        "`dvc remote add` and `dvc pull`, or `ferrule data use PATH`."
    )


def _holds_what_is_pinned(root: Path) -> bool:
    """Tell whether data/ is what data.dvc pins; files that DVC's cache has lost are put into it again."""
    md5 = read_data_md5(root)
    if not (root / DATA).is_dir() or md5 is None:
        return False
    printed = run_dvc(root, "status", POINTER, "--json").strip()
    if (
        "not in cache" in printed
    ):  # DVC then says nothing of data/ itself: pin it anew, and see whether that is the same
        pointer = (root / POINTER).read_text()
        run_dvc(root, "--wait-for-lock", "add", DATA)
        if read_data_md5(root) != md5:
            (root / POINTER).write_text(pointer)
            return False
        return True
    return printed.endswith("{}")


def _fresh_draft(root: Path) -> Path:
    draft = root / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    return draft


def _put_in_place(root: Path, draft: Path) -> None:
    """Make `draft` the new data/, and data.dvc its pointer; on any failure the former data/ is back in its place."""
    data, former = root / DATA, root / FORMER
    if data.exists() and not _holds_what_is_pinned(root):
        raise DataError(
            f"Expected in {DATA}/ only what {POINTER} pins, since it is to be replaced; other files are there; move "
            f"them away, or keep them with `dvc add {DATA}`."
        )
    shutil.rmtree(former, ignore_errors=True)
    if data.exists():
        data.rename(former)
    draft.rename(data)
    try:
        run_dvc(root, "--wait-for-lock", "add", DATA)
    except BaseException:
        shutil.rmtree(data)
        if former.exists():
            former.rename(data)
        raise
    shutil.rmtree(former, ignore_errors=True)
