"""One optimizer step and the state it changes: plain torch, so that it can be tested without Ray.

Rates, noise and averages are functions of (config, seed, samples seen): whoever restores the state at a count continues
exactly as if nothing had happened.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn

from diffusegae.checkpoint import flatten_optimizer, restore_optimizer
from diffusegae.config.training import StageConfig
from diffusegae.models.ema import Ema
from diffusegae.training.memory import fewest_pieces, fits_memory
from diffusegae.training.precision import autocast, float32_products
from diffusegae.training.stages import Objective, Stage

logger = logging.getLogger(__name__)

NOISE, MONITOR, DROPOUT = 0, 1, 2  # which question a generator answers


class TrainingError(RuntimeError):
    """Training that cannot have worked: a weight that never moves, a loss that is not a number."""


def seed_at(seed: int, purpose: int, samples_seen: int, rank: int = 0) -> int:
    """Return the seed that belongs to one batch of one worker, and to no other."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(purpose, samples_seen, rank))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator_at(
    seed: int, purpose: int, samples_seen: int, rank: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator, on a device, that belongs to one batch of one worker, and to no other."""
    return torch.Generator(device).manual_seed(seed_at(seed, purpose, samples_seen, rank))


def learning_rate_at(config: StageConfig, samples_seen: int) -> float:
    """Return Adam's rate: a linear rise over the warm-up, a plateau, and a linear fall to zero from `decay_from` on."""
    rise = min(1.0, (samples_seen + config.batch_size) / config.warmup_samples) if config.warmup_samples else 1.0
    start = config.decay_from * config.num_samples
    left = config.num_samples - samples_seen
    fall = min(1.0, left / (config.num_samples - start)) if samples_seen > start else 1.0
    return config.learning_rate * rise * max(fall, 0.0)


def layout_of(config: StageConfig, device: torch.device) -> torch.memory_format:
    """Return how convolutions lie in memory; a CPU keeps NCHW.

    NHWC gains nothing there, and PyTorch's GroupNorm on CPUs crashes in its backward where the input needs no gradient.
    """
    return torch.channels_last if config.channels_last and device.type != "cpu" else torch.preserve_format


class Averages:
    """Weighted means of named terms, over a step's pieces or between two reports; kept on their device until read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor], weight: int = 1) -> None:
        """Add the terms of a step, or of a piece that weighs as much as it has samples."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value.float() * weight
            self._counts[name] = self._counts.get(name, 0) + weight

    def means(self) -> dict[str, Tensor]:
        """Return the means of what was added."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def drain(self) -> dict[str, float]:
        """Return the means since the last call; TrainingError if one is not a finite number."""
        means = self.means_checked()
        self._sums, self._counts = {}, {}
        return means

    def means_checked(self) -> dict[str, float]:
        """Return the means up to now, and go on adding to them; TrainingError if one is not a finite number."""
        means = {name: float(mean) for name, mean in self.means().items()}
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
        config = stage.config
        stage.model.to(device=device, memory_format=layout_of(config, device))
        for part in stage.frozen:
            part.requires_grad_(False)
        self.ema = Ema(stage.model, config.ema_decay)
        self.optimizers = {objective.name: _adam(objective, config) for objective in stage.objectives}
        self.modules = {objective.name: self._prepare(objective, wrap) for objective in stage.objectives}
        self.pieces = 0 if config.accumulate == "auto" else config.accumulate  # 0: to be found with the first batch
        self.samples_seen = 0
        self.num_steps = 0

    def _prepare(self, objective: Objective, wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
        """Compile, then wrap: what DDP holds is compiled as one graph, without breaks at its buckets."""
        objective.module.to(self.device)
        if self.stage.config.compile:
            objective.module.compile()
        return wrap(objective.module)

    def step(self, batch: Any) -> dict[str, Tensor]:
        """Move every objective that is due by one optimizer step; return the terms to report."""
        self.stage.model.train()
        self.pieces = self.pieces or self._fit_memory(batch)
        torch.manual_seed(seed_at(self.seed, DROPOUT, self.samples_seen, self.rank))
        terms: dict[str, Tensor] = {}
        generator = generator_at(self.seed, NOISE, self.samples_seen, self.rank, self.device)
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
        module, averages = self.modules[objective.name], Averages()
        pieces = batch.chunk(self.pieces)
        for number, piece in enumerate(pieces):
            draws = objective.module.draw(piece, generator)
            with _synchronise(module, last=number == len(pieces) - 1):
                averages.add(self._backward(module, piece, draws), len(piece))
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        name = "gradient_norm" if len(self.optimizers) == 1 else f"gradient_norm/{objective.name}"
        return {**averages.means(), name: norm.detach()}

    def _backward(self, module: nn.Module, piece: Any, draws: Any) -> dict[str, Tensor]:
        """Add a piece's share to the gradient of the whole batch; return its terms."""
        config = self.stage.config
        with float32_products(config.precision):
            with autocast(config.precision, self.device.type):
                loss, terms = module(piece, draws)
            # DDP takes the mean over workers, whose shares may differ by one
            (loss * (len(piece) * self.world_size / config.batch_size)).backward()
        named: dict[str, Tensor] = terms
        return named

    def _fit_memory(self, batch: Any) -> int:
        """Return the fewest pieces of a batch that fit the GPU's memory, the same on all workers; 1 on a CPU."""
        if self.device.type != "cuda":
            return 1
        trained = (p for o in self.stage.objectives for _, p in o.named_parameters())
        moments = sum(2 * p.nbytes for p in trained)  # Adam's, allocated by its first step
        pieces = fewest_pieces(
            len(batch), lambda count: fits_memory(partial(self._try_piece, batch, count), moments, self.device)
        )
        if not pieces:
            raise TrainingError(
                f"stage {self.stage.name}: one sample does not fit the memory of {self.device}; take a smaller"
                " model, precision: bfloat16, or a larger GPU"
            )
        if self.world_size > 1:
            most = torch.tensor(pieces, device=self.device)
            torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
            pieces = int(most)
        logger.info("stage %s: batches are cut into %d pieces per worker", self.stage.name, pieces)
        return pieces

    def _try_piece(self, batch: Any, pieces: int) -> None:
        """Run forward and backward of the first of so many pieces, and leave no gradient."""
        piece, generator = batch.chunk(pieces)[0], generator_at(self.seed, NOISE, 0, self.rank, self.device)
        try:
            for objective in self.stage.objectives:
                self._backward(objective.module, piece, objective.module.draw(piece, generator))
        finally:
            self.stage.model.zero_grad(set_to_none=True)

    @torch.no_grad()
    def monitor(self, batch: Any) -> dict[str, float]:
        """Return the stage's own measures of the averaged model on a held-out batch, the same noise every time."""
        self.ema.module.eval()
        return self.stage.monitor(self.ema.module, batch, generator_at(self.seed, MONITOR, 0, device=self.device))

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
