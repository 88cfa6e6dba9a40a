"""Annotated images: a box, a caption and the landmarks of each face, and its 68 points and pose if requested.

Everything is anti-aliased: OpenCV draws the shapes, Pillow's own font the text, and only the pixels under a caption are
blended, so that the cost depends on the number of faces and hardly on the size of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facemodels.attributes import ATTRIBUTES, HEADLINE
from facemodels.errors import ArgumentError
from facemodels.types import Analysis, Box, Face
from facemodels.values import Classification, Pose, readable

Colour = tuple[int, int, int]

# After Okabe and Ito: distinguishable with any kind of colour vision.
COLOURS: dict[str, Colour] = {
    "angry": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happy": (240, 228, 66),
    "sad": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (190, 198, 206),
    "contempt": (86, 180, 233),
}
OTHER_COLOUR: Colour = (232, 232, 232)  # no emotion, or one that is not in the table
DARK: Colour = (20, 22, 26)
LIGHT: Colour = (255, 255, 255)

NOSE = 30  # its tip, of the 68 points
_SHIFT = 4  # OpenCV's fixed point: 1/16 pixel


@dataclass(frozen=True, slots=True)
class Lettering:
    """The words and the letters of captions.

    Attributes:
        words: Labels and doubts (``middle_eastern``, ``blurred``) to what captions say.
        font: Path of a TrueType font that has all their letters; None for Pillow's own, which has those of English.
    """

    words: Callable[[str], str] = readable
    font: str | None = None


ENGLISH = Lettering()


def annotate(image: np.ndarray, faces: Analysis | Iterable[Face], lettering: Lettering = ENGLISH) -> np.ndarray:
    """Draw faces on a copy of their image.

    Each face gets a box in the colour of its emotion and a caption: emotion and score, gender, age with its error,
    ethnicity, its doubts, and the id from a tracker. If requested, its 68 points replace the detector's landmarks, and
    its pose is an arrow from the nose in the direction of the face. Missing values are left out. Captions stay inside
    the image, shrink with the faces, and get shorter where the full text would cover another face.

    Args:
        image: ``(H, W, 3)`` uint8, RGB; not modified. `read_image` makes one from anything else.
        faces: An analysis of this image, or faces with boxes in its pixels.
        lettering: Of the captions.

    Returns:
        A new ``(H, W, 3)`` uint8 array, RGB.

    Raises:
        ArgumentError: If `image` is not such an array, `faces` contains anything but faces, or the analysis is of an
            image of another size.

    Example:
        >>> annotate(np.zeros((48, 64, 3), np.uint8), [Face(Box(10, 10, 40, 40))]).shape
        (48, 64, 3)
    """
    _check_image(image)
    drawn = _checked_faces(faces, image)
    out = np.array(image, order="C")
    canvas = Frame(0, 0, out.shape[1], out.shape[0])
    for face in drawn:
        frame = _visible(face.box, canvas)
        _draw_face(out, face, frame, _colour(face), _line_width(frame, canvas))
    # Captions come last, so that no box runs through them.
    for face, caption in zip(drawn, layout(drawn, canvas.width, canvas.height, lettering), strict=True):
        if caption is not None:
            _draw_caption(out, caption, _colour(face))
    return out


def layout(faces: Sequence[Face], width: int, height: int, lettering: Lettering = ENGLISH) -> list[Caption | None]:
    """Place the captions of faces in an image.

    Args:
        faces: Faces with boxes in pixels of the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        lettering: Of the captions.

    Returns:
        A caption per face, clear of the faces and of the captions before it as far as possible; None if there is
        no text or no room.
    """
    canvas = Frame(0, 0, width, height)
    frames = [_visible(face.box, canvas) for face in faces]
    taken = np.array([frame.corners for frame in frames], np.int64).reshape(-1, 4)
    captions = []
    for index, (face, frame) in enumerate(zip(faces, frames, strict=True)):
        others = np.delete(taken, index, axis=0)
        caption = _best_caption(face, frame, others, canvas, width / (len(faces) + 1), lettering)
        if caption is not None:
            taken = np.concatenate([taken, [caption.frame.corners]])
        captions.append(caption)
    return captions


def _colour(face: Face) -> Colour:
    headline = face.values.get(HEADLINE)
    return COLOURS.get(headline.label, OTHER_COLOUR) if isinstance(headline, Classification) else OTHER_COLOUR


def _check_image(image: object) -> None:
    came = type(image).__name__
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            return
        came = f"a {image.dtype} array of shape {image.shape}"
    raise ArgumentError(f"image must be an RGB uint8 array (H, W, 3), not {came}: facemodels.read_image makes one")


def _checked_faces(faces: object, image: np.ndarray) -> list[Face]:
    if isinstance(faces, Face) or not isinstance(faces, Iterable):
        raise ArgumentError(f"faces must be an Analysis or several Face, not {type(faces).__name__}")
    drawn = list(faces)
    for face in drawn:
        if not isinstance(face, Face):
            raise ArgumentError(f"faces must hold Face, not {type(face).__name__}")
    height, width = image.shape[:2]
    if isinstance(faces, Analysis) and drawn and (faces.width, faces.height) != (width, height):
        raise ArgumentError(
            f"the analysis is of an image of {faces.width} x {faces.height} pixels, this one has {width} x {height}"
        )
    return drawn


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle in whole pixels: its first column and row, and its size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; the last two are just outside."""
        return self.x, self.y, self.x + self.width, self.y + self.height


def _visible(box: Box, canvas: Frame) -> Frame:
    """A face's box in whole pixels, cut to the image and at least one pixel large."""
    x1, y1 = min(max(round(box.x1), 0), canvas.width - 1), min(max(round(box.y1), 0), canvas.height - 1)
    x2, y2 = min(max(round(box.x2), x1 + 1), canvas.width), min(max(round(box.y2), y1 + 1), canvas.height)
    return Frame(x1, y1, x2 - x1, y2 - y1)


def _line_width(frame: Frame, canvas: Frame) -> int:
    return max(1, round(min(max(canvas.width, canvas.height) / 450, frame.width / 30)))


@dataclass(frozen=True, slots=True)
class Caption:
    """Lines of text of one size and font, and the plate they stand on."""

    lines: tuple[str, ...]
    size: int
    frame: Frame
    font: str | None = None


def _texts(face: Face, words: Callable[[str], str]) -> list[tuple[str, ...]]:
    """Candidate texts of a caption, longest first; empty if there is nothing to show."""
    number = "" if face.track_id is None else f"#{face.track_id}"
    label, full = number, [number]
    lines: list[list[str]] = [[], []]  # below the headline: with and without how sure the models are
    short: list[str] = []
    perceived = {name: value for name, value in face.values.items() if name in ATTRIBUTES}
    for name, value in sorted(perceived.items(), key=lambda item: ATTRIBUTES[item[0]].caption):
        kind, line = ATTRIBUTES[name].kind, ATTRIBUTES[name].caption[0]
        if name == HEADLINE:
            label = kind.short_text(value, words)
            full.append(kind.text(value, words))
        else:
            # A label is clear by itself; a number needs its error.
            lines[line > 1].append((kind.text if kind.named else kind.short_text)(value, words))
            if line == 1:
                short.append(kind.short_text(value, words))
    head = "  ".join(filter(None, full))
    doubts = f"({', '.join(map(words, face.doubts))})" if face.doubts else ""
    ladder = [
        (head, ", ".join(lines[0]), ", ".join(lines[1]), doubts),
        (head, ", ".join(short), doubts),
        (head, ", ".join(short)),
        (head,),
        (label,),
    ]
    texts = [tuple(line for line in lines if line) for lines in ladder]
    return [lines for lines in dict.fromkeys(texts) if lines]


def _best_caption(
    face: Face, own: Frame, others: np.ndarray, canvas: Frame, widest: float, lettering: Lettering
) -> Caption | None:
    """The longest caption that fits beside its face; else the one that covers least.

    Args:
        face: The face.
        own: Its frame.
        others: Corners of what should stay free: the other faces and the plates placed so far.
        canvas: The image.
        widest: Width in pixels of the widest plate beside a narrower face, which leaves room for the others.
        lettering: Of the caption.
    """
    texts = _texts(face, lettering.words)
    longest = max(canvas.width, canvas.height)
    legible = max(9, round(longest / 70))
    size = round(min(max(0.115 * own.width, legible), longest / 36 + 6))
    smaller = max(legible, round(0.75 * size))
    smallest = max(8, round(0.6 * legible))
    steps = [(lines, points) for lines in texts for points in dict.fromkeys((size, smaller))]
    steps += [(lines, points) for lines in texts[-1:] for points in range(smaller - 1, smallest - 1, -1)]
    best: tuple[int, Caption] | None = None
    for step, (lines, points) in enumerate(steps):
        wide, high = plate_size(lines, points, lettering.font)
        too_wide = wide > max(1.3 * own.width, widest) and step < len(steps) - 1
        if wide > canvas.width or high > canvas.height or too_wide:
            continue
        frames = _candidates(own, wide, high, canvas)
        over_face = _covered(frames, np.array([own.corners]))
        if wide * high <= 0.2 * own.width * own.height:
            over_face[-1] = 0  # at the foot of a large face a small plate hides little
        covered = over_face + _covered(frames, others)
        least = int(covered.argmin())  # the first of equals
        if best is None or covered[least] < best[0]:
            best = int(covered[least]), Caption(lines, points, frames[least], lettering.font)
        if best[0] == 0:
            break
    return best[1] if best else None


def _candidates(own: Frame, wide: int, high: int, canvas: Frame) -> list[Frame]:
    """Candidate positions of a plate in the image, best first: above, below, right, left, at the foot of the face."""
    gap = _line_width(own, canvas) + 1
    positions = [
        (own.x, own.y - gap - high),
        (own.x, own.y + own.height + gap),
        (own.x + own.width + gap, own.y),
        (own.x - gap - wide, own.y),
        (own.x + gap, own.y + own.height - gap - high),
    ]
    return [
        Frame(min(max(x, 0), canvas.width - wide), min(max(y, 0), canvas.height - high), wide, high)
        for x, y in positions
    ]


def _covered(frames: list[Frame], others: np.ndarray) -> np.ndarray:
    """How many pixels each frame shares with all the others together."""
    corners = np.array([frame.corners for frame in frames])[:, None]
    shared = np.minimum(corners[..., 2:], others[:, 2:]) - np.maximum(corners[..., :2], others[:, :2])
    covered: np.ndarray = shared.clip(0).prod(axis=2).sum(axis=1)
    return covered


@lru_cache(maxsize=64)
def _font(size: int, file: str | None) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def _line_height(size: int) -> int:
    return round(1.25 * size)


def _padding(size: int) -> int:
    return max(2, round(0.3 * size))


@lru_cache(maxsize=1024)
def plate_size(lines: tuple[str, ...], size: int, font: str | None = None) -> tuple[int, int]:
    text = max(math.ceil(_font(size, font).getlength(text)) for text in lines)
    return text + 2 * _padding(size), len(lines) * _line_height(size) + _padding(size)


def _draw_face(out: np.ndarray, face: Face, frame: Frame, colour: Colour, line: int) -> None:
    """The box, the points and the pose, dark-edged so that they stand out on any background."""
    corners = _rounded(frame, min(0.08 * min(frame.width, frame.height), 10 * line))
    if frame.width >= 40:  # on smaller ones the edge would hide the face
        cv2.polylines(out, [corners], True, DARK, line + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(out, [corners], True, colour, line, cv2.LINE_AA, _SHIFT)
    if face.points is not None:
        for x, y in face.points.points:
            _dot(out, x, y, min(max(0.5, frame.width / 160), 2 * line), colour)
    else:
        for x, y in face.landmarks or ():
            _dot(out, x, y, min(max(0.8, frame.width / 80), 3 * line), colour)
    if face.pose is not None:
        x, y = face.points.points[NOSE] if face.points is not None else face.box.centre
        right, down = direction(face.pose, 0.6 * frame.width)
        begin, end = _fixed(x, y), _fixed(x + right, y + down)
        for ink, width in ((DARK, line + 2), (colour, line)):
            cv2.arrowedLine(out, begin, end, ink, width, cv2.LINE_AA, _SHIFT, 0.15)


def direction(pose: Pose, length: float) -> tuple[float, float]:
    """The direction of the nose in the image: pixels to the right and down."""
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
    x, y = math.sin(yaw) * math.cos(pitch), -math.sin(pitch)
    return length * (x * math.cos(roll) - y * math.sin(roll)), length * (x * math.sin(roll) + y * math.cos(roll))


def _draw_caption(out: np.ndarray, caption: Caption, colour: Colour) -> None:
    """A filled plate, dark-edged like the box, and the text on it."""
    frame, size = caption.frame, caption.size
    corners = _rounded(frame, min(0.25 * size, frame.height / 2))
    cv2.fillPoly(out, [corners], colour, cv2.LINE_AA, _SHIFT)
    cv2.polylines(out, [corners], True, DARK, 1, cv2.LINE_AA, _SHIFT)
    alpha = _text_mask(caption.lines, size, frame.width, frame.height, caption.font)
    under = out[frame.y : frame.y + frame.height, frame.x : frame.x + frame.width]
    under[:] = np.rint(under + (np.array(ink_for(colour), np.float32) - under) * alpha)


@lru_cache(maxsize=256)  # a caption stays the same over many frames of a video
def _text_mask(lines: tuple[str, ...], size: int, width: int, height: int, font: str | None) -> np.ndarray:
    """Opacity of the text on a plate, 0..1: ``(height, width, 1)``, read-only."""
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    for row, text in enumerate(lines):
        baseline = _padding(size) / 2 + (row + 0.78) * _line_height(size)
        draw.text((_padding(size), baseline), text, fill=255, font=_font(size, font), anchor="ls")
    alpha: np.ndarray = np.asarray(mask, np.float32)[:, :, None] / 255
    alpha.flags.writeable = False
    return alpha


def ink_for(colour: Colour) -> Colour:
    """Dark or light text, whichever has more contrast on a colour (relative luminance as in WCAG 2)."""
    luminance = float(np.dot((np.array(colour) / 255) ** 2.2, (0.2126, 0.7152, 0.0722)))
    return DARK if (luminance + 0.05) / 0.058 > 1.05 / (luminance + 0.05) else LIGHT


def _dot(out: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
    one, centre = 1 << _SHIFT, _fixed(x, y)
    cv2.circle(out, centre, round((radius + 0.75) * one), DARK, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(out, centre, round(radius * one), colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point numbers, whose pixels have their centres at whole ones."""
    return round((x - 0.5) * (1 << _SHIFT)), round((y - 0.5) * (1 << _SHIFT))


def _rounded(frame: Frame, radius: float) -> np.ndarray:
    """The corners of a rounded rectangle for OpenCV, through the middle of the frame's outer pixels."""
    left, top, right, bottom = frame.x, frame.y, frame.x + frame.width - 1, frame.y + frame.height - 1
    radius = max(0.0, min(radius, (right - left) / 2, (bottom - top) / 2))
    turns = np.linspace(0, math.pi / 2, 7)
    arc = np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius
    quarters = [
        ((right - radius, bottom - radius), arc),
        ((left + radius, bottom - radius), arc[::-1] * (-1, 1)),
        ((left + radius, top + radius), -arc),
        ((right - radius, top + radius), arc[::-1] * (1, -1)),
    ]
    points = np.concatenate([np.array(centre) + offsets for centre, offsets in quarters])
    corners: np.ndarray = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    return corners
