"""Crops of the faces, and anonymized copies: parts of tar files in WebDataset's layout.

An image and what it shows have the same key and lie one after the other: ``KEY.json`` names source, frame and face as
the tables do, ``KEY.jpg`` (of a video's copy, ``KEY.mp4``) is the image. Keys hold a hash of where the input lies, so
that no two inputs share one.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.inputs import Item
from facemodels.batch.spool import Content, Spool
from facemodels.crops import cut, face_window
from facemodels.files import write_errors, written_whole
from facemodels.images import SizedImage
from facemodels.privacy import anonymize, thorough
from facemodels.types import Analysis
from facemodels.video.anonymize import anonymize_video

CROPS, ANONYMIZED = "crops", "anonymized"
END = bytes(2 * tarfile.BLOCKSIZE)  # of a tar file

_MARGIN = 0.3  # around the box of a face, as a fraction of its longer side
_LARGEST = 512  # side of a crop in pixels
_STEM = 40  # most characters of a file's name in a key


def key_of(item: Item) -> str:
    """What tells the copies of an input from those of all others."""
    origin = f"{item.location}\0{item.source}".encode("utf-8", "surrogatepass")
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(item.source.partition("#")[2] or item.source).stem)[:_STEM]
    return f"{stem}-{hashlib.blake2b(origin, digest_size=16).hexdigest()}"


def crops(item: Item, pixels: np.ndarray, analysis: Analysis, frame: int | None = None) -> Iterator[bytes]:
    """A part for each face of an image, or of a frame: a square around it, upright as in the image."""
    part = "" if frame is None else f"-{frame:08}"
    height, width = pixels.shape[:2]
    for number, face in enumerate(analysis.scaled(width, height), start=1):
        window = face_window(face.box, margin=_MARGIN, align=False)
        crop = cut(pixels, window, min(_LARGEST, max(1, round(window.width))))
        facts = {"frame": frame, "face": number} if frame is not None else {"face": number}
        yield _pair(f"{key_of(item)}{part}-{number:03}", item, facts, _jpeg(crop))


def anonymized(item: Item, image: SizedImage, analysis: Analysis, analyzer: FaceAnalyzer) -> bytes:
    """A part with the copy of an image; faces below the analyzer's own thresholds are hidden, too."""
    hidden = anonymize(image.pixels, [*analysis, *thorough(analyzer).detect(image)])
    return _pair(key_of(item), item, {}, _jpeg(hidden))


def anonymized_video(item: Item, path: Path, analyzer: FaceAnalyzer, scratch: Path | None, beat: Any) -> Content:
    """A part with the copy of a video.

    Raises:
        FaceModelsError: If it cannot be read or written.
    """
    with TemporaryDirectory(prefix="facemodels-", dir=scratch) as folder, Spool(scratch) as spool:
        copy = Path(folder) / "copy.mp4"
        with closing(anonymize_video(path, copy, analyzer)) as work:
            for _ in work:
                beat()
        key = key_of(item)
        spool.write(_member(f"{key}.json", _facts(item, {})))
        size = copy.stat().st_size
        spool.write(_header(f"{key}.mp4", size))
        with copy.open("rb") as file:
            while data := file.read(2**20):
                spool.write(data)
        spool.write(bytes(-size % tarfile.BLOCKSIZE))
        return spool.finish()


def copy_shard(path: Path, target: Path, without: Collection[str]) -> None:
    """Copy a tar file of such parts, except for those of some sources.

    Raises:
        FaceModelsError: If the copy cannot be written.
    """
    with (
        written_whole(target, overwrite=True) as part,
        write_errors(target),
        tarfile.open(path) as old,
        tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as new,
    ):
        is_wanted = True
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            if member.name.endswith(".json"):
                data = content.read()
                is_wanted = json.loads(data)["source"] not in without
                content = io.BytesIO(data)
            if is_wanted:
                new.addfile(member, content)


def _pair(key: str, item: Item, facts: dict[str, Any], image: bytes) -> bytes:
    return _member(f"{key}.json", _facts(item, facts)) + _member(f"{key}.jpg", image)


def _facts(item: Item, facts: dict[str, Any]) -> bytes:
    return json.dumps({"source": item.source, **facts}).encode()


def _member(name: str, content: bytes) -> bytes:
    """A file with its header, as a member of a tar file."""
    return _header(name, len(content)) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    # Sizes from 8 GiB up go beyond USTAR.
    return member.tobuf(tarfile.USTAR_FORMAT if size < 8**11 else tarfile.GNU_FORMAT)


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", quality=92)
    return stream.getvalue()
