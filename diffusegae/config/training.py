"""How each of the three stages trains, and on what resources. Defaults are the paper's."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diffusegae.config.base import Config

ModuleName = Literal["encoder", "unet", "gae"]
Precision = Literal["float32", "tf32", "bfloat16"]


class StageConfig(Config):
    """What every stage shares. A sample is an image in stage 1 and a GROUP in stages 2 and 3."""

    num_samples: int = Field(gt=0, description="Samples to train on in all; progress is counted in them.")
    batch_size: int = Field(gt=0, description="Samples per optimizer step, over all workers.")
    accumulate: Annotated[int, Field(gt=0)] | Literal["auto"] = Field(
        1,
        description="Pieces a worker cuts its share of a batch into; auto takes the fewest that fit the GPU's memory.",
    )
    learning_rate: float = Field(gt=0, description="Adam's rate, without weight decay.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's betas.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    warmup_samples: int = Field(0, ge=0, description="Samples over which the rate rises from zero.")
    decay_from: float = Field(
        1.0, ge=0, le=1, description="Share of the run after which the rate falls linearly to zero."
    )
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Decay of the weights' moving average.")
    precision: Precision = Field(
        "float32",
        description="Arithmetic of the step: tf32 rounds the factors of matrix products on GPUs, bfloat16 runs the"
        " forward under autocast. Weights and optimizer stay float32.",
    )
    channels_last: bool = Field(
        False, description="On GPUs, keep images and convolutions in NHWC, which tensor cores read directly."
    )
    compile: bool = Field(False, description="Compile loss and networks with torch.compile.")
    report_every_samples: int = Field(6400, gt=0, description="Samples between two reports of metrics.")
    checkpoint_every_samples: int = Field(25600, gt=0, description="Samples between two checkpoints.")
    checkpoint_every_minutes: float = Field(
        5, ge=0, description="Minutes after a checkpoint in which there is another one, however few samples; 0: never."
    )
    grid_every_samples: int = Field(51200, gt=0, description="Samples between two pictures.")
    best_by: str = Field(
        "", description="Reported metric whose lowest value marks the best checkpoint, which is kept beside the last."
    )
    hand_on: Literal["last", "best"] = Field("last", description="Checkpoint that the next step starts from.")


class GroupStageConfig(StageConfig):
    """What every stage shares whose samples are GROUP(C, s)."""

    shared: int = Field(1, gt=0, description="s of GROUP(C, s): how many attributes a partner shares with its centre.")
    partners: Literal["auto", "exact", "sharing"] = Field(
        "auto",
        description="exact: a partner differs in all other attributes (Definition 1); sharing: by chance; auto: exact,"
        " unless most centres have no such partner.",
    )
    balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: each image is a centre as often as any other; 1: each value of an attribute is about as often"
        " in a centre as any other value of it; for long tails.",
    )


class PretrainConfig(StageConfig):
    """Stage 1: encoder and UNet by L_simple (Eq. 1). Rate, batch and length are Diff-AE's at 128 px."""

    num_samples: int = Field(130_000_000, gt=0, description="Images to train on.")
    batch_size: int = Field(128, gt=0, description="Images per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate.")
    lambda_canvas: float = Field(
        0.0, ge=0, description="Weight of the squared distance of the UNet's canvas from the image; not the paper's."
    )
    min_told: float = Field(
        0.5,
        ge=0,
        le=1,
        description="What z_sem must tell of every attribute before stage 2 may begin: the share of validation images"
        " that a probe reads right, 0 being the commonest value's share.",
    )


class RefineConfig(GroupStageConfig):
    """Stage 2: the GAE on GROUP(z, s) by L_dis (Eq. 11)."""

    num_samples: int = Field(100_000_000, gt=0, description="GROUPs to train on.")
    batch_size: int = Field(2048, gt=0, description="GROUPs per optimizer step.")
    learning_rate: float = Field(4e-5, gt=0, description="Adam's rate.")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="Decay of the weights' moving average.")
    lambda_ss: float = Field(1.0, ge=0, description="Weight of the supervised swap.")
    lambda_ur: float = Field(0.5, ge=0, description="Weight of the unsupervised reassembly.")
    lambda_agree: float = Field(
        0.0, ge=0, description="Weight, rising from 0, of the distance between shared parts; not the paper's."
    )
    lambda_bend: float = Field(
        0.0, ge=0, description="Weight, rising from 0, of how bent ways between codes are; not the paper's."
    )
    whitening_power: float = Field(0.0, ge=0, le=1, description="0: z-score per dimension; 1: PCA-whitened latents.")
    donors: Literal["group", "batch"] = Field("group", description="Where z_u's parts come from (Eq. 10).")


class FinetuneConfig(GroupStageConfig):
    """Stage 3: all together on GROUPs of images by L_simple + gamma L_dis (Eq. 12)."""

    num_samples: int = Field(2_000_000, gt=0, description="GROUPs to train on.")
    batch_size: int = Field(32, gt=0, description="GROUPs per optimizer step.")
    learning_rate: float = Field(1e-5, gt=0, description="Adam's rate.")
    lambda_ss: float = Field(0.5, ge=0, description="Weight of the supervised swap.")
    lambda_ur: float = Field(0.5, ge=0, description="Weight of the unsupervised reassembly.")
    lambda_agree: float = Field(0.0, ge=0, description="Weight of the distance between shared parts; not the paper's.")
    lambda_bend: float = Field(0.0, ge=0, description="Weight of how bent ways between codes are; not the paper's.")
    gamma: float = Field(1.0, ge=0, description="Weight of L_dis.")
    lambda_canvas: float = Field(0.0, ge=0, description="As in stage 1, beside L_simple and under the same condition.")
    donors: Literal["group", "batch"] = Field("group", description="Where z_u's parts come from (Eq. 10).")
    condition: Literal["reconstructed", "reassembled"] = Field(
        "reconstructed",
        description="The z that L_simple hands the UNet: the GAE's reconstruction of each member, or its reassembly"
        " from parts of the members that share them.",
    )
    detach_target: bool = Field(
        True, description="Stop the gradient through L_dis' target, so that z_sem can't shrink."
    )
    train: tuple[ModuleName, ...] = Field(("encoder", "gae", "unet"), description="Parts that train; others freeze.")
    rate_factors: dict[ModuleName, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Factors on the learning rate of single parts; 1 where none is named."
    )


class ResourcesConfig(Config):
    """What one training run asks of the cluster; none of it changes what is trained on."""

    num_workers: Annotated[int, Field(gt=0)] | tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = Field(
        1, description="Data-parallel workers; [min, max] takes as many as the cluster has, and adapts."
    )
    wait_minutes: float = Field(
        15,
        ge=0,
        description="Minutes to wait for machines, as of an autoscaler, where the cluster can't hold what is asked for."
        " A Ray of this machine's own, which no other can join, isn't waited for.",
    )
    resize_seconds: float = Field(60, gt=0, description="Seconds between two looks whether more workers would fit.")
    cpus_per_worker: float = Field(2, gt=0, description="CPUs of each worker; also its torch threads.")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs of each worker; 0 trains on the CPU.")
    worker_resources: dict[str, float] = Field(
        default_factory=dict, description="Custom resources of each worker, e.g. {trainer: 1} to keep it on some nodes."
    )
    placement: Literal["PACK", "SPREAD"] = Field("PACK", description="Few nodes, or as many as there are.")
    compress_gradients: bool = Field(
        False, description="Send gradients between GPU workers as bfloat16, for networks slower than NVLink."
    )
    decode: Literal["worker", "cluster"] = Field(
        "worker", description="Who decodes images: the training workers, or tasks on any node's CPUs, for fast GPUs."
    )
    decode_threads: int = Field(
        0,
        ge=0,
        description="Threads of a worker that decode; 0: one for each of its CPUs beside a GPU, else a single one.",
    )
    reader_resources: dict[str, float] = Field(
        default_factory=dict, description="Custom resources of reading tasks, e.g. {decoder: 0.1}."
    )
    max_failures: int = Field(10, ge=-1, description="Worker failures a run survives, preemptions aside; -1: any.")
    keep_checkpoints: int = Field(2, gt=0, description="Checkpoints kept of a running stage.")
    journal: bool = Field(
        False, description="Write the keys of every step's samples beside the run, to audit what it trained on."
    )
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Known rates per second of single jobs, e.g. {pretrain: 134}, to forecast from; else measured.",
    )
    encode_actors: int = Field(1, gt=0, description="Actors that encode a data set side by side.")
    encode_batch: int = Field(256, gt=0, description="Images per encoding call.")

    @property
    def decoders(self) -> int:
        """The threads that decode in each worker."""
        return self.decode_threads or (max(1, int(self.cpus_per_worker)) if self.gpus_per_worker else 1)

    @property
    def per_worker(self) -> dict[str, float]:
        """The resources of each worker, as Ray names them."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return {"CPU": self.cpus_per_worker, **self.worker_resources, **gpus}

    @property
    def settings_per_worker(self) -> dict[str, str]:
        """The config's key of each of a worker's resources."""
        own = dict.fromkeys(self.worker_resources, "resources.worker_resources")
        return {"CPU": "resources.cpus_per_worker", **own, "GPU": "resources.gpus_per_worker"}

    @property
    def min_workers(self) -> int:
        """The fewest workers that training runs with."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that training runs with."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]

    @model_validator(mode="after")
    def _check_workers(self) -> "ResourcesConfig":
        if self.compress_gradients and not self.gpus_per_worker:
            raise ValueError(
                "resources.compress_gradients sends bfloat16 over NCCL, which needs GPUs, but resources.gpus_per_worker"
                " is 0; change one of them"
            )
        if self.min_workers > self.max_workers:
            raise ValueError(f"resources.num_workers is [min, max], but {self.num_workers} begins with the larger one")
        return self
