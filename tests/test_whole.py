"""Files and folders that are there complete or not at all."""

from pathlib import Path

import pytest

from retcap.files.whole import replacing, replacing_folder


def below(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("several", [False, True])
def test_a_file_is_replaced_by_a_finished_one_alone(tmp_path: Path, several: bool):
    file = tmp_path / "made/a.txt"

    def write(text: str, error: Exception | None = None) -> None:
        with replacing(file, several=several) as partial:
            assert (partial.parent, partial.suffix) == (file.parent, ".txt")
            partial.write_text(text)
            if error:
                raise error

    write("1")
    with pytest.raises(OSError, match="full"):
        write("2", OSError("the disk is full"))
    assert below(tmp_path) == {"made/a.txt": "1"}


def test_a_folder_is_replaced_by_a_finished_one_alone(tmp_path: Path):
    folder = tmp_path / "made/model"

    def write(text: str, name: str, error: Exception | None = None) -> None:
        with replacing_folder(folder) as partial:
            assert not partial.exists()
            partial.mkdir()
            (partial / name).write_text(text)
            if error:
                raise error

    write("1", "a")
    with pytest.raises(OSError, match="full"):
        write("2", "b", OSError("the disk is full"))
    assert below(tmp_path) == {"made/model/a": "1"}
    write("3", "c")
    assert below(tmp_path) == {"made/model/c": "3"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path):
    with replacing_folder(tmp_path / "model") as partial:
        partial.mkdir()
        left = [partial, partial.with_name(".model.old")]
    for folder in left:
        folder.mkdir()
        (folder / "half").write_text("")
    with replacing_folder(tmp_path / "model") as partial:
        partial.mkdir()
        (partial / "whole").write_text("")
    assert below(tmp_path) == {"model/whole": ""}
