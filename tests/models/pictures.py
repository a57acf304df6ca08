"""Synthetic pictures for the model fixtures: a shaded background with overlapping, textured boxes and ellipses.

Everything is integer arithmetic on raw PCG64 output, so a picture is the same to the last bit everywhere.
"""

import numpy as np

UNITS = 1000  # scene coordinates run from 0 to UNITS in both directions

SHAPES = {  # height, width
    "ssdlite320": (320, 320),
    "ssd300": (300, 300),
    "fasterrcnn": (480, 640),
    "ssd_mobilenetv2": (300, 300),
    "yolov8n": (640, 640),
}
SAMPLE_SEEDS = {
    "ssdlite320": (4, 5, 7),
    "ssd300": (1, 2, 3),
    "fasterrcnn": (7, 2, 4),
    "ssd_mobilenetv2": (4, 5, 8),
    "yolov8n": (1, 2, 8),
}


def picture(seed, height, width):
    """Picture `seed` as float32 [3, height, width] in 0..1."""
    bits = np.random.PCG64(seed)

    def draw(low, high, count=None):
        numbers = np.asarray(bits.random_raw(count or 1) >> np.uint64(11)).astype(np.int64) % (high - low) + low
        return numbers if count else int(numbers[0])

    y = (2 * np.arange(height)[:, None] + 1) * UNITS // (2 * height)
    x = (2 * np.arange(width)[None, :] + 1) * UNITS // (2 * width)
    top, side, corner = draw(0, 256, 3), draw(-128, 129, 3), draw(40, 216, 3)
    canvas = ((UNITS - y) * top[:, None, None] + y * corner[:, None, None] + x * side[:, None, None]) // UNITS
    for _ in range(draw(20, 36)):
        center_x, center_y = draw(0, UNITS, 2)
        half_width, half_height = draw(20, 180, 2)
        period, slope = draw(20, 120), draw(-2, 3)
        across, down = x - center_x, y - center_y
        if draw(0, 2):
            inside = (abs(across) < half_width) & (abs(down) < half_height)
        else:
            inside = (across * half_height) ** 2 + (down * half_width) ** 2 < (half_width * half_height) ** 2
        stripes = (across + slope * down) // period % 2 == 1
        colours = draw(0, 256, 6).reshape(2, 3, 1, 1)
        canvas = np.where(inside, np.where(stripes, colours[0], colours[1]), canvas)
    noise = draw(-12, 13, 3 * height * width).reshape(3, height, width)
    return np.clip(canvas + noise, 0, 255).astype(np.float32) / np.float32(255)


def pixels(picture):
    """A picture as uint8 [1, height, width, 3], as TensorFlow's models take it."""
    return np.round(picture * 255).astype(np.uint8).transpose(1, 2, 0)[None]


def samples(name):
    """The sample pictures of model `name`."""
    return [picture(seed, *SHAPES[name]) for seed in SAMPLE_SEEDS[name]]


def blank(name):
    """A grey picture without any structure, in which ssdlite320 detects nothing and the others little."""
    return np.full((3, *SHAPES[name]), 0.54, np.float32)
