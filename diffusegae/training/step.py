"""One optimizer step and the state it changes: plain torch, so that it can be tested without Ray.

Rates, noise and averages are functions of (config, seed, samples seen): whoever restores the state at a count continues
exactly as if nothing had happened.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffusegae.checkpoint import flatten_optimizer, restore_optimizer
from diffusegae.config.training import StageConfig
from diffusegae.models.ema import Ema
from diffusegae.training.stages import Objective, Stage

NOISE, MONITOR = 0, 1  # which question a generator answers


class TrainingError(RuntimeError):
    """Training that cannot have worked: a weight that never moves, a loss that is not a number."""


def generator_at(seed: int, purpose: int, samples_seen: int, rank: int = 0) -> torch.Generator:
    """Return the generator that belongs to one batch of one worker, and to no other."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(purpose, samples_seen, rank))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def learning_rate_at(config: StageConfig, samples_seen: int) -> float:
    """Return Adam's rate: a linear rise over the warm-up, a plateau, and a linear fall to zero from `decay_from` on."""
    rise = min(1.0, (samples_seen + config.batch_size) / config.warmup_samples) if config.warmup_samples else 1.0
    start = config.decay_from * config.num_samples
    left = config.num_samples - samples_seen
    fall = min(1.0, left / (config.num_samples - start)) if samples_seen > start else 1.0
    return config.learning_rate * rise * max(fall, 0.0)


class Averages:
    """Running sums of named terms between two reports; kept on their device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one step's terms."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=value.device)) + value.float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, float]:
        """Return the means since the last call; TrainingError if one is not a finite number."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        for name, mean in means.items():
            if mean != mean or abs(mean) == float("inf"):
                raise TrainingError(
                    f"the loss term {name!r} is {mean}; lower the stage's learning_rate, or set precision: float32"
                )
        return means


class TrainingState:
    """A stage in training: wrapped objectives, one Adam for each, the moving average, the count of samples."""

    def __init__(
        self,
        stage: Stage[Any],
        device: torch.device,
        wrap: Callable[[nn.Module], nn.Module],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.stage, self.device, self.seed, self.rank, self.world_size = stage, device, seed, rank, world_size
        stage.model.to(device)
        for part in stage.frozen:
            part.requires_grad_(False)
        self.ema = Ema(stage.model, stage.config.ema_decay)
        self.optimizers = {objective.name: _adam(objective, stage.config) for objective in stage.objectives}
        self.modules = {objective.name: self._prepare(objective, wrap) for objective in stage.objectives}
        self.samples_seen = 0
        self.num_steps = 0

    def _prepare(self, objective: Objective, wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
        module = wrap(objective.module)
        if self.stage.config.compile:
            module.compile()
        return module

    def step(self, batch: Any) -> dict[str, Tensor]:
        """Move every objective that is due by one optimizer step; return the terms to report."""
        self.stage.model.train()
        terms: dict[str, Tensor] = {}
        generator = generator_at(self.seed, NOISE, self.samples_seen, self.rank)
        for objective in self.stage.objectives:
            if self.num_steps % objective.every == 0:
                objective.module.progress.fill_(self.samples_seen / self.stage.config.num_samples)
                terms.update(self._minimise(objective, batch, generator))
        self.ema.update(self.stage.model)
        self.samples_seen += self.stage.config.batch_size
        self.num_steps += 1
        return terms

    def _minimise(self, objective: Objective, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        config, optimizer = self.stage.config, self.optimizers[objective.name]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(config, self.samples_seen) * group["factor"]
        optimizer.zero_grad(set_to_none=True)
        module, terms = self.modules[objective.name], {}
        pieces = batch.chunk(config.accumulate)
        for number, piece in enumerate(pieces):
            with self._precision(), _synchronise(module, last=number == len(pieces) - 1):
                loss, terms = module(piece, generator)
            # DDP takes the mean over workers, whose shares may differ by one
            (loss * (len(piece) * self.world_size / config.batch_size)).backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        name = "gradient_norm" if len(self.optimizers) == 1 else f"gradient_norm/{objective.name}"
        return {**terms, name: norm.detach()}

    def _precision(self) -> torch.autocast:
        enabled = self.stage.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    @torch.no_grad()
    def monitor(self, batch: Any) -> dict[str, float]:
        """Return the stage's own measures of the averaged model on a held-out batch, the same noise every time."""
        self.ema.module.eval()
        return self.stage.monitor(self.ema.module, batch, generator_at(self.seed, MONITOR, 0))

    def check_all_move(self) -> None:
        """Raise TrainingError that names the parameters an optimizer claims and no gradient has ever reached."""
        still = [
            name
            for objective in self.stage.objectives
            for name, parameter in objective.named_parameters()
            if not _has_moved(self.optimizers[objective.name], parameter)
        ]
        if still:
            raise TrainingError(f"stage {self.stage.name}: no gradient reaches {len(still)} parameters: {still[:5]}")

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return all that a checkpoint must hold, by file name."""
        optimizers = {f"optimizer-{name}": flatten_optimizer(optimizer) for name, optimizer in self.optimizers.items()}
        return {"model": self.stage.model.state_dict(), "ema": self.ema.module.state_dict(), **optimizers}

    def restore(self, read: Callable[[str], dict[str, Tensor]], samples_seen: int) -> None:
        """Load what `tensors` returned; `read` gives the tensors of a file name."""
        self.stage.model.load_state_dict(read("model"))
        self.ema.module.load_state_dict(read("ema"))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, read(f"optimizer-{name}"))
        self.samples_seen = samples_seen
        self.num_steps = self.ema.num_updates = samples_seen // self.stage.config.batch_size


def _adam(objective: Objective, config: StageConfig) -> torch.optim.Adam:
    groups = [
        {"params": list(module.parameters()), "factor": objective.rate_factors.get(name, 1.0)}
        for name, module in objective.trains.items()
    ]
    return torch.optim.Adam(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def _has_moved(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> bool:
    return parameter in optimizer.state and bool(optimizer.state[parameter]["exp_avg_sq"].any())


@contextmanager
def _synchronise(module: nn.Module, last: bool) -> Iterator[None]:
    """Leave DDP's gradient exchange to the last piece of an accumulated batch."""
    if last or not isinstance(module, nn.parallel.DistributedDataParallel):
        yield
    else:
        with module.no_sync():
            yield
