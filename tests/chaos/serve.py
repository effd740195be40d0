"""Kill replicas of the service, roll out versions, overload and scale it under load, and check every answer.

    python -m tests.chaos.serve --what model --minutes 10      a model replica is killed (kill -9) every 20 s
    python -m tests.chaos.serve --what ingress --minutes 10    an ingress replica is killed every 20 s
    python -m tests.chaos.serve --what rollout --times 20      two versions are rolled out in turn
    python -m tests.chaos.serve --what overload                four times as many requests per second as it can do
    python -m tests.chaos.serve --what scale                   from one replica to two and back

The tiny model of the tests is served with Ray Serve on this machine; where replicas are killed, by two of each
deployment. Every answer is compared with the picture that its
version (X-Model) makes of the same request when nothing else happens: a difference of more than one level is wrong.
"""

import argparse
import asyncio
import random
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from diffusegae.checkpoint import read_meta, read_tensors, save_checkpoint
from diffusegae.images import decode_image, encode_image
from serve.deploy.control import APPLICATION, application_details
from tests.serve.running import RunningService, register, running_service
from tests.tiny import save_tiny_checkpoint, smoke_config, tiny_schema

STEPS, NUM_REQUESTS = 20, 8
WARM_SECONDS = 3.0
RETRY_SECONDS = 0.5  # the client's longest pause before its first retry
GENERATOR = np.random.default_rng(0)
SOURCES = [encode_image(GENERATOR.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(NUM_REQUESTS)]


@dataclass
class Answers:
    """What a load was answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    broken: int = 0  # requests that the service left without an answer: the connection broke, or the proxy says so
    retried: int = 0
    lost: int = 0  # requests that got no answer in the end
    refused_seconds: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # when each good answer came

    def rate(self, begin: float, end: float) -> float:
        """Return how many good answers came per second in a time."""
        return sum(begin <= when < end for when in self.ends) / (end - begin)

    @property
    def told(self) -> str:
        """What there is to say of all of them."""
        good = f"{sum(self.statuses.values())} answers by status {dict(self.statuses)}, wrong pictures {self.wrong}"
        return f"{good}; broken off {self.broken}, sent again {self.retried}, lost {self.lost}"


class Load:
    """Clients that ask without a pause and compare what they get."""

    def __init__(self, service: RunningService, steps: int = STEPS, retries: int = 0) -> None:
        self.service, self.steps, self.retries = service, steps, retries
        self.answers, self.own = Answers(), dict[tuple[str, int], np.ndarray]()  # type: ignore[type-arg]
        self._stop, self._lock = threading.Event(), threading.Lock()

    def learn(self) -> None:
        """Keep the served version's own pictures; to be called while nothing else happens."""
        with httpx.Client() as client:
            for number in range(NUM_REQUESTS):
                answer = self._post(client, number)
                answer.raise_for_status()
                self.own[answer.headers["x-model"], number] = decode_image(answer.content)

    @contextmanager
    def running(self, clients: int) -> Iterator[Answers]:
        """Ask with a number of clients until the block ends; give what is answered."""
        self._stop.clear()
        threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self.answers
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, seed: int) -> None:
        chosen = random.Random(seed)
        with httpx.Client() as client:
            while not self._stop.is_set():
                self._once(client, chosen.randrange(NUM_REQUESTS))

    def _once(self, client: httpx.Client, number: int, attempt: int = 0) -> None:
        started = time.monotonic()
        try:
            answer = self._post(client, number)
        except httpx.TransportError:
            answer = None
        if answer is not None and not _is_proxys(answer):
            with self._lock:
                self._note(answer, number, time.monotonic() - started)
            return
        with self._lock:
            self.answers.broken += 1
        if attempt < self.retries:
            time.sleep(random.uniform(0, RETRY_SECONDS))
            self.answers.retried += 1
            self._once(client, number, attempt + 1)
        else:
            self.answers.lost += 1

    def _note(self, answer: httpx.Response, number: int, seconds: float) -> None:
        self.answers.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            self.answers.refused_seconds.append(seconds)
            return
        self.answers.seconds.append(seconds)
        self.answers.ends.append(time.monotonic())
        model = answer.headers["x-model"]
        self.answers.models[model] += 1
        if (model, number) in self.own:
            difference = decode_image(answer.content).astype(int) - self.own[model, number]
            self.answers.wrong += int(abs(difference).max() > 1)

    async def once_async(self, client: httpx.AsyncClient, number: int) -> None:
        """Ask once, without a thread; a connection that breaks is an error here."""
        started = time.monotonic()
        answer = await client.post(**self._request(number))
        self._note(answer, number, time.monotonic() - started)

    def _post(self, client: httpx.Client, number: int) -> httpx.Response:
        return client.post(**self._request(number))

    def _request(self, number: int) -> dict[str, Any]:
        return {
            "url": f"{self.service.url}/v1/reconstruct",
            "files": {"source": ("s.png", SOURCES[number])},
            "data": {"steps": str(self.steps), "x_T": "random", "seed": str(number)},
            "timeout": 120,
        }


def _is_proxys(answer: httpx.Response) -> bool:
    """Whether the proxy answers in the service's place; the service's own errors are problem documents."""
    return answer.status_code >= 500 and answer.headers["content-type"] != "application/problem+json"


def replicas(service: RunningService, deployment: str) -> list[psutil.Process]:
    """Return the processes of a deployment's replicas."""
    name = re.compile(rf"ray::ServeReplica:{APPLICATION}:{deployment}(?![\w-])")  # what it does now may follow
    found = []
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if any(name.match(part) for part in process.cmdline()[:1]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_replicas(
    service: RunningService, deployment: str, seconds: float, retries: int, every: float = 20.0
) -> tuple[int, Answers]:
    """Kill one of two replicas every so often under load; return how many were, and what became of the requests.

    The one is killed only when the other serves: without any there is nothing that could answer.
    """
    load, chosen, kills = Load(service, retries=retries), random.Random(0), 0
    load.learn()
    with load.running(clients=4) as answers:
        end = time.monotonic() + seconds
        while time.monotonic() + every < end:
            time.sleep(every)
            living = replicas(service, deployment)
            if min(len(living), _num_serving(service, deployment)) > 1:
                chosen.choice(living).kill()
                kills += 1
        time.sleep(every)
    return kills, answers


def _tell_kills(deployment: str, kills: int, answers: Answers) -> None:
    print(f"{kills} kills of a replica of {deployment}, 4 clients")
    median, longest = 1000 * statistics.median(answers.seconds), max(answers.seconds)
    print(f"  {answers.told}; p50 {median:.0f} ms, longest {longest:.1f} s")


def roll_out_versions(service: RunningService, times: int) -> None:
    """Roll out versions 1 and 2 in turn under load; every answer must be wholly of one."""
    load = Load(service)
    for version in ("1", "2"):
        _roll_out(service, version)
        load.learn()
    with load.running(clients=3) as answers:
        for number in range(times):
            _roll_out(service, "12"[number % 2])
    print(f"{times} rollouts under load: {answers.told}; by version {dict(answers.models)}")


def _roll_out(service: RunningService, version: str) -> None:
    done = service.rollout("--to", version)
    assert done.returncode == 0, done.stderr[-3000:]


def overload(service: RunningService, seconds: float = 20.0) -> None:
    """Find out how many requests it answers per second, then send it four times as many, then few again."""
    load = Load(service, steps=100)
    load.learn()
    began = time.monotonic()
    with load.running(clients=CAPACITY) as answers:
        time.sleep(seconds)
    capacity = answers.rate(began + WARM_SECONDS, began + seconds)
    load.answers = answers = Answers()
    began = time.monotonic()
    asyncio.run(_offer(load, 4 * capacity, seconds))
    over = answers.rate(began + WARM_SECONDS, began + seconds)
    ended = time.monotonic()
    load.answers = Answers()
    with load.running(clients=1) as after:
        time.sleep(5)
    first = min(after.ends) - ended
    half, most = np.percentile([1000 * value for value in answers.refused_seconds], [50, 99])
    print(f"{CAPACITY} clients: {capacity:.1f} good answers/s; offered {4 * capacity:.1f}/s: {over:.1f}/s")
    print(f"  served when overloaded ÷ at capacity {over / capacity:.2f}")
    print(f"  {answers.told}; refused within {half:.0f} ms (p50), {most:.0f} ms (p99)")
    print(f"  afterwards: first answer after {first:.2f} s; {after.told}")


async def _offer(load: Load, per_second: float, seconds: float) -> None:
    """Send requests at a rate, whether or not those before were answered."""
    begin, waiting = time.monotonic(), list[asyncio.Task[None]]()
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as client:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, begin + number / per_second - time.monotonic()))
            waiting.append(asyncio.create_task(load.once_async(client, number % NUM_REQUESTS)))
        await asyncio.gather(*waiting)


def scale(service: RunningService) -> None:
    """Load it until a second replica has come, then leave it alone until that one has gone."""
    load = Load(service, steps=50)
    load.learn()
    seen: list[int] = []
    with load.running(clients=12) as answers:
        _watch(service, seen, lambda: seen[-1] == 2, 180)
        time.sleep(10)
    many = Counter(answers.statuses)
    with load.running(clients=1):
        _watch(service, seen, lambda: seen[-1] == 1, 180)
    print(f"replicas {[count for count, _ in groupby(seen)]}; while it grew {dict(many)}; in all: {answers.told}")


def _watch(service: RunningService, seen: list[int], is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not seen or not is_done():
        assert time.monotonic() < deadline, f"replicas seen: {seen}"
        seen.append(_num_serving(service, "Editor"))
        time.sleep(0.5)


def _num_serving(service: RunningService, deployment: str) -> int:
    replicas = application_details(service.dashboard)["deployments"][deployment]["replicas"]
    return sum(replica["state"] == "RUNNING" for replica in replicas)


CAPACITY = 12  # clients that keep it busy: it works on eight requests and lets eight wait
TWO_OF_EACH = ("min_replicas=2", "max_replicas=2", "ingress_min_replicas=2", "ingress_max_replicas=2")
ARGUMENTS = {
    "model": TWO_OF_EACH,
    "ingress": TWO_OF_EACH,
    "rollout": (),
    "overload": ("max_ongoing_requests=8", "max_queued_requests=8"),
    "scale": ("max_replicas=2", "target_ongoing_requests=4", "upscale_seconds=2", "downscale_seconds=5"),
}


@contextmanager
def served(*arguments: str) -> Iterator[RunningService]:
    """Serve two versions of a tiny model."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = smoke_config(f"storage={folder}")
        save_tiny_checkpoint(folder / "1", config, tiny_schema(8, 8, 8))
        other = {name: value * 1.1 for name, value in read_tensors(folder / "1", "ema").items()}
        save_checkpoint(folder / "2", read_meta(folder / "1"), {"ema": other})
        tracking = register(config, [folder / "1", folder / "2"])
        options = [word for argument in arguments for word in ("--argument", argument)]
        with running_service(folder, tracking, *options) as service:
            yield service


def main() -> None:
    """Run one scenario and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=tuple(ARGUMENTS), required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with served(*ARGUMENTS[options.what]) as service:
        match options.what:
            case "model":
                _tell_kills("Editor", *kill_replicas(service, "Editor", 60 * options.minutes, retries=0))
            case "ingress":
                _tell_kills("Ingress", *kill_replicas(service, "Ingress", 60 * options.minutes, retries=1))
            case "rollout":
                roll_out_versions(service, options.times)
            case "overload":
                overload(service)
            case "scale":
                scale(service)


if __name__ == "__main__":
    main()
