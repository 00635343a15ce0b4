"""Data and metrics that the scripts about gradient boosting share; it writes nothing.

The data is integer arithmetic alone, and `tests/src/gbm.rs` is its twin.
"""

import struct

import numpy as np
from scipy import stats

COLUMNS = 12


def mix(value):
    """Murmur3's 32-bit finaliser."""
    value &= 0xFFFFFFFF
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ (value >> 16)


def noise(row, column):
    return mix(row * 64 + column + 1)


class Data:
    """Which rows to make; see `Data` in `tests/src/gbm.rs`."""

    def __init__(self, infinite=False, categories=False, weights=False, per_moment=1):
        self.infinite, self.categories, self.weights = infinite, categories, weights
        self.per_moment = per_moment

    def feature(self, row, column):
        if column == 3 and noise(row, 40) % 7 == 0:
            return float("nan")
        if column == 4 and noise(row, 41) % 50 == 0:
            if not self.infinite:
                return float("nan")
            return float("inf") if noise(row, 42) % 2 == 0 else float("-inf")
        if column == 9 and self.categories:
            return float("nan") if noise(row, 43) % 11 == 0 else float((noise(row, 9) >> 8) % 23)
        if column == 10 and self.categories:
            return float((noise(row, 10) >> 8) % 3)
        if column == 11 and not self.infinite:
            return float("nan")
        return (noise(row, column) >> 16) / 256.0

    def signal(self, row):
        """The planted signal plus noise, a whole number."""
        a, b, c = (noise(row, column) >> 24 for column in range(3))
        value = 2 * a - b + (a * c) // 256 + noise(row, 50) % 300 - 300
        if self.categories:
            many, few = (noise(row, 9) >> 8) % 23, (noise(row, 10) >> 8) % 3
            value += 40 * (many * 7 % 5 - 2) + 30 * (few - 1)
        return value

    def label(self, row, task):
        value = self.signal(row)
        if task in ("regression", "quantiles"):
            return value / 64.0
        if task == "binary":
            return float(value > 90)
        return float(0 if value < -60 else 1 if value < 120 else 2)

    def rows(self, first, count, task):
        """Features, labels, and weights or none, which is not the same as ones: those change how
        quantiles of a leaf are interpolated. The plugin passes none where every row counts alike."""
        span = range(first, first + count)
        features = [[self.feature(row, column) for column in range(COLUMNS)] for row in span]
        weights = np.array([0.5 + 0.25 * (noise(row, 60) % 4) for row in span], np.float32)
        labels = np.array([self.label(row, task) for row in span], np.float32)
        return np.array(features, np.float32), labels, weights if self.weights else None

    def outcomes(self, first, count):
        """Moments and returns."""
        span = range(first, first + count)
        returns = np.array([np.float32(self.signal(row) / 64.0) for row in span], float)
        return np.array([row // self.per_moment for row in span]), returns


def balance(labels, weights):
    """Weights after which every class has the same total where rows weigh 1."""
    weights = np.ones(len(labels), np.float32) if weights is None else weights
    classes, counts = np.unique(labels, return_counts=True)
    share = len(labels) / len(classes)
    factor = {c: share / count for c, count in zip(classes, counts, strict=True)}
    products = [factor[c] * float(w) for c, w in zip(labels, weights, strict=True)]
    return np.array(products, np.float32)


def blunt(value):
    """A metric without its last 20 bits, as the plugin compares it."""
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return struct.unpack("<d", struct.pack("<Q", (bits + (1 << 19)) >> 20 << 20))[0]


def pinball(labels, answers, levels, weights=None):
    """Mean loss over the levels (Koenker and Bassett 1978)."""
    losses = []
    for level, answer in zip(levels, np.asarray(answers).T, strict=True):
        gap = labels - answer
        losses.append(np.average(np.maximum(level * gap, (level - 1) * gap), weights=weights))
    return float(np.mean(losses))


def score(task, answers):
    """One number per row, larger for a larger return expected."""
    answers = np.asarray(answers, float)
    if task == "binary":
        return 2 * answers.ravel() - 1
    if task == "multiclass":
        return answers @ np.array([-1.0, 0.0, 1.0])
    return answers[:, 1] if task == "quantiles" else answers.ravel()


def metric(kind, task, answers, times, returns):
    """What early stopping may watch; every metric is defined on these data."""
    found = score(task, answers)
    moments = [times == one for one in np.unique(times)]
    if kind == "sharpe":
        earned = np.sign(found) * returns
        each = np.array([earned[rows].mean() for rows in moments])
        return blunt(float(each.mean() / each.std(ddof=1)))
    coefficient = stats.pearsonr if kind == "ic" else stats.spearmanr
    if not any(rows.sum() >= 3 for rows in moments):
        return blunt(float(coefficient(found, returns)[0]))
    each = [
        float(coefficient(found[rows], returns[rows])[0])
        for rows in moments
        if rows.sum() >= 3 and len(set(found[rows])) > 1 and len(set(returns[rows])) > 1
    ]
    return blunt(float(np.mean(each)))
