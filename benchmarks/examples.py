"""The images and the video that the page offers to visitors who have none: `python -m benchmarks.examples`.

Made from two official portraits of the United States government, which are in the public domain: the astronaut Eileen
Collins (NASA; as `skimage.data.astronaut`) and Rear Admiral Grace Hopper (US Navy, James S. Davis; as Matplotlib's
sample data). Both persons are public figures, and the portraits were made to be published.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.speed import face

TARGET = Path(__file__).parents[1] / "facemodels" / "app" / "examples"
WALL = (203, 196, 184)
VIDEO = (480, 360)  # pixels
RATE, SECONDS = 25, 6
NOTICE = """# Examples

Everything in this folder is in the public domain and was made by `python -m benchmarks.examples` from two portraits:

- Eileen Collins, NASA, about 1993: `astronaut.jpg`
- Grace Hopper, US Navy (James S. Davis), 1984: `admiral.jpg`

`group.jpg`, `clip.mp4` and its first frame, `clip.jpg`, are composed of both. As works of the United States government
they are not subject to copyright in the United States. The persons endorse nothing here.
"""


def admiral() -> Image.Image:
    """Matplotlib's sample photo, 512x600."""
    import matplotlib

    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as picture:
        return picture.convert("RGB")


def group(astronaut: Image.Image, admiral: Image.Image) -> Image.Image:
    """A wall of seven portraits: as they are, mirrored, tilted, dark, without colours and small."""
    one, two = astronaut.crop((60, 0, 380, 320)), admiral.crop((106, 30, 426, 350))
    tiles = [
        (one, 230, 0, (30, 40)),
        (two, 230, 0, (290, 30)),
        (ImageOps.grayscale(ImageOps.mirror(one)).convert("RGB"), 190, -8, (550, 50)),
        (ImageOps.mirror(two), 200, 12, (60, 300)),
        (ImageEnhance.Brightness(one).enhance(0.4), 180, 0, (300, 310)),
        (two, 90, 0, (530, 330)),
        (ImageEnhance.Color(ImageOps.mirror(one)).enhance(0.5), 64, 0, (670, 380)),
    ]
    wall = Image.new("RGB", (800, 540), WALL)
    for portrait, side, angle, corner in tiles:
        framed = ImageOps.expand(portrait.resize((side, side), Image.Resampling.LANCZOS), 6, "#3b3530")
        turned = framed.convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
        wall.paste(turned, corner, turned)
    return wall


def frames(astronaut: Image.Image, admiral: Image.Image) -> Iterator[Image.Image]:
    """A camera that moves from one portrait to the other and back."""
    height = VIDEO[1]
    strip = Image.new("RGB", (820, height), WALL)
    strip.paste(astronaut.crop((40, 0, 412, 372)).resize((height, height)), (20, 0))
    strip.paste(admiral.crop((70, 0, 442, 372)).resize((height, height)), (440, 0))
    for number in range(RATE * SECONDS):
        offset = (1 - np.cos(2 * np.pi * number / (RATE * SECONDS))) / 2 * (strip.width - VIDEO[0])
        yield strip.transform(VIDEO, Image.Transform.AFFINE, (1, 0, offset, 0, 1, 0), Image.Resampling.BILINEAR)


def write(folder: Path) -> None:
    """Write the examples and the notice of their licence."""
    folder.mkdir(parents=True, exist_ok=True)
    one, two = Image.fromarray(face()), admiral()
    one.save(folder / "astronaut.jpg", quality=82, optimize=True)
    two.save(folder / "admiral.jpg", quality=80, optimize=True)
    group(one, two).save(folder / "group.jpg", quality=80, optimize=True)
    with av.open(str(folder / "clip.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "28", "preset": "veryslow"})
        stream.width, stream.height = VIDEO
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(frames(one, two)):
            if number == 0:
                picture.resize((240, 180)).save(folder / "clip.jpg", quality=80, optimize=True)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
    (folder / "README.md").write_text(NOTICE, encoding="utf-8")


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=TARGET, help="default: %(default)s")
    options = parser.parse_args()
    write(options.to)
    for path in sorted(options.to.iterdir()):
        print(f"{path.name:16} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
