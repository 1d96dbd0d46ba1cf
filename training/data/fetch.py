"""Fetch the art packages with npm, versions pinned, and unpack them."""

import argparse
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One npm package: where it comes from, the folder it goes to, and its licence."""

    name: str
    version: str
    folder: str
    licence: str


PACKAGES = (
    Package("@lobehub/fluent-emoji-3d", "1.1.0", "fluent-emoji-3d", "MIT"),
    Package("@iconify-json/fluent-emoji-flat", "1.2.6", "fluent-emoji-flat", "MIT"),
    Package("@iconify-json/noto", "1.2.9", "noto", "Apache-2.0"),
    Package("emojibase-data", "17.0.0", "emojibase-data", "MIT"),
)


def fetch(folder: Path) -> None:
    """Download every package that is not yet unpacked under `folder`; needs npm on the path."""
    for package in PACKAGES:
        target = folder / package.folder
        if target.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        spec = f"{package.name}@{package.version}"
        packed = subprocess.run(
            ["npm", "pack", "--silent", spec],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        _unpack(folder / packed.stdout.strip().splitlines()[-1], target)
        print(f"{spec} ({package.licence}) -> {target}")


def _unpack(archive: Path, target: Path) -> None:
    """Extract an npm archive without its leading `package/` folder, then delete it."""
    partial = target.with_suffix(".partial")
    with tarfile.open(archive) as packed:
        packed.extractall(partial, filter="data")
    (partial / "package").rename(target)
    partial.rmdir()
    archive.unlink()


def main(arguments: list[str] | None = None) -> None:
    """Command line: fetch all packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/work/packages"))
    fetch(parser.parse_args(arguments).packages)


if __name__ == "__main__":
    main()
