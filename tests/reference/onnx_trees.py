#!/usr/bin/env python3
r"""Records where the ONNX file that onnxmltools writes for a LightGBM model answers otherwise.

    python3 tests/reference/onnx_trees.py    # writes data/onnx_trees.json
    python3 tests/reference/onnx_trees.py --check

onnxmltools rounds a threshold of LightGBM, which is an f64, to the nearest f32. A row whose value
lies between the two then takes the other branch, and its answer is off by as much as the two leaves
are apart. `tests/tests/onnx_export.rs` reads the same model, exports it with thresholds rounded
towards minus infinity, and finds the library's answer for every one of these rows.

The model is trained on integers mixed by arithmetic alone. The file holds its text; the rows at the
f32 neighbours of every threshold, as the bits of their numbers; what LightGBM answers; and what
ONNX Runtime answers from onnxmltools' file.
"""

import argparse
import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnxmltools
import onnxruntime
from onnxmltools.convert.common.data_types import FloatTensorType

OUTPUT = Path(__file__).resolve().parent / "data" / "onnx_trees.json"
COLUMNS = 4
TRAIN_ROWS = 2_000
ROUNDS = 8
PARAMETERS = {
    "objective": "regression",
    "num_leaves": 15,
    "learning_rate": 0.3,
    "min_data_in_leaf": 5,
    "max_bin": 1_000,
    "min_data_in_bin": 1,
    "num_threads": 1,
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
TOLERANCE = 1e-5


def mix(value):
    """Murmur3's 32-bit finaliser."""
    value = (value ^ (value >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ (value >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ (value >> 16)


def matrix(rows):
    """Numbers in f64 that are no f32, so that thresholds fall between two of them."""
    cells = [[mix(row * COLUMNS + column + 1) for column in range(COLUMNS)] for row in range(rows)]
    return np.array(cells, dtype=np.float64) / 1e9


def thresholds(text):
    """Column and threshold of every split."""
    found, columns = [], []
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "split_feature":
            columns = [int(word) for word in value.split()]
        elif key == "threshold":
            found += zip(columns, [float(word) for word in value.split()], strict=True)
    return found


def rows_at(splits):
    """For every split the base row with the f32 neighbours of the threshold in its column."""
    rows = []
    for number, (column, threshold) in enumerate(splits):
        base = matrix(number + 1)[-1].astype(np.float32)
        at = np.float32(threshold)
        below, above = (np.nextafter(at, np.float32(end)) for end in (-np.inf, np.inf))
        for value in (below, at, above):
            row = base.copy()
            row[column] = value
            rows.append(row)
    return np.array(rows, dtype=np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    features = matrix(TRAIN_ROWS)
    steps = np.where(features[:, 1] > 2, 5, 0)
    label = features[:, 0] * 3 + steps - features[:, 2] * features[:, 3]
    data = lightgbm.Dataset(features, label, params=PARAMETERS)
    booster = lightgbm.train(PARAMETERS, data, num_boost_round=ROUNDS)
    text = booster.model_to_string()
    # The echo of the parameters names paths and threads, and no reader needs it.
    text = text[: text.index("end of trees") + len("end of trees")] + "\n"
    splits = thresholds(text)
    rows = rows_at(splits)
    library = booster.predict(rows.astype(np.float64))
    onnx = onnxmltools.convert_lightgbm(
        booster, initial_types=[("input", FloatTensorType([None, COLUMNS]))], zipmap=False
    )
    session = onnxruntime.InferenceSession(onnx.SerializeToString())
    other = session.run(None, {"input": rows})[0].ravel()
    differs = np.abs(other - library) > TOLERANCE
    up = [float(np.float32(threshold)) > threshold for _, threshold in splits]
    document = {
        "versions": {
            "lightgbm": lightgbm.__version__,
            "onnxmltools": onnxmltools.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "columns": COLUMNS,
        "thresholds": len(splits),
        "rounded_up": sum(up),
        "rows_that_differ": int(differs.sum()),
        "largest_difference": float(np.abs(other - library).max()),
        "model": text,
        "row_bits": [[int(bits) for bits in row.view(np.uint32)] for row in rows],
        "lightgbm": [float(value) for value in library],
        "onnxmltools": [float(value) for value in other],
    }
    written = json.dumps(document, separators=(",", ":")) + "\n"
    print(f"{len(splits)} thresholds, {sum(up)} of them rounded up by onnxmltools")
    print(f"{differs.sum()} of {len(rows)} rows differ")
    if arguments.check:
        return 0 if OUTPUT.read_text() == written else 1
    OUTPUT.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
