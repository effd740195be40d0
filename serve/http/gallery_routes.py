"""The routes under /v1/gallery: pictures to try the model on, and the true picture of an edit between them."""

from typing import Any

from fastapi import APIRouter, Request, Response

from serve.http.messages import Message
from serve.models.gallery import Gallery, GalleryItem
from serve.problems import MEDIA_TYPE, ProblemDetails

PNG = "image/png"
VALUE_PREFIX = "values."
# A key is a hash of the picture, so what it addresses never changes. Private: the service may ask for a token.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


class GalleryResponse(Message):
    """The pictures of the gallery, the first ones the most varied."""

    items: tuple[GalleryItem, ...]


class GalleryRoutes:
    """The routes of a gallery."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def router(self) -> APIRouter:
        """Return the routes, to be put below /v1; they run in threads, because pictures are read from storage."""
        router = APIRouter(prefix="/gallery", tags=["gallery"])
        content: dict[str, Any] = {PNG: {"schema": {"type": "string", "format": "binary"}}}
        picture: dict[int | str, dict[str, Any]] = {
            200: {"description": "The picture as PNG.", "content": content},
            404: {
                "description": "No such picture.",
                "content": {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}},
            },
        }
        router.add_api_route("", self._list, response_model=GalleryResponse)
        options: dict[str, Any] = {"response_class": Response, "responses": picture}
        router.add_api_route("/{key}", self._show, **options)
        router.add_api_route("/{key}/truth", self._show_truth, **options)
        return router

    def _list(self) -> GalleryResponse:
        """List the gallery: held-out pictures that training never saw."""
        return GalleryResponse(items=self._gallery.items)

    def _show(self, key: str) -> Response:
        """Return a picture of the gallery."""
        return Response(self._gallery.picture(key), media_type=PNG, headers=FOREVER)

    def _show_truth(self, key: str, request: Request) -> Response:
        """Return what an edit should show.

        `?ATTRIBUTE=KEY` takes an attribute from another picture of the gallery, `?values.ATTRIBUTE=VALUE` a value.
        """
        asked = dict(request.query_params)
        if "model" not in self._gallery.schema.names:  # which every route of the API takes, and does not matter here
            asked.pop("model", None)
        donors = {name: donor for name, donor in asked.items() if name in self._gallery.schema.names}
        values = {
            name.removeprefix(VALUE_PREFIX): value
            for name, value in asked.items()
            if name.startswith(VALUE_PREFIX) and name not in donors
        }
        for name in asked:
            if name not in donors and name.removeprefix(VALUE_PREFIX) not in values:
                self._gallery.attribute(name)
        return Response(self._gallery.truth(key, donors, values), media_type=PNG, headers=FOREVER)
