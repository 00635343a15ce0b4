#!/usr/bin/env python3
r"""Makes small ONNX models and records what ONNX Runtime answers them from Python.

    python3 tests/reference/onnx_models.py    # writes data/onnx_models.json and data/onnx/*.onnx
    python3 tests/reference/onnx_models.py --check

`tests/tests/onnx.rs` runs the same files through the plugin `ai.fusebox.onnx` and compares every
answer. The weights and the rows are made by arithmetic alone. There is a perceptron with three
classes, one with a fixed number of rows, a recurrent network over windows, a linear classifier as
scikit-learn exports it (class and probabilities, with and without ZipMap), one with a single
log-odds number, and outputs in f64 and i64.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

DATA = Path(__file__).resolve().parent / "data"
OUTPUT, MODELS = DATA / "onnx_models.json", DATA / "onnx"
FEATURES, HIDDEN, CLASSES, STEPS = 4, 8, 3, 6
ROWS = 9
FLOAT, DOUBLE, LONG = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


def mix(value):
    """Murmur3's 32-bit finaliser."""
    value = (value ^ (value >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ (value >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ (value >> 16)


def numbers(shape, seed):
    """Numbers in -1..1 that are exact in f32."""
    count = int(np.prod(shape))
    cells = [(mix(seed * 10_007 + place + 1) >> 12) / 524_288 - 1 for place in range(count)]
    return np.array(cells, dtype=np.float32).reshape(shape)


def weights(name, shape, seed):
    return numpy_helper.from_array(numbers(shape, seed), name)


def real(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, constants, facts=()):
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, producer_name="onnx_models.py", opset_imports=opsets)
    made.ir_version = 8
    for key, value in facts:
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(made)
    return made


def perceptron(rows, facts=()):
    nodes = [
        helper.make_node("Gemm", ["features", "w1", "b1"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = [
        weights("w1", (FEATURES, HIDDEN), 1),
        weights("b1", (HIDDEN,), 2),
        weights("w2", (HIDDEN, CLASSES), 3),
        weights("b2", (CLASSES,), 4),
    ]
    ends = [real("features", [rows, FEATURES])], [real("probabilities", [rows, CLASSES])]
    return model(nodes, *ends, constants, facts)


def recurrent():
    """An LSTM over windows, with the rows first and the steps second."""
    nodes = [
        helper.make_node("Transpose", ["windows"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "w", "r", "b"], ["", "last"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["last", "axis"], ["state"]),
        helper.make_node("Gemm", ["state", "v", "c"], ["next_return"]),
    ]
    constants = [
        weights("w", (1, 4 * HIDDEN, FEATURES), 5),
        weights("r", (1, 4 * HIDDEN, HIDDEN), 6),
        weights("b", (1, 8 * HIDDEN), 7),
        weights("v", (HIDDEN, 1), 8),
        weights("c", (1,), 9),
        numpy_helper.from_array(np.array([0], dtype=np.int64), "axis"),
    ]
    ends = [real("windows", ["n", STEPS, FEATURES])], [real("next_return", ["n", 1])]
    return model(nodes, *ends, constants)


def linear(zipmap):
    """As skl2onnx writes a LogisticRegression."""
    classifier = helper.make_node(
        "LinearClassifier",
        ["X"],
        ["label", "probabilities" if not zipmap else "tensor"],
        domain="ai.onnx.ml",
        classlabels_ints=[0, 1, 2],
        coefficients=[float(value) for value in numbers((CLASSES * FEATURES,), 10)],
        intercepts=[float(value) for value in numbers((CLASSES,), 11)],
        multi_class=1,
        post_transform="SOFTMAX",
    )
    outputs = [real("label", ["n"], LONG)]
    nodes = [classifier]
    if zipmap:
        nodes.append(
            helper.make_node(
                "ZipMap",
                ["tensor"],
                ["output_probability"],
                domain="ai.onnx.ml",
                classlabels_int64s=[0, 1, 2],
            )
        )
        entry = helper.make_map_type_proto(LONG, helper.make_tensor_type_proto(FLOAT, None))
        maps = helper.make_sequence_type_proto(entry)
        outputs.append(helper.make_value_info("output_probability", maps))
    else:
        outputs.append(real("probabilities", ["n", CLASSES]))
    return model(nodes, [real("X", ["n", FEATURES])], outputs, [])


def log_odds():
    nodes = [helper.make_node("Gemm", ["features", "w", "b"], ["log_odds"])]
    constants = [weights("w", (FEATURES, 1), 12), weights("b", (1,), 13)]
    ends = [real("features", ["n", FEATURES])], [real("log_odds", ["n", 1])]
    return model(nodes, *ends, constants)


def cast(kind):
    """The sum of a row, rounded to whole numbers where the kind wants it."""
    nodes = [
        helper.make_node("Gemm", ["features", "w"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["value"], to=kind),
    ]
    constants = [numpy_helper.from_array(np.full((FEATURES, 1), 7, np.float32), "w")]
    ends = [real("features", ["n", FEATURES])], [real("value", ["n", 1], kind)]
    return model(nodes, *ends, constants)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    facts = [
        ("fusebox.features", json.dumps(["f0", "f1", "f2", "f3"])),
        ("fusebox.task", json.dumps({"kind": "classification", "classes": ["down", "flat", "up"]})),
    ]
    cases = {
        "perceptron": (perceptron("n", facts), "probabilities"),
        "perceptron_of_four_rows": (perceptron(4, facts), "probabilities"),
        "recurrent": (recurrent(), "next_return"),
        "linear": (linear(zipmap=False), "probabilities"),
        "linear_zipmap": (linear(zipmap=True), None),
        "log_odds": (log_odds(), "log_odds"),
        "double": (cast(DOUBLE), "value"),
        "whole": (cast(LONG), "value"),
    }
    MODELS.mkdir(exist_ok=True)
    document = {"versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}}
    document["models"] = {}
    is_same = True
    for seed, (name, (made, output)) in enumerate(cases.items(), start=100):
        file = MODELS / f"{name}.onnx"
        content = made.SerializeToString(deterministic=True)
        if arguments.check:
            is_same &= file.read_bytes() == content
        else:
            file.write_bytes(content)
        session = onnxruntime.InferenceSession(content)
        entry = session.get_inputs()[0]
        count = entry.shape[0] if isinstance(entry.shape[0], int) else ROWS
        rows = numbers((count, *entry.shape[1:]), seed)
        document["models"][name] = {
            "input": [float(value) for value in rows.ravel()],
            "output": None
            if output is None
            else [float(value) for value in session.run([output], {entry.name: rows})[0].ravel()],
        }
    written = json.dumps(document, indent=1) + "\n"
    if arguments.check:
        return 0 if is_same and OUTPUT.read_text() == written else 1
    OUTPUT.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
