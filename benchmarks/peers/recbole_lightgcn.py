"""Train RecBole's LightGCN on a given split; run by ``benchmarks/training.py`` in its environment.

Prints one line of JSON an epoch, without ``recall`` where it did not validate, and writes the best
weights' embeddings beside the data.
"""

import json
import sys
import time
from logging import ERROR, getLogger
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.trainer import Trainer
from recbole.utils import init_seed

folder, name, epochs, seed, patience, every, threads, device, batch, regularization = sys.argv[1:]
torch.set_num_threads(int(threads))
config = Config(
    model="LightGCN",
    dataset=name,
    config_dict={
        "data_path": folder,
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"]},
        "n_layers": 2,
        "embedding_size": 64,
        "learning_rate": 1e-3,
        "reg_weight": float(regularization),
        "require_pow": True,  # squares, not lengths
        "train_batch_size": 2048,
        "eval_batch_size": int(batch),
        "metrics": ["Recall"],
        "topk": [20],
        "valid_metric": "Recall@20",
        "eval_args": {"order": "RO", "group_by": "user", "mode": "full"},
        "use_gpu": device != "cpu",
        "show_progress": False,
        "state": "ERROR",
        "seed": int(seed),
        "reproducibility": True,
    },
)
sys.stdout, printed = sys.stderr, sys.stdout
init_seed(config["seed"], reproducibility=True)
getLogger().setLevel(ERROR)
dataset = create_dataset(config)
train, valid, _ = data_preparation(config, dataset)
model = LightGCN(config, train.dataset).to(config["device"])
trainer = Trainer(config, model)

best, best_epoch, kept = -1.0, 0, None
for epoch in range(1, int(epochs) + 1):
    started = time.perf_counter()
    trainer._train_epoch(train, epoch)
    trained = time.perf_counter()
    line = {"epoch": epoch, "train": trained - started}
    if epoch % int(every) == 0:
        trainer.eval_collector.data_collect(train)
        recall = float(trainer.evaluate(valid, load_best_model=False)["recall@20"])
        line |= {"evaluate": time.perf_counter() - trained, "recall": recall}
        if recall > best:
            best, best_epoch = recall, epoch
            with torch.no_grad():
                kept = [each.cpu().numpy() for each in model.forward()]
    printed.write(json.dumps(line) + "\n")
    printed.flush()
    if epoch - best_epoch >= int(patience):
        break

for field, table in (("user_id", kept[0]), ("item_id", kept[1])):
    tokens = dataset.field2id_token[field].astype(str)
    np.savez(Path(folder) / f"{field}.npz", ids=tokens[1:], vectors=table[1:])
