import hashlib
from dataclasses import replace

import pytest

from recipes.smol.fetch_packages import fetch, read_packages


def test_each_package_names_its_licence_and_digest():
    for package in read_packages():
        assert package.registry in ("npm", "pypi") and package.licence and len(package.sha256) == 64


def test_what_is_there_is_not_fetched_again(tmp_path):
    package = replace(read_packages()[0], sha256=hashlib.sha256(b"archive").hexdigest())
    (tmp_path / package.file).write_bytes(b"archive")
    assert fetch(package, tmp_path).read_bytes() == b"archive"


@pytest.mark.parametrize("registry", ["npm", "pypi"])
def test_an_archive_with_another_digest_is_refused_by_name(registry, tmp_path):
    package = next(each for each in read_packages() if each.registry == registry)
    (tmp_path / package.file).write_bytes(b"another")
    with pytest.raises(ValueError, match=package.file):
        fetch(package, tmp_path)
