"""One of several processes that train models on the checkerboard: ``python team.py CASES``.

``CASES`` is JSON, a list of [model, settings]. Prints the history of each, one line a case.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import torch

from neggen.models import model_class
from neggen.testing import checkerboard
from neggen.training.distributed import joined

torch.set_num_threads(1)

if __name__ == "__main__":
    with joined("cpu"):
        for name, settings in json.loads(sys.argv[1]):
            history = model_class(name)(**settings).fit(checkerboard()).history
            print(json.dumps({p: [asdict(log) for log in logs] for p, logs in history.items()}))
