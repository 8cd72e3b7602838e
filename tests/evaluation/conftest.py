"""Writers of published files, for every test of this folder."""

from tests.published_files import encoded_image, write_archive, write_csv, write_images, write_json


__all__ = ["encoded_image", "write_archive", "write_csv", "write_images", "write_json"]
