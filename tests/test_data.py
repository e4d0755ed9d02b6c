"""Raw data in the project: drawn, used, replaced, restored, and pushed to and pulled from real remotes."""

import hashlib
import shutil
import subprocess

import pytest
from conftest import REPOSITORY

from ferrule.errors import DataError, WorkflowError
from flows.data import SAMPLE_MD5, draw_sample_data, ensure_data, fetch_kaggle_data, use_data
from flows.project import enter_project, run_dvc
from pipelines.pins import read_data_md5


@pytest.fixture
def project(tmp_path):
    """Give a project without data and without git."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text() + "    no_scm = true\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


@pytest.fixture
def csv(tmp_path):
    """Give a maker of a small fer2013.csv outside the project."""

    def make(grey: int = 7, rows: int = 3):
        path = tmp_path / f"mine-{grey}" / "fer2013.csv"
        path.parent.mkdir(exist_ok=True)
        pixels = " ".join([str(grey)] * 2304)
        path.write_text("emotion,pixels,Usage\n" + f"3,{pixels},Training\n" * rows)
        return path

    return make


def digests(folder):
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def forget(project):
    """Lose data/ and DVC's cache, as a fresh clone has neither."""
    shutil.rmtree(project / "data")
    shutil.rmtree(project / ".dvc" / "cache", ignore_errors=True)
    shutil.rmtree(project / ".dvc" / "tmp", ignore_errors=True)


def test_the_sample_is_what_git_pins_and_is_drawn_again_in_a_fresh_clone(project):
    assert SAMPLE_MD5 in draw_sample_data(project)
    assert read_data_md5(project) == SAMPLE_MD5 == read_data_md5(REPOSITORY)
    assert "already" in draw_sample_data(project)
    forget(project)
    assert SAMPLE_MD5 in ensure_data(project)
    assert (project / "data" / "fer2013.csv").is_file()


def test_other_data_is_never_replaced_by_the_sample_unasked(project, csv):
    use_data(project, csv())
    before = digests(project / "data")
    with pytest.raises(DataError, match="--replace"):
        draw_sample_data(project)
    assert digests(project / "data") == before
    draw_sample_data(project, replace=True)
    assert read_data_md5(project) == SAMPLE_MD5


def test_used_data_is_copied_said_and_pinned(project, csv):
    source = csv(rows=5)
    said = use_data(project, source)
    assert "fer2013.csv" in said
    assert "5 rows" in said
    assert (project / "data" / "fer2013.csv").read_bytes() == source.read_bytes()
    source.write_text("changed later")
    assert (project / "data" / "fer2013.csv").read_text() != "changed later"


def test_what_cannot_be_used_leaves_everything_as_it_was(project, csv, tmp_path):
    use_data(project, csv())
    pointer, before = (project / "data.dvc").read_text(), digests(project / "data")
    (tmp_path / "notes.txt").write_text("no data here")
    for source in (tmp_path / "notes.txt", tmp_path / "missing"):
        with pytest.raises(DataError):
            use_data(project, source)
    assert (project / "data.dvc").read_text() == pointer
    assert digests(project / "data") == before
    assert not list(project.glob(".data.*"))


def test_a_table_without_rows_does_not_replace_data(project, csv):
    use_data(project, csv())
    before = digests(project / "data")
    with pytest.raises(DataError, match="nothing else"):
        use_data(project, csv(grey=9, rows=0))
    assert digests(project / "data") == before


def test_a_cache_that_lost_files_is_mended_from_the_data(project, csv):
    use_data(project, csv())
    before = digests(project / "data")
    shutil.rmtree(project / ".dvc" / "cache")
    assert "Data:" in ensure_data(project)
    assert digests(project / "data") == before
    shutil.rmtree(project / ".dvc" / "cache")
    (project / "data" / "fer2013.csv").write_text("changed by hand")
    pointer = (project / "data.dvc").read_text()
    with pytest.raises(WorkflowError, match="other files are there"):
        ensure_data(project)
    assert (project / "data" / "fer2013.csv").read_text() == "changed by hand"
    assert (project / "data.dvc").read_text() == pointer


def test_a_failure_while_pinning_puts_the_former_data_back(project, csv):
    use_data(project, csv(grey=7))
    before = digests(project / "data")
    (project / ".dvc" / "config").write_text("[core\n")  # DVC cannot read this
    with pytest.raises(WorkflowError):
        use_data(project, csv(grey=8))
    assert digests(project / "data") == before


def test_former_data_comes_back_from_the_cache(project, csv):
    use_data(project, csv(grey=7))
    pointer, before = (project / "data.dvc").read_text(), digests(project / "data")
    use_data(project, csv(grey=8))
    (project / "data.dvc").write_text(pointer)
    shutil.rmtree(project / "data")
    assert "dvc checkout" in ensure_data(project)
    assert digests(project / "data") == before


def test_files_that_nothing_pins_are_never_lost_nor_used_under_a_false_md5(project, csv):
    (project / "data").mkdir()
    (project / "data" / "mine.csv").write_text("mine")
    for change in (lambda: draw_sample_data(project), lambda: use_data(project, csv())):
        with pytest.raises(DataError, match="dvc add data"):
            change()
    shutil.rmtree(project / "data")
    use_data(project, csv())
    (project / "data" / "fer2013.csv").write_text("changed by hand")
    with pytest.raises(WorkflowError, match="other files are there"):
        ensure_data(project)
    assert (project / "data" / "fer2013.csv").read_text() == "changed by hand"


@pytest.mark.parametrize("content", ["", "outs: 3", "outs: []", "<<<<<<< ours\nouts:"])
def test_a_broken_pointer_is_one_sentence(content, project):
    (project / "data.dvc").write_text(content)
    with pytest.raises(WorkflowError, match=r"git checkout data\.dvc"):
        ensure_data(project)


def test_local_settings_of_dvc_are_kept_without_git(project, monkeypatch):
    settings = project / ".dvc" / "config.local"
    settings.write_text("['remote \"store\"']\n    access_key_id = secret\n")
    monkeypatch.chdir(project)
    for _ in range(2):
        enter_project()
    assert "access_key_id = secret" in settings.read_text()
    assert settings.read_text().count("no_scm") == 1


def test_data_that_cannot_be_had_is_one_sentence(project, csv):
    with pytest.raises(WorkflowError, match="ferrule data sample"):
        ensure_data(project)
    use_data(project, csv())
    forget(project)
    with pytest.raises(WorkflowError, match="dvc remote add"):
        ensure_data(project)


def push_forget_pull(project, remote, **settings):
    run_dvc(project, "remote", "add", "--force", "--default", "store", remote)
    for name, value in settings.items():
        run_dvc(project, "remote", "modify", "store", name, value)
    run_dvc(project, "push")
    forget(project)
    return ensure_data(project)


def test_a_folder_as_remote_gives_the_same_bytes_back(project, csv, tmp_path):
    use_data(project, csv())
    before = digests(project / "data")
    assert "dvc pull" in push_forget_pull(project, str(tmp_path / "remote"))
    assert digests(project / "data") == before


@pytest.mark.slow
def test_s3_as_remote_gives_the_same_bytes_back(project, csv, monkeypatch):
    moto = pytest.importorskip("moto.server", reason="needs the dev extra")
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="ferrule")
        use_data(project, csv())
        before = digests(project / "data")
        assert "dvc pull" in push_forget_pull(project, "s3://ferrule/store", endpointurl=address, region="us-east-1")
        assert digests(project / "data") == before
    finally:
        server.stop()


def test_kaggle_without_its_extra_names_the_extra(project, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"\[kaggle\]"):
        fetch_kaggle_data(project, "msambare/fer2013")


@pytest.mark.parametrize("slug", ["msambare/fer2013", "challenges-in-representation-learning", "no such name!"])
def test_kaggle_out_of_reach_is_one_sentence(slug, project, monkeypatch, tmp_path):
    pytest.importorskip("kagglehub", reason="needs the kaggle extra")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="Expected to download"):
        fetch_kaggle_data(project, slug)
    assert not (project / "data").exists()


def test_data_in_a_git_checkout_is_ignored_by_git(project, csv):
    (project / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text())
    (project / ".gitignore").write_text((REPOSITORY / ".gitignore").read_text())
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    use_data(project, csv())
    seen = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True)
    assert "data.dvc" in seen.stdout
    assert "data/" not in seen.stdout
    assert (project / ".gitignore").read_text() == (REPOSITORY / ".gitignore").read_text()
