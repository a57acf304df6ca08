"""Trains the shapes detector on one CPU thread.

    python train.py --checkpoint /tmp/shapes/checkpoint.pt --cache /tmp/shapes/pictures --minutes 60

The learning rate follows a cosine over the given minutes of training time. A run that is interrupted goes on from its
checkpoint when started again with the same arguments. Needs PyTorch, torchvision and numpy.
"""

import argparse
import copy
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torchvision.ops import box_iou, generalized_box_iou_loss

from shapes_data import CLASSES, SIZE_PX, TRAINING_SEED, generate
from shapes_model import SSD, corners, normalise

POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
FOCAL_ALPHA, FOCAL_GAMMA = 0.5, 2.0
BOX_WEIGHT = 2.0
WARMUP_STEPS = 200
EMA_DECAY = 0.998
MAX_GRADIENT_NORM = 5.0
LOG_STEPS = 50
SAVE_SECONDS = 120


class Pictures:
    """The first `count` training pictures, drawn once into the folder `cache` and mapped from there."""

    def __init__(self, cache, count):
        path = cache / f"pictures-{count}.npy"
        truth_path = cache / f"truth-{count}.npz"
        if not truth_path.exists():
            self._draw(path, truth_path, count)
        self.pixels = np.load(path, mmap_mode="r")
        truth = np.load(truth_path)
        splits = truth["counts"].cumsum()[:-1]
        self.boxes = [torch.from_numpy(part) / SIZE_PX for part in np.split(truth["boxes"], splits)]
        self.labels = [torch.from_numpy(part) for part in np.split(truth["labels"], splits)]

    @staticmethod
    def _draw(path, truth_path, count):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIZE_PX, SIZE_PX, 3))
        boxes, labels = [], []
        for index in range(count):
            pixels[index], picture_boxes, picture_labels = generate(TRAINING_SEED, index)
            boxes.append(picture_boxes)
            labels.append(picture_labels)
        pixels.flush()
        partial = truth_path.with_suffix(".partial.npz")
        counts = np.array([len(part) for part in labels])
        np.savez(partial, boxes=np.concatenate(boxes), labels=np.concatenate(labels), counts=counts)
        os.replace(partial, truth_path)

    def batch(self, indices, generator):
        """Images and per-picture boxes and labels; half of the batches mirrored, brightness and contrast varied."""
        images = normalise(torch.from_numpy(self.pixels[np.sort(indices)]))
        boxes = [self.boxes[i] for i in np.sort(indices)]
        labels = [self.labels[i] for i in np.sort(indices)]
        if torch.rand((), generator=generator) < 0.5:
            images = images.flip(3)
            boxes = [torch.stack((1 - b[:, 2], b[:, 1], 1 - b[:, 0], b[:, 3]), 1) for b in boxes]
        gain, offset = torch.rand((2, len(images), 1, 1, 1), generator=generator) * 0.2 - 0.1
        return images.mul_(1 + gain).add_(offset).contiguous(memory_format=torch.channels_last), boxes, labels


def match(anchors, boxes):
    """For each anchor the index of its box, -1 for background or -2 for neither."""
    overlap = box_iou(anchors, boxes)
    best, target = overlap.max(1)
    target[best < POSITIVE_IOU] = -2
    target[best < NEGATIVE_IOU] = -1
    target[overlap.argmax(0)] = torch.arange(len(boxes))
    return target


def loss_of(logits, predicted, targets, boxes, labels):
    """Focal loss of the scores and generalised IoU loss of the matched boxes, both per matched anchor."""
    positive = targets >= 0
    picture, anchor = positive.nonzero(as_tuple=True)
    chosen = targets[positive]
    first = torch.tensor([0] + [len(b) for b in boxes[:-1]]).cumsum(0)
    chosen = chosen + first[picture]
    boxes, labels = torch.cat(boxes), torch.cat(labels)
    count = max(1, len(chosen))

    # Every class of every anchor as a negative, then a correction for the few positives.
    used = logits[targets > -2]
    score = used.sigmoid()
    negative = ((1 - FOCAL_ALPHA) * score.pow(FOCAL_GAMMA) * functional.softplus(used)).sum()
    hit = logits[picture, anchor, labels[chosen]]
    score = hit.sigmoid()
    correction = FOCAL_ALPHA * (1 - score).pow(FOCAL_GAMMA) * functional.softplus(-hit)
    correction = correction - (1 - FOCAL_ALPHA) * score.pow(FOCAL_GAMMA) * functional.softplus(hit)
    box_loss = generalized_box_iou_loss(predicted[positive], boxes[chosen], reduction="sum")
    return (negative + correction.sum()) / count, BOX_WEIGHT * box_loss / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to write, and to go on from if it exists")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the drawn training pictures")
    parser.add_argument("--minutes", type=float, default=60, help="training time")
    parser.add_argument("--pictures", type=int, default=24000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    pictures = Pictures(args.cache, args.pictures)
    model = SSD().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}])
    step, spent = 0, 0.0
    if args.checkpoint.exists():
        state = torch.load(args.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    args.checkpoint.parent.mkdir(parents=True, exist_ok=True)

    def save():
        state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        partial = args.checkpoint.with_suffix(".partial")
        torch.save(state | {"step": step, "spent": spent}, partial)
        os.replace(partial, args.checkpoint)

    generator = torch.Generator().manual_seed(step)
    anchors = corners(model.anchors)
    started, saved, budget = time.monotonic() - spent, time.monotonic(), args.minutes * 60
    order, totals = torch.empty(0, dtype=torch.int64), np.zeros(2)
    while spent < budget:
        if len(order) < args.batch:
            order = torch.randperm(args.pictures, generator=generator)
        indices, order = order[: args.batch].numpy(), order[args.batch :]
        images, boxes, labels = pictures.batch(indices, generator)
        targets = torch.stack([match(anchors, b) for b in boxes])

        rate = args.rate * min(1.0, (step + 1) / WARMUP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * spent / budget)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = loss_of(*model(images), targets, boxes, labels)
        optimizer.zero_grad()
        sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values()):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)

        step += 1
        spent = time.monotonic() - started
        totals += [loss.item() for loss in losses]
        if step % LOG_STEPS == 0:
            score_loss, box_loss = totals / LOG_STEPS
            print(f"{spent / 60:6.1f} min  step {step:6d}  score {score_loss:.4f}  box {box_loss:.4f}  rate {rate:.1e}", flush=True)
            totals[:] = 0
        if time.monotonic() - saved > SAVE_SECONDS:
            save()
            saved = time.monotonic()
    save()


if __name__ == "__main__":
    main()
