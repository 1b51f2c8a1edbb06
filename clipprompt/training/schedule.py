"""The learning rate: a warm-up, then a cosine. One value per epoch."""

from __future__ import annotations

import math

from clipprompt.config import TrainConfig


def learning_rate(epoch: int, config: TrainConfig) -> float:
    """Learning rate of an epoch, counted from 0.

    With w warm-up epochs and N epochs in all, epoch k >= w has ``lr / 2 (1 + cos(pi (k - w) / N))``. The cosine starts
    after the warm-up but is as long as the whole run, as in Dassl, on which CoOp, MaPLe and TaI-DPT are built; so the
    last epoch ends a little above zero. With ``train.cosine=rest`` it is as long as what the warm-up leaves of the run,
    N - w in place of N, as in Visual Prompt Tuning (arXiv 2203.12119, appendix A).
    """
    if epoch < config.warmup_epochs:
        if config.warmup == "constant" or epoch == 0:
            return config.warmup_lr
        return config.lr * epoch / config.warmup_epochs
    length = config.epochs - (config.warmup_epochs if config.cosine == "rest" else 0)
    return config.lr / 2 * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / length))
