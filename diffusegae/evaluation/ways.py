"""Which way an undivided code is edited in, chosen by pictures on edits of training images, for Diff-AE and PDAE."""

import json

import numpy as np
import torch
from jaxtyping import Integer
from safetensors.torch import load, save

from diffusegae import storage
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod, Validation
from diffusegae.baselines.ways import editing_note
from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.plan import replace_labels
from diffusegae.metrics.distances import mse

VALIDATION_EDITS = 32  # of each attribute
NUM_CANDIDATES = 256
WEIGHTS, CHOSEN = "ways.safetensors", "ways.json"


def prepare_ways(bench: Bench, folder: str) -> None:
    """Fit the ways of editing on the training images of the plan, choose one for each attribute, and keep them."""
    context, method = bench.context, bench.quick.method
    assert isinstance(method, LatentDiffusionMethod)
    codes = bench.quick.encode(context.lookup.take(context.plan.train))
    method.fit_ways(torch.from_numpy(codes), torch.from_numpy(context.labels(context.plan.train)[:, 0]).long())
    distance = context.perceptual or mse
    method.choose([_validation(bench, a) for a in range(len(context.schema.names))], distance)
    fitted, chosen = method.ways_state()
    storage.write_bytes(storage.join(folder, WEIGHTS), save({name: each.cpu() for name, each in fitted.items()}))
    storage.write_bytes(storage.join(folder, CHOSEN), chosen.encode())  # last: with it they are whole


def take_ways(method: LatentDiffusionMethod, folder: str) -> None:
    """Give a method the ways that `prepare_ways` kept."""
    fitted = load(storage.read_bytes(storage.join(folder, WEIGHTS)))
    method.take_ways(fitted, storage.read_bytes(storage.join(folder, CHOSEN)).decode())


def read_note(folder: str) -> str:
    """Return a sentence that names the way of each attribute."""
    return editing_note(json.loads(storage.read_bytes(storage.join(folder, CHOSEN))))


def _validation(bench: Bench, attribute: int) -> Validation:
    """Return edits of one attribute between training images, whose true picture is a training image, too."""
    context = bench.context
    plan, generator = context.plan, np.random.default_rng([context.config.evaluate.seed, attribute])
    labels = context.labels(plan.train)
    sources = generator.integers(len(plan.train), size=VALIDATION_EDITS)
    donors = generator.integers(len(plan.train), size=(VALIDATION_EDITS, NUM_CANDIDATES))
    results = replace_labels(np.broadcast_to(labels[sources][:, None], labels[donors].shape), labels[donors])
    wanted = results[..., attribute, 1, :]
    trained = ImageLookup(context.lookup.uri, context.lookup.manifest, plan.labels.take(plan.train))
    found = trained.find(wanted.reshape(-1, wanted.shape[-1]), context.schema.group_columns)
    truths: Integer[np.ndarray, "edits candidates"] = found.reshape(donors.shape)
    changes = labels[donors][..., 1, attribute] != labels[sources][:, None, 1, attribute]
    best = ((truths != NOT_FOUND) & changes).argmax(axis=1)
    chosen = np.arange(VALIDATION_EDITS)
    usable = ((truths != NOT_FOUND) & changes)[chosen, best]
    rows = (sources, donors[chosen, best], truths[chosen, best])
    pictures = [context.images(plan.train[each[usable]]) for each in rows]
    return pictures[0], pictures[1], pictures[2], attribute
