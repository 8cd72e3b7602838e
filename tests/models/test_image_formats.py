"""Names of images mean what they meant when the package was imported."""

import pytest
from PIL import Image

from safe_llava.models.image_formats import format_of_name, is_image_name


@pytest.mark.parametrize("suffix", ["", ".png", ".jpg", ".tif", ".csv", ".heic"])
def test_what_a_process_saves_does_not_change_what_names_mean(suffix, tmp_path, monkeypatch):
    name = f"row{suffix}"
    before = is_image_name(name), format_of_name(name)
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))
    # Pillow takes the suffix of whatever it saves as SPIDER for one of that format.
    Image.new("F", (8, 8)).save(tmp_path / name, format="SPIDER")
    Image.register_extension("SPIDER", suffix)
    assert (is_image_name(name), format_of_name(name)) == before
