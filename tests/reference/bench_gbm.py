"""How long LightGBM and XGBoost take to train when they are called from Python, and what memory.

Called by `make bench` with a file of little-endian f32 (row-major features, then labels) and a task
in JSON. Trains as often as it is told, with the parameters it is told, and prints JSON: seconds of
the processor of each training, data set included, the peak of the resident set of the first one,
above what was resident before it and as a whole, and the sum of the answers for the first thousand
rows, by which the caller sees that both have trained the same model.
"""

import json
import sys
import time

import numpy as np


def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def lightgbm_trainer(features, labels, task):
    import lightgbm

    def train():
        data = lightgbm.Dataset(features, labels)
        return lightgbm.train(task["parameters"], data, num_boost_round=task["rounds"])

    return train, lambda booster, rows: booster.predict(rows)


def xgboost_trainer(features, labels, task):
    import xgboost

    def train():
        data = xgboost.DMatrix(features, labels, nthread=task["parameters"]["nthread"])
        return xgboost.train(task["parameters"], data, num_boost_round=task["rounds"])

    return train, lambda booster, rows: booster.inplace_predict(rows)


def main():
    task = json.loads(sys.argv[2])
    values = np.fromfile(sys.argv[1], dtype="<f4")
    cells = task["rows"] * task["columns"]
    features, labels = values[:cells].reshape(task["rows"], -1), values[cells:]
    maker = {"lightgbm": lightgbm_trainer, "xgboost": xgboost_trainer}[task["library"]]
    # A small training first, so that neither side counts what loading the library takes.
    maker(features[:2000], labels[:2000], task)[0]()
    train, answer = maker(features, labels, task)
    forget_peak()
    before = status("VmRSS:")
    seconds, peak = [], None
    for _ in range(task["runs"]):
        began = time.process_time()
        booster = train()
        seconds.append(time.process_time() - began)
        peak = peak or status("VmHWM:")
    told = float(np.sum(answer(booster, features[:1000]), dtype=float))
    found = {"seconds": seconds, "peak_bytes": peak - before, "whole_bytes": peak, "answers": told}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
