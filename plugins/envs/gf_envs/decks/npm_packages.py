"""Files of pinned npm packages, for the scripts that make decks: nothing is downloaded, and no other version is read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError


@dataclass(frozen=True)
class Package:
    """A package as ``npm pack NAME@VERSION`` writes it.

    Attributes:
        name: in npm's registry.
        version: exact.
        archive: file name of the tarball.
        sha256: hex SHA-256 of the tarball.
    """

    name: str
    version: str
    archive: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}, SHA-256 {self.sha256}"


TWEMOJI = Package(
    "@twemoji/svg",
    "15.0.0",
    "twemoji-svg-15.0.0.tgz",
    "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3",
)
ANNOTATIONS = Package(
    "cldr-annotations-modern",
    "45.0.0",
    "cldr-annotations-modern-45.0.0.tgz",
    "5f5ffa422353fa992b5932824f343bd247c325f99326cb0e353ffc851bc1c32b",
)
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "emojibase-data-17.0.0.tgz",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)


def read_members(folder: Path, package: Package, members: Iterable[str]) -> list[str]:
    """The text of files of a package, by their paths within it.

    Raises:
        GrinningFaceError: the tarball isn't in the folder or isn't the pinned one, or lacks a file.
    """
    file = folder / package.archive
    hint = f"npm pack {package.name}@{package.version}"
    if not file.is_file() or sha256(file.read_bytes()) != package.sha256:
        raise GrinningFaceError(f"this isn't {package}", where=str(file), hint=hint)
    texts = []
    with tarfile.open(file) as archive:
        for member in members:
            try:
                opened = archive.extractfile(f"package/{member}")
            except KeyError as error:
                raise GrinningFaceError(f"{package.name} has no file {member}", where=str(file)) from error
            if opened is None:
                raise GrinningFaceError(f"{member} isn't a file", where=str(file))
            texts.append(opened.read().decode())
    return texts
