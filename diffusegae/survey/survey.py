"""The survey: from an address of pictures to what they are and the config that is proposed for them."""

from pathlib import Path
from typing import NamedTuple

import torch

from diffusegae import storage
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.sources.listed import ListedConfig
from diffusegae.survey.detect import detect, tabulate_folders
from diffusegae.survey.labels import LabelSurvey, survey_labels
from diffusegae.survey.pictures import PictureSurvey, survey_pictures
from diffusegae.survey.proposal import Proposal, SurveyError, propose


class Survey(NamedTuple):
    """What was found."""

    source: ListedConfig
    labels: LabelSurvey
    pictures: PictureSurvey
    proposal: Proposal


def survey(images: str, table: str, path_column: str, own_table: Path) -> Survey:
    """Survey the pictures at an address; the labels of plain folders are written to `own_table`.

    Raises:
        SourceError: nothing is there, it is damaged, or nothing that is known.
        SurveyError: no model that edits can be trained of it.
    """
    source = detect(images, table, path_column)
    if source is None:
        own_table.write_bytes(tabulate_folders(images))
        source = FolderConfig(images=images, table=str(own_table))
    if not isinstance(source, ListedConfig):
        raise SurveyError(f"{images}: pictures of kind {source.kind!r} are rendered; take its preset")
    source = source.model_copy(update={name: storage.resolve(getattr(source, name)) for name in source.addresses})
    labels = survey_labels(source, source.label_names())
    pictures = survey_pictures(source.reader(), labels.members)
    return Survey(source, labels, pictures, propose(labels, pictures, torch.cuda.device_count()))
