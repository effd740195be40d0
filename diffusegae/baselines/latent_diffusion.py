"""The method of diffusion auto-encoders with an undivided code: Diff-AE and PDAE.

A picture is z_sem and the x_T that is inferred under it. Whole pictures are blended by Lerp of z_sem and Slerp of x_T.
Single attributes change by the ways of ways.py, which are fitted to labelled codes of training images; which way serves
an attribute best is chosen by pictures, of edits among training images whose truth is known (`choose`).
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffusegae.baselines.ways import Moves, Way, editing_note, ways_of
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion import samplers
from diffusegae.diffusion.process import Denoise, noise_for_seeds, slerp
from diffusegae.diffusion.schedule import schedule_of
from diffusegae.editing.method import Codes, Images, UnsupportedError
from diffusegae.editing.operations import Noise
from diffusegae.schema import AttributeSchema

Validation = tuple[Images, Images, Images, int]  # sources, donors, truths, and the index of the attribute that changes
Distance = Callable[[Images, Images], Float[Tensor, " batch"]]


class LatentDiffusionMethod:
    """Edits pictures by their z_sem and x_T; satisfies `Method`. `chosen` names each attribute's way."""

    def __init__(
        self,
        encoder: Callable[[Images], Codes],
        denoiser: Callable[[Codes], Denoise],
        config: PipelineConfig,
        schema: AttributeSchema,
        device: torch.device | str = "cpu",
        sampling: SamplingConfig | None = None,
    ) -> None:
        self.encoder, self.denoiser = encoder, denoiser
        self.config, self.schema, self.device = config, schema, torch.device(device)
        self.sampling = sampling or config.sampling
        self.moves: Moves | None = None
        self.chosen = {name: next(iter(self.ways(name))) for name in schema.names}
        self.schedule = schedule_of(config.diffusion)

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.config.model.image_size

    @property
    def parts(self) -> tuple[slice, ...] | None:
        """None: z_sem is undivided."""
        return None

    def with_sampling(self, sampling: SamplingConfig) -> "LatentDiffusionMethod":
        """Return the method of the same networks and ways that samples otherwise."""
        other = copy.copy(self)
        other.sampling = sampling
        return other

    def ways(self, name: str) -> dict[str, Way]:
        """Return the ways in which an attribute can change, by name."""
        return ways_of(self.schema.names, self.schema.index_of(name))

    def fit_ways(self, codes: Codes, labels: Int[Tensor, "batch attributes"]) -> None:
        """Learn from codes and labels of training images, whose values go by name, how single attributes change."""
        places = torch.from_numpy(self.schema.places(labels.cpu().numpy()))
        self.moves = Moves.fit(codes.to(self.device), places, self.schema.cardinalities)

    @torch.inference_mode()
    def choose(self, validation: Sequence[Validation], distance: Distance) -> dict[str, str]:
        """Choose each attribute's way by pictures, and return the ways' names by attribute.

        Each batch of edits is made in every way; the way with the least mean distance of its pictures to the truths is
        kept. An attribute that no batch changes keeps its way. `distance` takes images made and true, [batch, 3, size,
        size] in [-1, 1], and gives one figure for each. The edits must come from training images alone.
        """
        moves, totals = self._fitted(), dict[str, dict[str, float]]()
        for sources, donors, truths, attribute in validation:
            name = self.schema.names[attribute]
            codes, donated = self.encode(sources), self.encode(donors)
            x_T = self.infer_noise(sources, codes)
            present, wanted = moves.read(codes), moves.read(donated)
            found = totals.setdefault(name, dict.fromkeys(self.ways(name), 0.0))
            for title, way in self.ways(name).items():
                moved = codes + moves.step(way, codes, donated, present, wanted, attribute)
                found[title] += float(distance(self.generate(moved, x_T), truths.to(self.device)).sum())
        self.chosen |= {name: min(found, key=found.__getitem__) for name, found in totals.items()}
        return dict(self.chosen)

    def editing_note(self) -> str:
        """Return a sentence that names each attribute's way."""
        return editing_note(self.chosen)

    def ways_state(self) -> tuple[dict[str, Tensor], str]:
        """Return what was fitted, flat for a safetensors file, and what was chosen, as JSON; see `take_ways`."""
        return self._fitted().tensors(), json.dumps(self.chosen)

    def take_ways(self, fitted: Mapping[str, Tensor], chosen: str) -> None:
        """Take over what `ways_state` gave."""
        self.moves = Moves.of_tensors(fitted, len(self.schema.names), self.device)
        self.chosen = json.loads(chosen)

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return z_sem, [batch, z_sem]."""
        return self.encoder(images.to(self.device))

    @torch.inference_mode()
    def infer_noise(self, images: Images, codes: Codes) -> Noise:
        """Return the x_T from which the codes generate these very images (Eq. 7)."""
        denoise = self.denoiser(codes.to(self.device))
        return samplers.invert(denoise, images.to(self.device), self.schedule, self.sampling)

    @torch.inference_mode()
    def generate(self, codes: Codes, x_T: Noise) -> Images:
        """Return images of codes from given noise."""
        return samplers.sample(self.denoiser(codes.to(self.device)), x_T, self.schedule, self.sampling)

    def noise(self, seeds: Sequence[int]) -> Noise:
        """Return x_T ~ N(0, I), one per seed."""
        return noise_for_seeds(seeds, (3, self.image_size, self.image_size), self.device)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes from the noise of each image's seed."""
        return self.generate(codes, self.noise(seeds))

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back: from inferred x_T, or from the noise of seeds if given."""
        codes = self.encode(images)
        return self.generate(codes, self.infer_noise(images, codes) if seeds is None else self.noise(seeds))

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source moved to its donors' values, from the x_T inferred under its own z_sem (facts §8.23)."""
        return self.edit_each(source, [donors])[0]

    def edit_each(self, source: Images, changes: Sequence[Mapping[str, Images]]) -> list[Images]:
        """Return the source after each of several edits, as `edit` does; its x_T is inferred once.

        An edit without donors brings the source back.
        """
        codes = self.encode(source)
        moved = [self._move(codes, donors) for donors in changes]
        x_T = self.infer_noise(source, codes)
        return [self.generate(each, x_T) for each in moved]

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return the first attribute's donor moved to the values of the others', from the noise of seeds."""
        first, *others = self.schema.names
        codes = self._move(self.encode(donors[first]), {name: donors[name] for name in others})
        return self.decode(codes, seeds)

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` images from source to target.

        All attributes: Lerp of z_sem, Slerp of x_T. Some: Lerp to the edited code, x_T stays the source's.
        """
        start = self.encode(source)
        first = self.infer_noise(source, start)
        if set(names) == set(self.schema.names):
            end = self.encode(target)
            last = self.infer_noise(target, end)
        else:
            end, last = self._move(start, dict.fromkeys(names, target)), None
        return [
            self.generate(torch.lerp(start, end, alpha), first if last is None else slerp(first, last, alpha))
            for alpha in torch.linspace(0, 1, frames).tolist()
        ]

    @torch.inference_mode()
    def _move(self, codes: Codes, donors: Mapping[str, Images]) -> Codes:
        """Return the codes with one attribute after another changed; their values are read once, before the first."""
        if not donors:
            return codes
        moves = self._fitted()
        present = moves.read(codes)
        for name, images in donors.items():
            attribute, donated = self.schema.index_of(name), self.encode(images)
            wanted = moves.read(donated)
            way = self.ways(name)[self.chosen[name]]
            codes = codes + moves.step(way, codes, donated, present, wanted, attribute)
            present = present.index_copy(1, torch.tensor([attribute], device=present.device), wanted[:, [attribute]])
        return codes

    def _fitted(self) -> Moves:
        if self.moves is None:
            raise UnsupportedError(
                f"an undivided code says nothing of {', '.join(self.schema.names)} by itself; call"
                " fit_ways(codes, labels) with the training images' first"
            )
        return self.moves
