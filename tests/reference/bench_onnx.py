"""How long ONNX Runtime takes from Python for one row and for 10,000 rows of a model.

Called by `make bench` with the file of the model. Prints JSON: seconds, the median for one row, the
shortest for the batch; one thread, no spinning.
"""

import json
import sys
import time

import numpy as np
import onnxruntime


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(sys.argv[1], options)
    entry = session.get_inputs()[0]
    rows = np.random.default_rng(1).uniform(-1, 1, (10_000, entry.shape[1])).astype(np.float32)

    def seconds(part):
        began = time.perf_counter()
        session.run(None, {entry.name: part})
        return time.perf_counter() - began

    singles = sorted(seconds(rows[place : place + 1]) for place in range(len(rows)))
    batches = [seconds(rows) for _ in range(5)]
    print(json.dumps({"one_row": singles[len(singles) // 2], "batch": min(batches)}))


if __name__ == "__main__":
    main()
