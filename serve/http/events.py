"""Server-sent events (WHATWG HTML, section 9.2): the progress of a request, then its pictures or its problem."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.http.answers import ProgressEvent
from serve.http.connection import end, until_disconnect
from serve.http.pictures import as_answer, as_texts
from serve.problems import Problem, internal_problem, log_failure
from serve.tasks import GeneratedImages, Presentation, SamplingProgress

Item = SamplingProgress | GeneratedImages
MEDIA_TYPE = "text/event-stream"
HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
PROBLEM_SECONDS = 1.0  # a problem that is known within this time is answered as one, with its status
HEARTBEAT_SECONDS = 15.0  # proxies close connections on which nothing moves
HEARTBEAT = b": waiting\n\n"


def format_event(name: str, data: BaseModel) -> bytes:
    """Return an event; JSON has no line breaks, so its data is one line."""
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


def describe(item: Item, presentation: Presentation) -> bytes:
    """Return the event of a step, or of the end."""
    if isinstance(item, GeneratedImages):
        return format_event("done", as_answer(item, presentation))
    images = as_texts(item.pictures) if item.pictures is not None else ()
    return format_event("progress", ProgressEvent(step=item.step, steps=item.steps, images=images))


class EventStream(Response):
    """Sends the items of an iterator, and closes it as soon as the client has disconnected.

    With `has_own_status` a problem that comes at once becomes the answer itself; otherwise it is an event like others.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        items: AsyncIterator[Item],
        presentation: Presentation,
        model: str = "",
        has_own_status: bool = True,
    ) -> None:
        self.status_code, self.background = 200, None
        self._items, self._presentation, self._has_own_status = items, presentation, has_own_status
        self.init_headers({**HEADERS, **({"X-Model": model} if model else {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end, the first problem, or the client's disconnect."""
        gone = asyncio.create_task(until_disconnect(receive))
        following = asyncio.create_task(self._next())
        begun = False
        try:
            if not self._has_own_status:
                begun = await self._begin(send)
            while True:
                seconds = HEARTBEAT_SECONDS if begun else PROBLEM_SECONDS
                await asyncio.wait({gone, following}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return
                event, is_last = HEARTBEAT, False
                if following.done():
                    event, is_last = await self._take(following, begun)
                    if not is_last:
                        following = asyncio.create_task(self._next())
                begun = begun or await self._begin(send)
                await send({"type": "http.response.body", "body": event, "more_body": not is_last})
                if is_last:
                    return
        finally:
            await end(gone, following, items=self._items)

    async def _begin(self, send: Send) -> bool:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        return True

    async def _next(self) -> Item:
        return await anext(self._items)

    async def _take(self, following: "asyncio.Task[Item]", begun: bool) -> tuple[bytes, bool]:
        """Return the event of the next item, and whether it is the last one."""
        try:
            item = following.result()
            event = await asyncio.to_thread(describe, item, self._presentation)
            return event, isinstance(item, GeneratedImages)
        except Problem as problem:
            if not begun:
                raise
            return format_event("problem", problem.details), True
        except Exception as error:
            if not begun:
                raise
            log_failure(error)
            return format_event("problem", internal_problem().details), True
