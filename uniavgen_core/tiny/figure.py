"""The parts of a drawn person that do not change their shape: backdrop, body and head."""

from __future__ import annotations

import math

import numpy
from numpy.typing import NDArray

from .canvas import BLACK, BLUSH, CENTRE, SIZE, WHITE, Canvas, Colour, Points, mirror, mix, shadow, smooth_curve
from .hair import draw_front_hair
from .people import HeadShape, Person

MOUTH_Y = 88
"""Row of the closed mouth in everybody's face."""


def draw_background(person: Person) -> Canvas:
    """What is behind the person, in RGB."""
    canvas = Canvas.blank("RGB", person.background)
    second = mix(person.background, WHITE, 0.35)
    sides: Points = [(-4, 86), (SIZE + 4, 52), (SIZE + 4, SIZE + 4), (-4, SIZE + 4)]
    if person.backdrop == "circle":
        canvas.ellipse(CENTRE, 62, 57, 57, second)
    elif person.backdrop == "split":
        canvas.rectangle(-4, 80, SIZE + 4, SIZE + 4, mix(person.background, BLACK, 0.08))
    elif person.backdrop == "slope":
        canvas.polygon(mirror(sides) if person.mirrored else sides, second)
    return canvas


def draw_body(person: Person) -> Canvas:
    """Neck, shoulders and shirt."""
    canvas = Canvas.blank()
    head, shirt = person.head, person.shirt
    neck = 0.42 * head.half_width if person.kind in ("woman", "child") else 0.55 * head.half_width
    top = 117 if person.kind == "child" else 113
    torso = _torso(head.shoulders, neck, top)
    canvas.polygon(torso, shirt)
    _draw_shirt(canvas, person, neck, top)
    throat = [(CENTRE - neck, 92), (CENTRE + neck, 92), (CENTRE + neck, top), (CENTRE, top + 7), (CENTRE - neck, top)]
    if person.collar == "low":
        throat[3] = (CENTRE, top + 13)
    canvas.polygon(throat, person.skin)
    under_chin = Canvas.blank("L", 0)
    under_chin.ellipse(CENTRE, head.chin - 3, neck + 6, 9, 255)
    neck_only = Canvas.blank("L", 0)
    neck_only.polygon(throat, 255)
    under_chin.image.paste(0, mask=neck_only.image.point(lambda value: 255 - value))
    canvas.shade(under_chin, shadow(person.skin, 0.5), 0.85, blur=0.5)
    if person.collar in ("shirt", "jacket"):
        _draw_collar(canvas, mix(shirt, WHITE, 0.5) if person.collar == "shirt" else (244, 244, 240), neck, top)
    return canvas


def _torso(shoulders: float, neck: float, top: float) -> NDArray[numpy.float64]:
    side = [
        (CENTRE - neck, top - 2),
        (CENTRE - neck - 6, top + 1),
        (CENTRE - shoulders + 8, top + 6),
        (CENTRE - shoulders, top + 14),
        (CENTRE - shoulders - 2, SIZE + 6),
    ]
    left = smooth_curve(side, closed=False)
    return numpy.concatenate((left, mirror(left)[::-1]))


def _draw_shirt(canvas: Canvas, person: Person, neck: float, top: float) -> None:
    shirt = person.shirt
    if person.collar == "stripes":
        stripes = Canvas.blank("L", 0)
        for row in range(3):
            y = top + 9 + 7 * row
            stripes.line([(CENTRE - 60, y + 3), (CENTRE, y), (CENTRE + 60, y + 3)], 255, 3)
        stripes.image.paste(0, mask=canvas.image.getchannel("A").point(lambda value: 255 - value))
        canvas.shade(stripes, WHITE, 0.6)
    if person.collar in ("round", "stripes"):
        canvas.ellipse(CENTRE, top, neck + 4, 10, mix(shirt, BLACK, 0.2))
    if person.collar == "jacket":
        canvas.polygon([(CENTRE - neck, top - 2), (CENTRE + neck, top - 2), (CENTRE, SIZE + 12)], (244, 244, 240))
        lapel = [(CENTRE - neck - 2, top - 1), (CENTRE - neck - 12, top + 8), (CENTRE - 4, SIZE + 6)]
        for points in (lapel, mirror(lapel)):
            canvas.polygon(points, mix(shirt, BLACK, 0.2))


def _draw_collar(canvas: Canvas, colour: Colour, neck: float, top: float) -> None:
    wing = [(CENTRE - neck - 2, top - 7), (CENTRE - neck - 5, top + 5), (CENTRE - 6, top + 13), (CENTRE, top + 6)]
    for points in (wing, mirror(wing)):
        canvas.polygon(points, colour)
        canvas.line([points[1], points[2], points[3]], mix(colour, BLACK, 0.18), 0.7)


def face_outline(head: HeadShape, grow: float = 0) -> NDArray[numpy.float64]:
    """The face's edge as a polygon (N, 2): an ellipse above, a superellipse with a taper below."""
    angles = numpy.linspace(0, 2 * math.pi, 120, endpoint=False)
    across, up = numpy.cos(angles), numpy.sin(angles)
    below = up < 0
    power = numpy.where(below, 2 / head.jaw, 1.0)
    x = numpy.sign(across) * numpy.abs(across) ** power
    y = numpy.sign(up) * numpy.abs(up) ** power
    x = x * (1 - head.taper * numpy.clip(-y, 0, 1) ** 1.6)
    reach = numpy.where(below, head.chin - head.middle, head.middle - head.top) + grow
    return numpy.stack((CENTRE + x * (head.half_width + grow), head.middle - y * reach), axis=1)


def draw_head(person: Person) -> tuple[Canvas, Canvas]:
    """The head with its hair but without eyes, brows and mouth.

    Returns:
        The picture in RGBA, and in mode L where the face's skin is: its oval without hair and neck.
    """
    canvas, mask = Canvas.blank(), Canvas.blank("L", 0)
    _draw_ears(canvas, person)
    outline = face_outline(person.head)
    canvas.polygon(outline, person.skin)
    mask.polygon(outline, 255)
    _shade_face(canvas, mask, person)
    _draw_beard(canvas, person)
    _draw_nose(canvas, person)
    _draw_wrinkles(canvas, person)
    hair = draw_front_hair(person)
    canvas.image.alpha_composite(hair.image)
    mask.image.paste(0, mask=hair.image.getchannel("A"))
    return canvas, mask


def _draw_ears(canvas: Canvas, person: Person) -> None:
    head = person.head
    for side in (-1, 1):
        x, y = CENTRE + side * (head.half_width + 0.5), head.eye_y + 6
        canvas.ellipse(x, y, 4.6, 7.2, person.skin)
        canvas.ellipse(x + side * 0.6, y, 2.4, 4.4, shadow(person.skin))


def _shade_face(canvas: Canvas, face: Canvas, person: Person) -> None:
    """A soft shadow along one side and under the chin, cheeks, and light on the forehead."""
    head = person.head
    lit = face_outline(head) - (3.2, 3.4)
    side = Canvas(face.image.copy())
    side.polygon(lit, 0)
    canvas.shade(side, shadow(person.skin), 0.75, blur=0.8)
    rosy = {"child": 0.62, "woman": 0.42}.get(person.kind, 0.26)
    for direction in (-1, 1):
        cheek = Canvas.blank("L", 0)
        cheek.ellipse(CENTRE + direction * (head.half_width - 10), head.nose_y + 3.5, 6.2, 4.4, 255)
        canvas.shade(cheek, BLUSH, rosy, blur=1.2)
    light = Canvas.blank("L", 0)
    light.ellipse(CENTRE - 9, head.top + 15, 12, 6, 255)
    canvas.shade(light, WHITE, 0.22, blur=2)


def _draw_nose(canvas: Canvas, person: Person) -> None:
    size, y = person.head.nose_size, person.head.nose_y
    tone = shadow(person.skin, 0.34)
    if person.kind in ("man", "grandfather"):
        bridge = [(CENTRE + 1.2, y - 11), (CENTRE + 3.0 * size, y - 1), (CENTRE + 4.8 * size, y + 1.5), (CENTRE, y + 2)]
        canvas.blob(bridge, shadow(person.skin, 0.2))
    canvas.ellipse(CENTRE, y, 5.0 * size, 3.2 * size, tone)
    canvas.ellipse(CENTRE, y - 1.1, 4.5 * size, 2.7 * size, mix(person.skin, BLUSH, 0.16))
    canvas.ellipse(CENTRE - 1.3 * size, y - 2 * size, 1.5 * size, 0.9 * size, mix(person.skin, WHITE, 0.5))


def _draw_beard(canvas: Canvas, person: Person) -> None:
    if person.beard not in ("stubble", "short", "full", "goatee"):
        return
    head = person.head
    area = Canvas.blank("L", 0)
    if person.beard == "goatee":
        area.blob([(54, 93), (64, 91), (74, 93), (74, 104), (64, head.chin + 4), (54, 104)], 255)
    else:
        _fill_beard(area, head, {"stubble": 0.0, "short": 1.2, "full": 4.5}[person.beard])
    if person.beard == "stubble":
        canvas.shade(area, mix(person.hair, (92, 84, 88), 0.5), 0.3, blur=0.7)
        return
    canvas.image.paste(person.hair, mask=area.image)
    if person.beard == "full":
        for x in (50, 57, 71, 78):
            strand = [(x, 98), (x + (CENTRE - x) * 0.1, 103), (x + (CENTRE - x) * 0.3, 107)]
            canvas.line(strand, mix(person.hair, BLACK if sum(person.hair) > 300 else WHITE, 0.12), 0.8)


def _fill_beard(area: Canvas, head: HeadShape, grow: float) -> None:
    """Jaw and chin below a line from the ears around the mouth."""
    edge = face_outline(head, grow)
    jaw = edge[edge[:, 1] > head.eye_y + 8]
    left, right = CENTRE - head.half_width, CENTRE + head.half_width
    inner = [
        (left - 1, head.eye_y + 6),
        (left + 5, head.eye_y + 14),
        (left + 10, MOUTH_Y - 4),
        (52, MOUTH_Y - 7),
        (64, MOUTH_Y - 6.5),
        (76, MOUTH_Y - 7),
        (right - 10, MOUTH_Y - 4),
        (right - 5, head.eye_y + 14),
        (right + 1, head.eye_y + 6),
    ]
    jaw = jaw[numpy.argsort(numpy.arctan2(jaw[:, 1] - head.middle, jaw[:, 0] - CENTRE))]
    area.polygon(numpy.concatenate((smooth_curve(inner, closed=False), jaw)), 255)


def _draw_wrinkles(canvas: Canvas, person: Person) -> None:
    if person.kind != "grandfather":
        return
    head, tone = person.head, shadow(person.skin, 0.36)
    for row, reach in ((0, 13), (1, 10)):
        y = head.top + 19 - 5 * row
        canvas.line([(CENTRE - reach, y + 1), (CENTRE, y - 0.6), (CENTRE + reach, y + 1)], tone, 0.9)
    fold = [(CENTRE - 9, head.nose_y - 1), (CENTRE - 14, head.nose_y + 5), (CENTRE - 16, head.nose_y + 11)]
    bag = [(CENTRE - 19, head.eye_y + 6), (CENTRE - 14, head.eye_y + 8), (CENTRE - 9, head.eye_y + 6.5)]
    foot = [(CENTRE - 23, head.eye_y + 1), (CENTRE - 27, head.eye_y + 3)]
    for points in (fold, bag, foot):
        for side in (numpy.asarray(points), mirror(points)):
            canvas.line(side, tone, 0.9)
