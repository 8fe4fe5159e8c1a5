"""A way onto a real queue that also notes what was put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import redis

from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import WaitingRows
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.queue.lanes import DELIVER
from scorer.service.queue.submit import Submitter
from scorer.service.settings import load_settings


@dataclass(frozen=True)
class NotingSubmitter(Submitter):
    """Notes deliveries: ``first``, the jobs whose rows were put; ``again``, later runs with their pauses in seconds."""

    first: list[DeliveryJob] = field(default_factory=list)
    again: list[tuple[DeliveryJob, float]] = field(default_factory=list)

    @classmethod
    def on(cls, client: redis.Redis, home: Path) -> NotingSubmitter:
        return cls(client, build_app(load_settings(home=home), DELIVER))

    def put_rows(self, job: DeliveryJob, waiting: WaitingRows) -> None:
        super().put_rows(job, waiting)
        self.first.append(job)

    def put_again(self, job: DeliveryJob, waiting: WaitingRows, pause: float) -> None:
        super().put_again(job, waiting, pause)
        self.again.append((job, pause))

    def put_back(self, job: DeliveryJob, pause: float) -> None:
        super().put_back(job, pause)
        self.again.append((job, pause))
