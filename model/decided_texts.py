"""Parts of translations as soon as they are decided, from what the engine tells of their tokens.

A sentence is written from its beginning on as its tokens are decided. What may still change in it
waits: white space and half of a character at the end of what there is, and what is said again
there, until it is known not to be a loop. A sentence with runs or terms waits as a whole, since
where they stand, and what stands beside them, is known when all of it is written; and a second
search may begin anywhere in it. One that is searched for again for its terms waits for all of its
text.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.postprocessing import Postprocessor
from model.preprocessing import PreparedText

__all__ = ["DecidedSegments", "TextWriter"]


class DecidedSegments:
    """What is decided of the segments of one call, for its event loop; told by the engine's
    threads.

    Args:
        count: of the segments.
    """

    def __init__(self, count: int) -> None:
        self.token_ids: list[list[int]] = [[] for _ in range(count)]
        """What of each segment its translation begins with."""
        self.failed = False
        """Whether a segment has an error."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._lock = threading.Lock()
        self._told = False
        """Whether the event loop has been called since it last looked."""
        self._unfinished = 0

    @property
    def watchers(self) -> list[Callable[[tuple[int, ...]], None]]:
        """What the engine calls with tokens of each segment."""
        return list(map(self._watcher, range(len(self.token_ids))))

    def _watcher(self, number: int) -> Callable[[tuple[int, ...]], None]:

        def add(token_ids: tuple[int, ...]) -> None:
            self.token_ids[number].extend(token_ids)
            self._tell()

        return add

    def watch(self, futures: Sequence[ResultFuture[SequenceResult]]) -> None:
        """Waits for the results, too: one for each segment."""
        self._unfinished = len(futures)
        if not futures:
            self._settled.set()
        for future in futures:
            future.add_done_callback(self._on_done)

    async def wait(self, pause: float) -> None:
        """Returns when there is something new, but not before `pause` seconds are over, unless all
        is done by then or something has failed."""
        if pause and not self._settled.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._settled.wait()
        await self._news.wait()

    def look(self) -> None:
        """To be called before `token_ids` and results are read: what comes later is news."""
        self._news.clear()
        self._told = False

    def _on_done(self, future: ResultFuture[SequenceResult]) -> None:
        with self._lock:
            self._unfinished -= 1
            last = self._unfinished == 0
        failed = future.exception() is not None
        self.failed |= failed
        if last or failed:
            self._call(self._settled.set)
        self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._call(self._news.set)

    def _call(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            self._loop.call_soon_threadsafe(callback)


class TextWriter:
    """The translation of one text, as it is decided.

    Args:
        postprocessor: puts translations together.
        text: in segments.
        futures: the result of each segment.
        token_ids: what each segment's translation begins with.
    """

    def __init__(
        self,
        postprocessor: Postprocessor,
        text: PreparedText,
        futures: Sequence[ResultFuture[SequenceResult]],
        token_ids: Sequence[list[int]],
    ) -> None:
        self._postprocessor = postprocessor
        self._text = text
        self._futures = futures
        self._token_ids = token_ids
        self._number = 0
        """The segment that is written now."""
        self._written: list[str] = []
        self._begun = ""
        """What is written of that segment."""
        self._lacks_terms = False
        """Whether it is to be searched for again, so that the rest of the text waits."""

    @property
    def done(self) -> bool:
        """Whether all segments have results."""
        return all(future.done() for future in self._futures)

    def more(self) -> Iterator[str]:
        """What has been decided since the last call, segment by segment; may be empty."""
        if self._lacks_terms:
            return
        while self._number < len(self._futures) and self._futures[self._number].done():
            result = self._futures[self._number].result()
            segment = self._postprocessor.segment(self._text, self._number, result)
            if segment is None:
                self._lacks_terms = True
                return
            more = self._behind_begun(self._before() + segment)
            self._number += 1
            self._begun = ""
            yield self._shown(more)
        if self._number < len(self._futures):
            token_ids = self._token_ids[self._number]
            begun = self._before()
            begun += self._postprocessor.begun(self._text, self._number, token_ids)
            if not self._begun.startswith(begun):  # it may end with a loop, and be shorter again
                more = self._behind_begun(begun)
                self._begun = begun
                yield self._shown(more)

    def rest(self, translation: str) -> str:
        """What is left of the whole translation.

        Raises:
            RuntimeError: it does not begin with what was decided.
        """
        written = "".join(self._written)
        if not translation.startswith(written):
            raise RuntimeError("what is decided of a translation must not change, but has")
        return translation[len(written) :]

    def _before(self) -> str:
        """What stands before the segment that is written now."""
        return self._text.text.separators[self._number]

    def _behind_begun(self, text: str) -> str:
        if not text.startswith(self._begun):
            raise RuntimeError("what is decided of a translation must not change, but has")
        return text[len(self._begun) :]

    def _shown(self, more: str) -> str:
        shown = self._text.kept.shown(more) if self._text.kept.strings else more
        self._written.append(shown)
        return shown
