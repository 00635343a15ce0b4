"""Reference values for combinatorial purged cross-validation and purged k-fold: skfolio and
purgedcv.

Writes data/skfolio_cpcv.json. Run with the versions of requirements.txt:

    python skfolio_cpcv.py

skfolio purges and embargoes by a number of rows. The engine purges by the ends of the labels, so
both agree where every label spans exactly `purged_size` rows: before a tested group the last
`purged_size` rows have labels that end in it, after it the first `purged_size` rows close before
or when the group's last label ends.

Labels of varying length, and one tested group (purged k-fold), which skfolio does not have, are
checked against purgedcv's `purge` and `apply_embargo`, which take the start and end of each label.
purgedcv takes intervals as half open where the engine takes them as closed (Lopez de Prado's
snippet 7.1), so it is given ends half a row later.
"""

import importlib.metadata
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from purgedcv import apply_embargo, purge
from skfolio.model_selection import CombinatorialPurgedCV

CASES = [
    (12, 3, 2, 1, 0),
    (12, 3, 2, 0, 1),
    (60, 6, 2, 3, 2),
    (103, 10, 2, 2, 1),
    (64, 5, 3, 4, 3),
]


def combinatorial(rows, groups, tested, purged, embargo):
    cv = CombinatorialPurgedCV(
        n_folds=groups, n_test_folds=tested, purged_size=purged, embargo_size=embargo)
    features = np.zeros((rows, 1))
    folds = [
        {"train": train.tolist(), "test": [part.tolist() for part in test]}
        for train, test in cv.split(features)
    ]
    return {
        "rows": rows,
        "groups": groups,
        "test_groups": tested,
        "label_bars": [purged] * rows,
        "embargo_bars": embargo,
        "folds": folds,
        "paths": cv.recombined_paths.T.tolist(),
    }


def by_times(rows, groups, tested, embargo, seed):
    """Labels of 1 to 9 rows, from a small linear congruential generator."""
    lengths = []
    for _ in range(rows):
        seed = (seed * 1103515245 + 12345) % 2**31
        lengths.append(seed // 65536 % 9 + 1)
    starts = pd.Series(pd.date_range("2024-01-01", periods=rows, freq="h"))
    ends = starts + pd.to_timedelta(lengths, unit="h") + pd.Timedelta(minutes=30)
    size = rows // groups
    group = np.minimum(np.arange(rows) // size, groups - 1)
    folds = []
    for chosen in itertools.combinations(range(groups), tested):
        is_test = np.isin(group, chosen)
        test, train = np.flatnonzero(is_test), np.flatnonzero(~is_test)
        train = purge(train, test, starts, ends)
        train = apply_embargo(train, test, starts, ends, embargo=pd.Timedelta(hours=embargo))
        parts = [np.flatnonzero(group == one).tolist() for one in chosen]
        folds.append({"train": train.tolist(), "test": parts})
    return {
        "rows": rows,
        "groups": groups,
        "test_groups": tested,
        "label_bars": lengths,
        "embargo_bars": embargo,
        "folds": folds,
        "paths": None,
    }


def main():
    data = {
        "versions": {
            name: importlib.metadata.version(name) for name in ("skfolio", "purgedcv", "numpy")
        },
        "cases": [combinatorial(*case) for case in CASES] + [
            by_times(80, 5, 1, 0, 1),
            by_times(80, 5, 1, 3, 2),
            by_times(90, 6, 2, 2, 3),
        ],
    }
    path = Path(__file__).parent / "data" / "skfolio_cpcv.json"
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
