"""The art: three drawings of each subject, rendered once and packed into one small archive."""

import argparse
import io
import json
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.subjects import SUBJECTS_FILE, Subject, read_subjects

STYLES = ("3d", "flat", "cartoon")
SPRITE_PX = 128
_RENDER_PX = 256


@dataclass(frozen=True)
class Art:
    """The drawings of some subjects.

    sprites: uint8 [subjects, styles, 4, SPRITE_PX, SPRITE_PX], RGBA with straight alpha.
    """

    subjects: tuple[Subject, ...]
    sprites: np.ndarray


def prepare(packages: Path, archive: Path, only: frozenset[str] | None = None) -> None:
    """Render the drawings of every subject (or of the codes in `only`) and write the archive."""
    subjects = [s for s in read_subjects(SUBJECTS_FILE) if only is None or s.code in only]
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(_Renderer(packages), (s.code for s in subjects), chunksize=180))
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        out.writestr("codes.json", json.dumps([s.code for s in subjects]))
        for subject, pictures in zip(subjects, drawn, strict=True):
            for style, data in zip(STYLES, pictures, strict=True):
                out.writestr(f"{subject.code}.{style}.webp", data)


def load(archive: Path) -> Art:
    """Read an archive written by `prepare`."""
    with zipfile.ZipFile(archive) as packed:
        codes = json.loads(packed.read("codes.json"))
        known = {s.code: s for s in read_subjects(SUBJECTS_FILE)}
        sprites = np.stack([[_decode(packed.read(f"{c}.{s}.webp")) for s in STYLES] for c in codes])
    return Art(tuple(known[c] for c in codes), sprites)


class _Renderer:
    """Draws one subject in all styles; the parsed packages are kept between calls."""

    def __init__(self, packages: Path) -> None:
        self.packages = packages
        assets = (packages / "fluent-emoji-3d" / "assets").iterdir()
        self.glossy = {path.stem.replace("-fe0f", ""): path for path in assets}
        self.icons: dict[str, _IconSet] = {}

    def __call__(self, code: str) -> tuple[bytes, ...]:
        return (
            _encode(Image.open(self.glossy[code]).convert("RGBA")),
            _encode(self._svg("fluent-emoji-flat", code)),
            _encode(self._svg("noto", code)),
        )

    def _svg(self, package: str, code: str) -> Image.Image:
        if package not in self.icons:
            self.icons[package] = _IconSet(self.packages / package)
        return self.icons[package].draw(code)


class _IconSet:
    """One Iconify package: SVG bodies by name, names by code point."""

    def __init__(self, folder: Path) -> None:
        self.icons = json.loads((folder / "icons.json").read_text())
        chars = json.loads((folder / "chars.json").read_text())
        self.names = {k.replace("-fe0f", ""): v for k, v in chars.items()}

    def draw(self, code: str) -> Image.Image:
        import resvg_py  # needed to prepare the art, not to train on it

        name = self.names[code]
        icon = self.icons["icons"].get(name)
        icon = icon or self.icons["icons"][self.icons["aliases"][name]["parent"]]
        width = icon.get("width", self.icons.get("width", 16))
        height = icon.get("height", self.icons.get("height", 16))
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' viewBox="0 0 {width} {height}" width="{_RENDER_PX}" height="{_RENDER_PX}">'
            f"{icon['body']}</svg>"
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=_RENDER_PX, height=_RENDER_PX)
        return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _encode(picture: Image.Image) -> bytes:
    """Centre on a square, shrink to SPRITE_PX (Pillow premultiplies), then lossless WebP."""
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    small = square.resize((SPRITE_PX, SPRITE_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", lossless=True, method=4)
    return out.getvalue()


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).transpose(2, 0, 1)


def main(arguments: list[str] | None = None) -> None:
    """Command line: prepare the archive from fetched packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/work/packages"))
    parser.add_argument("--out", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--only", nargs="*", help="code points to keep; all without")
    options = parser.parse_args(arguments)
    prepare(options.packages, options.out, frozenset(options.only) if options.only else None)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
