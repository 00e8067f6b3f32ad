"""A data set drawn by several processes at once: one for each GPU of the machine."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from seediff.devices import claimed, visible_devices
from seediff.generation.pairs import Part, draw_part, finish, note_settings, plan_images
from seediff.generation.records import DataSetFolder, Finished
from seediff.generation.settings import DataSet

POLL_SECONDS = 1.0


def usual_processes() -> int:
    """One for each GPU that this process may use, or a single one."""
    return max(1, len(visible_devices()))


def make_in_processes(data_set: DataSet, folder: Path, processes: int) -> Finished:
    """``make_data_set`` by several processes, each of which draws a part on a GPU of its own, if there are any."""
    images, place = plan_images(data_set, folder), DataSetFolder(folder)
    note_settings(data_set, folder)
    with (
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
        tqdm(total=len(images), unit="image", mininterval=5) as progress,
    ):
        parts = [Part(number, processes) for number in range(processes)]
        running = {pool.submit(_draw, data_set, folder, part) for part in parts}
        while running:
            done, running = wait(running, POLL_SECONDS)
            for part in done:
                part.result()
            progress.update(sum(place.is_finished(wanted.key) for wanted in images) - progress.n)
    return finish(data_set, folder, images)


def _draw(data_set: DataSet, folder: Path, part: Part) -> None:
    with claimed():
        for _ in draw_part(data_set, folder, plan_images(data_set, folder), part):
            pass
