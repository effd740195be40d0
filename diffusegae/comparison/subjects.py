"""The subjects of the comparison: a trained method by its name, as something that can be measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffusegae.baselines.baseline import Baseline
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.baselines.loading import load_baseline
from diffusegae.checkpoint import read_meta
from diffusegae.config.compare import OURS, MethodName
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.editing.method import Codes, Images, Method
from diffusegae.images import to_tensor
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.smoothness import DdimPath, PathGenerator
from diffusegae.schema import AttributeSchema

# Their codes are no representation: x_T itself, or the picture with its labels beside it.
WITHOUT_CODES: frozenset[MethodName] = frozenset({"ddim", "stargan"})
TITLES: Mapping[MethodName, str] = {
    "diffusegae": "DiffuseGAE (ours)",
    "diffae": "Diff-AE",
    "pdae": "PDAE",
    "gzsnet": "GZS-Net",
    "ae_ds": "AE + DS",
    "ddim": "DDIM",
    "stargan": "StarGAN",
    "elegant": "ELEGANT",
}


@dataclass(frozen=True)
class Subject:
    """A trained method, the paths through its code if its pictures are sampled, and how many weights it has."""

    name: MethodName
    method: Method
    path: PathGenerator | None
    parameters: int

    @property
    def measures_codes(self) -> bool:
        """Whether its code is a representation that can be probed."""
        return self.name not in WITHOUT_CODES


@dataclass(frozen=True)
class LatentPath:
    """Paths through the z_sem of a diffusion method, sampled by DDIM."""

    method: LatentDiffusionMethod

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        return self.method.image_size

    def encode(self, images: Images) -> Codes:
        """Return the codes between which paths run."""
        return self.method.encode(images)

    def generate(self, codes: Codes, x_T: Images, steps: int) -> Images:
        """Return images of codes from given noise."""
        sampling = SamplingConfig(sampler="ddim", steps=steps, clip=self.method.sampling.clip)
        return self.method.with_sampling(sampling).generate(codes, x_T)


def load_subject(name: MethodName, checkpoint: Path, expected: AttributeSchema, device: torch.device | str) -> Subject:
    """Return the method of a checkpoint; CheckpointError or SchemaError if it can't be that.

    Ours after stage 1 has no z_dis yet: it is measured by its undivided z_sem, as Diff-AE is.
    """
    if name == OURS:
        editor = load_editor(checkpoint, device, expected)
        counts = editor.model.parameter_counts()
        if read_meta(checkpoint).stage == "pretrain":
            return Subject(name, _stage_1(editor), DdimPath(editor, "z_sem"), counts["encoder"] + counts["unet"])
        return Subject(name, editor, DdimPath(editor), _count(counts))
    baseline: Baseline = load_baseline(checkpoint, expected)
    method = baseline.method(device)
    path = LatentPath(method) if isinstance(method, LatentDiffusionMethod) else None
    return Subject(name, method, path, _count(baseline.parameter_counts()))


def prepare_subject(subject: Subject, judging: Judging) -> None:
    """Let a method learn from training images what it needs before it can edit: Diff-AE's and PDAE's directions."""
    method, train = subject.method, judging.train
    if isinstance(method, LatentDiffusionMethod):
        method.fit_directions(_encode(method, judging), torch.from_numpy(train.labels).long())


def _stage_1(editor: Editor) -> LatentDiffusionMethod:
    return LatentDiffusionMethod(editor.model.encode, editor.denoiser, editor.config, editor.schema, editor.device)


def _encode(method: Method | Editor, judging: Judging) -> Tensor:
    batch, pixels = judging.config.evaluate.batch_size, judging.train.images
    return torch.cat(
        [method.encode(to_tensor(pixels[start : start + batch])).cpu() for start in range(0, len(pixels), batch)]
    )


def _count(parts: Mapping[str, int]) -> int:
    return sum(parts.values())
