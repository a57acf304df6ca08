"""Synthetic pictures of coloured shapes, the data of the shapes detector.

`generate(seed, index)` draws picture `index` of the endless set `seed`. Everything is integer arithmetic on numbers from
SplitMix64, so a picture is the same to the last bit on every machine and with every numpy version. Drawing is done on a
grid SUBSAMPLES times finer than the picture and averaged down. Lengths are in units of 1/SIDE of the picture's side, so a
scene can be drawn at any size: only the pixel noise, drawn last, depends on it.
"""

import math

import numpy as np

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "ring", "crescent", "arrow")
COLOURS = {
    "red": (215, 40, 40),
    "orange": (245, 135, 25),
    "yellow": (240, 225, 50),
    "green": (40, 165, 60),
    "cyan": (60, 215, 225),
    "blue": (40, 70, 215),
    "purple": (130, 40, 165),
    "pink": (250, 140, 190),
    "white": (240, 240, 240),
    "black": (18, 18, 18),
}
CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)  # label = shape * len(COLOURS) + colour

# The detector's input: pictures of SIZE_PX x SIZE_PX, (pixel * SCALE - MEAN) / STD per channel.
SIZE_PX = 192
SCALE = 1 / 255
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)

SUBSAMPLES = 3
MIN_SIZE_PX = 32  # below it a shape can fall between the grid's points

TRAINING_SEED = 1
VALIDATION_SEED = 2
VALIDATION_COUNT = 200
EXAMPLE_SEED, EXAMPLE_INDEX, EXAMPLE_SIZE_PX = 3, 30, 480  # example.png

SIDE = 1 << 14
MIN_VISIBLE_PERCENT = 60  # of a shape's area that later shapes leave uncovered
COLOUR_JITTER = 18
NOISE = 10

_LOCAL = 1 << 12  # a shape's own frame spans -_LOCAL.._LOCAL in both directions
_TURN = 256  # angle steps in a full turn
_COSINES = [round(SIDE * math.cos(2 * math.pi * step / _TURN)) for step in range(_TURN)]


class Draws:
    """SplitMix64 (Steele, Lea and Flood, 2014), started from a seed and a picture index."""

    _MASK = (1 << 64) - 1
    _STEP = 0x9E3779B97F4A7C15

    def __init__(self, seed, index):
        self._state = seed & self._MASK
        self._state = (self.bits() + index) & self._MASK
        self._state = self.bits()

    def bits(self):
        """The next 64 bits."""
        self._state = (self._state + self._STEP) & self._MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self._MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self._MASK
        return z ^ (z >> 31)

    def between(self, low, high):
        """An integer in low..high, both included."""
        return low + (self.bits() * (high - low + 1) >> 64)

    def bytes(self, count):
        """The next `count` bytes as a uint8 array, eight from each 64 bits, low byte first."""
        words = (count + 7) // 8
        z = np.uint64(self._state) + np.arange(1, words + 1, dtype=np.uint64) * np.uint64(self._STEP)
        self._state = (self._state + words * self._STEP) & self._MASK
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return z.astype("<u8").view(np.uint8)[:count]


def _vertices(*points):
    return [(_LOCAL * x // 100, _LOCAL * y // 100) for x, y in points]


_POLYGONS = {
    "triangle": _vertices((0, -100), (95, 80), (-95, 80)),
    "star": [
        (_COSINES[(step * 256 // 10 - 64) % _TURN] * radius // SIDE, _COSINES[(step * 256 // 10 - 128) % _TURN] * radius // SIDE)
        for step, radius in zip(range(10), (_LOCAL, _LOCAL * 42 // 100) * 5)
    ],
    "arrow": _vertices((100, 0), (15, -80), (15, -30), (-100, -30), (-100, 30), (15, 30), (15, 80)),
}


def _in_polygon(u, v, vertices):
    """Even-odd rule."""
    inside = np.zeros(u.shape, bool)
    for (x1, y1), (x2, y2) in zip(vertices, vertices[1:] + vertices[:1]):
        if y1 == y2:
            continue
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        inside ^= (v >= y1) & (v < y2) & ((u - x1) * (y2 - y1) < (x2 - x1) * (v - y1))
    return inside


def _in_shape(shape, u, v):
    """Whether points (u, v) of a shape's own frame (int32, y down) lie inside it."""
    if shape in _POLYGONS:
        return _in_polygon(u, v, _POLYGONS[shape])
    if shape == "square":
        return (np.abs(u) <= _LOCAL * 85 // 100) & (np.abs(v) <= _LOCAL * 85 // 100)
    if shape == "diamond":
        return np.abs(u) * 3 // 2 + np.abs(v) <= _LOCAL
    if shape == "cross":
        arm = _LOCAL * 30 // 100
        a, b = np.abs(u), np.abs(v)
        return ((a <= arm) & (b <= _LOCAL)) | ((b <= arm) & (a <= _LOCAL))
    inside = u * u + v * v <= _LOCAL * _LOCAL
    if shape == "ring":
        hole = _LOCAL * 55 // 100
        inside &= u * u + v * v > hole * hole
    elif shape == "crescent":
        bite, shift = _LOCAL * 80 // 100, _LOCAL * 50 // 100
        inside &= (u - shift) ** 2 + v * v > bite * bite
    return inside


def _rasterise(grid, shape, x, y, half_width, half_height, turn):
    """The part of a grid x grid raster that a shape touches: its row slice, its column slice and the mask within them."""
    reach = math.isqrt(half_width**2 + half_height**2)
    rows, columns = (
        slice(max(0, (centre - reach) * grid // SIDE), max(0, min(grid, (centre + reach) * grid // SIDE + 1)))
        for centre in (y, x)
    )
    dx, dy = (
        ((2 * np.arange(span.start, span.stop, dtype=np.int32) + 1) * (SIDE // 2) // grid - centre).astype(np.int32)
        for span, centre in ((columns, x), (rows, y))
    )
    cosine, sine = _COSINES[turn % _TURN], _COSINES[(turn - _TURN // 4) % _TURN]
    shift = SIDE // _LOCAL
    u = (dx[None, :] * cosine + dy[:, None] * sine) // shift // half_width
    v = (dy[:, None] * cosine - dx[None, :] * sine) // shift // half_height
    return rows, columns, _in_shape(shape, u, v)


def _background(draws, size):
    """A muted four-corner gradient, int32."""
    grey = draws.between(75, 170)
    corners = [[grey + draws.between(-28, 28) for _ in range(3)] for _ in range(4)]
    top_left, top_right, bottom_left, bottom_right = np.array(corners, np.int32)
    right = np.arange(size, dtype=np.int32)[None, :, None]
    down = np.arange(size, dtype=np.int32)[:, None, None]
    left, up = size - 1 - right, size - 1 - down
    blended = (top_left * left + top_right * right) * up + (bottom_left * left + bottom_right * right) * down
    return blended // (size - 1) ** 2


def _clutter(draws, canvas, count):
    """Unlabelled things: thin strokes of any colour, and patches of the background's kind of grey."""
    for _ in range(count):
        x, y, turn = draws.between(0, SIDE), draws.between(0, SIDE), draws.between(0, _TURN - 1)
        if draws.between(0, 2):
            colour = [draws.between(0, 255) for _ in range(3)]
            half_width, half_height = SIDE * draws.between(5, 40) // 100, SIDE * draws.between(3, 9) // 1000
        else:
            grey = draws.between(70, 180)
            colour = [grey + draws.between(-12, 12) for _ in range(3)]
            half_width, half_height = SIDE * draws.between(4, 20) // 100, SIDE * draws.between(4, 20) // 100
        shape = SHAPES[draws.between(0, len(SHAPES) - 1)] if half_height > SIDE // 50 else "square"
        rows, columns, mask = _rasterise(len(canvas), shape, x, y, half_width, half_height, turn)
        canvas[rows, columns][mask] = colour


def _shapes(draws, canvas, count):
    """Draws `count` labelled shapes, later ones over earlier ones; those that would hide another are left out."""
    grid = len(canvas)
    owners = np.full((grid, grid), -1, np.int16)
    areas, visible, boxes, labels = [], [], [], []
    palette = list(COLOURS.values())
    for _ in range(count):
        label = draws.between(0, len(CLASSES) - 1)
        shape, colour = divmod(label, len(COLOURS))
        radius = (500 + 2000 * draws.between(0, 1000) ** 2 // 1000**2) * SIDE // 10000
        half_width, half_height = radius * draws.between(80, 100) // 100, radius * draws.between(80, 100) // 100
        x, y = (draws.between(radius * 4 // 5, SIDE - radius * 4 // 5) for _ in range(2))
        turn = draws.between(-16, 16)
        jittered = [min(255, max(0, c + draws.between(-COLOUR_JITTER, COLOUR_JITTER))) for c in palette[colour]]

        rows, columns, mask = _rasterise(grid, SHAPES[shape], x, y, half_width, half_height, turn)
        covered = owners[rows, columns][mask]
        hidden = np.bincount(covered[covered >= 0], minlength=len(areas))
        if any(100 * (v - h) < MIN_VISIBLE_PERCENT * a for v, h, a in zip(visible, hidden, areas)):
            continue
        visible = [v - int(h) for v, h in zip(visible, hidden)]
        owners[rows, columns][mask] = len(areas)
        canvas[rows, columns][mask] = jittered
        areas.append(int(mask.sum()))
        visible.append(areas[-1])
        ys, xs = np.flatnonzero(mask.any(1)) + rows.start, np.flatnonzero(mask.any(0)) + columns.start
        boxes.append((xs[0], ys[0], xs[-1] + 1, ys[-1] + 1))
        labels.append(label)
    boxes = np.array(boxes, np.float32).reshape(-1, 4) / np.float32(SUBSAMPLES)
    return boxes, np.array(labels, np.int64)


def generate(seed, index, size=SIZE_PX):
    """Picture `index` of set `seed`: uint8 [size, size, 3] RGB, float32 [n, 4] boxes (xyxy, px), int64 [n] labels.

    A box bounds the part of a shape that lies in the picture, including what other shapes cover.
    """
    if size < MIN_SIZE_PX:
        raise ValueError(f"a picture must be at least {MIN_SIZE_PX} px wide, but {size} px were asked for")
    draws = Draws(seed, index)
    background = _background(draws, size).astype(np.uint8)
    canvas = background.repeat(SUBSAMPLES, 0).repeat(SUBSAMPLES, 1)
    _clutter(draws, canvas, draws.between(4, 10))
    boxes, labels = _shapes(draws, canvas, draws.between(3, 9))
    blocks = canvas.reshape(size, SUBSAMPLES, size * SUBSAMPLES, 3).sum(1, dtype=np.int32)
    blocks = blocks.reshape(size, size, SUBSAMPLES, 3).sum(2)
    noise = draws.bytes(size * size * 3).reshape(size, size, 3).astype(np.int32) * (2 * NOISE + 1) // 256 - NOISE
    picture = blocks // SUBSAMPLES**2 + noise
    return picture.clip(0, 255).astype(np.uint8), boxes, labels


def validation_set():
    """The fixed validation pictures, as `generate` returns them."""
    return [generate(VALIDATION_SEED, index) for index in range(VALIDATION_COUNT)]
