"""Images are found where tables say; missing ones are all named; archives can do no harm."""

import zipfile

import pytest

from safe_llava.data.sources import published_images
from safe_llava.data.sources.published_images import ImageFiles
from safe_llava.data.sources.published_tables import PublishedFileError, Record


ROW = Record("table.csv, line 2", {})


def test_an_image_in_a_folder_is_a_path_that_is_read_later(tmp_path, write_images):
    write_images(tmp_path, "a/1.png")
    assert ImageFiles(tmp_path).find(ROW, "a/1.png") == tmp_path / "a" / "1.png"


@pytest.mark.parametrize("archive", ["images.zip", "images.tar"])
def test_an_image_in_an_archive_is_its_bytes_whatever_folder_it_was_packed_with(
    tmp_path, write_archive, encoded_image, archive
):
    write_archive(tmp_path / archive, "some folder/imgs/1.png", "some folder/imgs/2.png")
    images = ImageFiles(tmp_path / archive)
    assert images.find(ROW, "imgs/1.png") == images.find(ROW, "2.png") == encoded_image()
    assert sorted(item.name for item in tmp_path.iterdir()) == [archive]


def test_shadows_that_macos_packs_are_no_images(tmp_path, write_archive, encoded_image):
    write_archive(tmp_path / "a.zip", "imgs/1.png", "__MACOSX/imgs/1.png")
    assert ImageFiles(tmp_path / "a.zip").find(ROW, "imgs/1.png") == encoded_image()


def test_every_missing_image_is_named_with_where_it_was_searched(tmp_path, write_images):
    write_images(tmp_path, "1.png")
    images = ImageFiles(tmp_path)
    for name in ("1.png", "2.png", "3.png"):
        images.find(ROW, name)
    with pytest.raises(PublishedFileError, match=rf"2 images .*{tmp_path}\.\n  2\.png is missing\n  3\.png is"):
        images.require_all()


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer.*git lfs pull"),
        (b"<html>Not found</html>", "is no image"),
        (b"", "is no image"),
    ],
)
def test_files_that_are_no_images_are_named(tmp_path, contents, problem):
    (tmp_path / "1.png").write_bytes(contents)
    images = ImageFiles(tmp_path)
    images.find(ROW, "1.png")
    with pytest.raises(PublishedFileError, match=rf"1\.png {problem}"):
        images.require_all()


def test_an_image_whose_contents_are_of_another_format_than_its_name_is_fine(tmp_path, encoded_image):
    (tmp_path / "1.png").write_bytes(encoded_image("JPEG"))
    images = ImageFiles(tmp_path)
    images.find(ROW, "1.png")
    images.require_all()


def test_an_image_of_another_suffix_is_taken_and_logged(tmp_path, write_images, caplog):
    write_images(tmp_path, "1.webp")
    images = ImageFiles(tmp_path)
    assert images.find(ROW, "1.png") == tmp_path / "1.webp"
    images.require_all()
    assert "1.png -> 1.webp" in caplog.text


def test_the_named_suffix_wins_over_another_one_in_an_earlier_place(tmp_path, write_images):
    write_images(tmp_path, "old/1.webp", "new/1.png")
    assert ImageFiles(tmp_path / "old", tmp_path / "new").find(ROW, "1.png") == tmp_path / "new" / "1.png"


def test_two_images_that_could_be_the_named_one_are_refused(tmp_path, write_images):
    write_images(tmp_path, "1.webp", "1.jpg")
    images = ImageFiles(tmp_path)
    images.find(ROW, "1.png")
    with pytest.raises(PublishedFileError, match=r"1\.png is missing, and 1\.jpg, 1\.webp could all be it"):
        images.require_all()


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/../../b.png", "a\\b.png"])
def test_a_table_cannot_name_an_image_outside_the_folder(tmp_path, name):
    with pytest.raises(PublishedFileError, match=r"table\.csv, line 2: the image .* is no path inside"):
        ImageFiles(tmp_path).find(ROW, name)


@pytest.mark.parametrize("member", ["../1.png", "/1.png", "a/../../1.png"])
@pytest.mark.parametrize("archive", ["a.zip", "a.tar"])
def test_an_archive_with_members_outside_itself_is_refused(tmp_path, write_archive, archive, member):
    write_archive(tmp_path / archive, member)
    with pytest.raises(PublishedFileError, match="leaves the archive"):
        ImageFiles(tmp_path / archive)


def test_members_too_large_for_an_image_are_refused_unread(tmp_path, write_archive, monkeypatch):
    monkeypatch.setattr(published_images, "MAX_IMAGE_BYTES", 10)
    write_archive(tmp_path / "a.zip", "1.png")
    with pytest.raises(PublishedFileError, match=r"'1\.png' has \d+ bytes, too many"):
        ImageFiles(tmp_path / "a.zip")


def test_a_damaged_member_is_refused(tmp_path, write_archive, encoded_image):
    path = tmp_path / "a.zip"
    write_archive(path, "1.png")
    path.write_bytes(path.read_bytes().replace(encoded_image()[20:24], b"????"))
    with pytest.raises(PublishedFileError, match=r"a\.zip: the member '1\.png' cannot be read"):
        ImageFiles(path).find(ROW, "1.png")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(PublishedFileError, match=r"a\.zip: neither a zip nor a tar archive"):
        ImageFiles(tmp_path / "a.zip")


def test_a_member_of_exactly_the_name_wins_over_one_that_ends_so(tmp_path, encoded_image):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", encoded_image(colour="red"))
        archive.writestr("old/1.png", encoded_image())
    assert ImageFiles(tmp_path / "a.zip").find(ROW, "1.png") == encoded_image(colour="red")


def test_two_members_that_could_be_the_named_one_are_refused(tmp_path, encoded_image):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1.png", encoded_image())
        archive.writestr("y/1.png", encoded_image())
    with pytest.raises(PublishedFileError, match=r"'1\.png' could be any of x/1\.png, y/1\.png"):
        ImageFiles(tmp_path / "a.zip").find(ROW, "1.png")
