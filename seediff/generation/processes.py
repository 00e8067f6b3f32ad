"""A data set drawn by several processes at once: one for each GPU of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from traceback import format_exc

from tqdm import tqdm

from seediff.devices import claimed, visible_devices
from seediff.errors import SeediffError
from seediff.generation.pairs import Part, draw_part, finish, note_settings, plan_images
from seediff.generation.records import DataSetFolder, Finished
from seediff.generation.settings import DataSet

POLL_SECONDS = 1.0


def usual_processes() -> int:
    """One for each GPU that this process may use, or a single one."""
    return max(1, len(visible_devices()))


def make_in_processes(data_set: DataSet, folder: Path, processes: int) -> Finished:
    """``make_data_set`` by several processes, each of which draws a part on a GPU of its own, if there are any.

    When one fails, the others are stopped at once; finished pairs stay.
    """
    images, place = plan_images(data_set, folder), DataSetFolder(folder)
    note_settings(data_set, folder)
    with ExitStack() as started, tqdm(total=len(images), unit="image", mininterval=5) as progress:
        parts = [Part(number, processes) for number in range(processes)]
        running = [started.enter_context(_drawing(data_set, folder, part)) for part in parts]
        while running:
            wait(running, POLL_SECONDS)
            for ended in [process for process in running if process.poll()]:
                _check(ended, folder)
                running.remove(ended)
            progress.update(sum(place.is_finished(wanted.key) for wanted in images) - progress.n)
    return finish(data_set, folder, images)


@contextmanager
def _drawing(data_set: DataSet, folder: Path, part: Part) -> Iterator[Connection]:
    """A process that draws a part, by the pipe on which it says how it ended; leaving the block stops it."""
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_draw, args=(data_set, folder, part, sending), daemon=True)
    process.start()
    sending.close()  # the process has the only one left, so its end is the pipe's
    try:
        yield receiving
    finally:
        process.terminate()
        process.join()


def _check(process: Connection, folder: Path) -> None:
    """Raise what a process ended with, if it failed."""
    try:
        error = process.recv()
    except EOFError:
        raise SeediffError(
            f"A process that drew images was killed, perhaps for lack of memory. What is finished stays in {folder}.\n"
            "Run again, with fewer --processes or a lower batch size if memory is short."
        ) from None
    if error is not None:
        raise error


def _draw(data_set: DataSet, folder: Path, part: Part, parent: Connection) -> None:
    """Draw a part, and send the parent None, or the error."""
    signal(SIGINT, SIG_IGN)  # the parent is interrupted as well, and stops this process
    try:
        with claimed():
            for _ in draw_part(data_set, folder, plan_images(data_set, folder), part):
                pass
    except Exception as error:
        error.add_note(format_exc())
        parent.send(error)
    else:
        parent.send(None)
