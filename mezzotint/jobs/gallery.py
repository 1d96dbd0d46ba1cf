"""Pictures as rows and files together: kept, deleted, thinned out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mezzotint.engine.stats import stage_totals
from mezzotint.jobs import images, store
from mezzotint.jobs.database import Database
from mezzotint.jobs.files import Files, file_name, image_id
from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.store import Job
from mezzotint.types import Image


@dataclass(frozen=True, slots=True)
class Gallery:
    """The history's pictures. ResourceError when the disk or the database does not take part."""

    database: Database
    files: Files

    def save(self, job: Job, index: int, image: Image, now_us: int) -> StoredImage:
        """Keep a job's picture: files first, so that a row never names a file that is not there.

        Saving it again, after an attempt that was cut short, writes the same files.
        """
        id = image_id(job.id, index)
        # The day is the job's, so that a re-run after midnight meets the same name.
        name = file_name(image.recipe, id, image.format, job.created_us)
        self.files.write(name, image.data)
        self.files.write_thumbnail(id, image.pixels)
        stored = StoredImage(
            id=id,
            job_id=job.id,
            index=index,
            key_id=job.key_id,
            seed=image.recipe.seed,
            width=image.recipe.width,
            height=image.recipe.height,
            format=image.format,
            bytes=len(image.data),
            sha256=hashlib.sha256(image.data).hexdigest(),
            file=name,
            prompt=image.recipe.prompt,
            starred=False,
            created_us=now_us,
            steps=image.recipe.steps if job.order.request.steps_range is not None else None,
            timings={name: round(ms, 3) for name, ms in stage_totals(image.spans).items()},
        )
        self.database.write(images.add, stored)
        return stored

    def delete(self, image: StoredImage) -> None:
        """Delete a picture: its row goes last, so that a deletion cut short can be repeated."""
        self.files.delete(image.file, image.id)
        self.database.write(images.remove, image.id)

    def delete_job(self, job_id: str) -> bool:
        """Delete an ended job with its pictures. -> False when it has not ended or is not there."""
        job = self.database.read(store.get, job_id)
        if job is None or job.state in ("queued", "running"):
            return False
        for image in self.database.read(images.of_job, job_id):
            self.delete(image)
        return self.database.write(store.remove, job_id)
