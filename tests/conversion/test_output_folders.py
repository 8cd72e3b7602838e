"""An empty folder is converted into, however it is named."""

import pytest

from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.miniature import CHECKPOINT


@pytest.mark.parametrize("name", ["a link", "."])
def test_an_empty_folder_may_be_a_link_or_the_one_we_stand_in(name, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    convert_llava_checkpoint(CHECKPOINT, "." if name == "." else tmp_path / "link")
    assert (folder / "config.json").is_file()
    assert (tmp_path / "link").is_symlink()
