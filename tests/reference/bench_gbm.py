"""How long LightGBM and XGBoost take when they are called from Python: to train, and to answer.

Called by `make bench` with a file of little-endian f32 (row-major features, then labels) and a task
in JSON. Trains as often as it is told, with the parameters it is told, and prints JSON: seconds of
the processor of each training, data set included, the peak of the resident set of the first one,
above what was resident before it and as a whole, and the sum of the answers for the first thousand
rows, by which the caller sees that both have trained the same model.

Where the task names a model, its text is read, and each line on the standard input is answered with
JSON: the median seconds of one row, over rows that are not in the caches in order, and the seconds
of a batch. The library's fastest way from Python is taken, one thread, checks of the rows off.
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


def lightgbm_answers(task):
    import lightgbm

    booster = lightgbm.Booster(model_file=task["model"])
    return lambda rows: booster.predict(rows, num_threads=1, validate_features=False)


def xgboost_answers(task):
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=task["model"])
    return lambda rows: booster.inplace_predict(rows, validate_features=False)


def timed(answer, rows):
    began = time.perf_counter()
    answer(rows)
    return time.perf_counter() - began


def answer_turns(task, features):
    maker = {"lightgbm": lightgbm_answers, "xgboost": xgboost_answers}[task["library"]]
    answer = maker(task)
    count = task["rows"]
    for _ in sys.stdin:
        places = [position * 7919 % count for position in range(0, count, 20)]
        singles = [timed(answer, features[place : place + 1]) for place in places]
        batch = timed(answer, features[: task["batch_rows"]])
        print(json.dumps({"one_row": float(np.median(singles)), "batch": batch}), flush=True)


def main():
    task = json.loads(sys.argv[2])
    values = np.fromfile(sys.argv[1], dtype="<f4")
    if "model" in task:
        answer_turns(task, values.reshape(task["rows"], -1))
        return
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
