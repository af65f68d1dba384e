"""Answers polls and plain searches in the loop: all polls that came in one turn share a read, begun after they came.

Nothing is answered here that is not the plain 200: everything else, and everything while OpenSearch is slow or away,
is declined, and goes the usual way with the usual care.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from mlcommons_tasks.lane.answers import Answers
from mlcommons_tasks.lane.link import Answer, Link
from mlcommons_tasks.lane.links import Links, Loop, Place
from mlcommons_tasks.lane.plain import Plain, Poll, Search
from mlcommons_tasks.store.mappings import SAME_COPY, TASK_INDEX
from mlcommons_tasks.wire.rendering import render_json

POLL_LINKS = 1
SEARCH_LINKS = 32
MOST_IDS = 256  #: of one read
SLOW_POLL_S = 0.5  #: a read that takes longer is left to the usual way
SLOW_SEARCH_S = 2.0
PAUSE_S = 2.0  #: how long all go the usual way after that
_WHERE = urlencode(SAME_COPY)

log = logging.getLogger(__name__)


class Counter(Protocol):
    """Where callers stand: those who are answered, and those who are sent on."""

    def answer(self, caller: Any, reply: bytes) -> None:
        """Send a reply to a caller."""

    def decline(self, caller: Any) -> None:
        """Let a caller's request go the usual way."""


@dataclass
class _Errand:
    """What a link was sent for: a read for polls, or a search."""

    links: Links
    prefix: str
    until: float
    polls: list[tuple[Any, Poll]] = field(default_factory=list)
    task_ids: list[str] = field(default_factory=list)
    searcher: Any = None


class Desk:
    """Takes requests from callers, and answers or declines each of them later; all in one thread."""

    def __init__(
        self,
        loop: Loop,
        counter: Counter,
        answers: Answers,
        places: list[Place],
        headers: dict[str, str],
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        """Open links to `places` when they are needed; `headers` go with each request to OpenSearch.

        Nothing is taken unless the desk `is_open`.
        """
        self._is_open = is_open
        self._loop = loop
        self._counter = counter
        self._answers = answers
        self._plain = Plain()
        self._for_polls = Links(loop, places, headers, POLL_LINKS, self._heard)
        self._for_searches = Links(loop, places, headers, SEARCH_LINKS, self._heard)
        self._waiting: list[tuple[Any, Poll]] = []
        self._under_way: dict[Link, _Errand] = {}
        self._for_polls.open_another()
        self.polls = 0  #: answered
        self.searches = 0  #: likewise

    def take(self, caller: Any, data: bytes) -> int:
        """Take the request that a caller's bytes begin with, if it is plain; return how many bytes it has, or 0."""
        asked = self._plain.request_in(data)
        if asked is None or not self._is_open():
            return 0
        if isinstance(asked, Poll) and self._loop.now >= self._for_polls.paused_until:
            self._waiting.append((caller, asked))
            return asked.size
        if isinstance(asked, Search) and self._search(caller, asked):
            return asked.size
        return 0

    def turn_ends(self) -> None:
        """Begin a read for the polls that came, unless one is under way."""
        while self._waiting and (free := self._for_polls.take()) is not None:
            polls, self._waiting = self._waiting[:MOST_IDS], self._waiting[MOST_IDS:]
            task_ids = list(dict.fromkeys(poll.task_id for _, poll in polls))
            errand = _Errand(self._for_polls, free[1], self._loop.now + SLOW_POLL_S, polls, task_ids)
            if len(task_ids) == 1:
                self._send(free[0], errand, "GET", f"/{TASK_INDEX}/_source/{task_ids[0]}?{_WHERE}", None)
            else:
                self._send(free[0], errand, "POST", f"/{TASK_INDEX}/_mget?{_WHERE}", render_json({"ids": task_ids}))
        if self._waiting and not any(errand.polls for errand in self._under_way.values()):
            self._decline_waiting()  # nobody will come back for them

    def give_up_slow(self) -> None:
        """Decline what OpenSearch is too slow for."""
        late = [link for link, errand in self._under_way.items() if errand.until < self._loop.now]
        for link in late:
            self._lose(link)
        if late:
            log.info("OpenSearch is slow or gone: what comes goes the usual way for %g s", PAUSE_S)

    def patience_s(self) -> float | None:
        """Return after how many seconds to look again for what is slow; None if nothing is under way."""
        if not self._under_way:
            return None
        return max(0.0, min(errand.until for errand in self._under_way.values()) - self._loop.now)

    def close(self) -> None:
        """Close the links; nobody is answered any more."""
        self._for_polls.close()
        self._for_searches.close()

    def _search(self, caller: Any, asked: Search) -> bool:
        target = self._answers.search_target(asked.payload, asked.user_agent)
        free = None if target is None else self._for_searches.take()
        if target is None or free is None:
            return False
        errand = _Errand(self._for_searches, free[1], self._loop.now + SLOW_SEARCH_S, searcher=caller)
        self._send(free[0], errand, "POST", target, asked.payload)
        return True

    def _send(self, link: Link, errand: _Errand, method: str, target: str, payload: bytes | None) -> None:
        self._under_way[link] = errand
        try:
            link.ask(method, errand.prefix + target, payload)
        except OSError:
            errand.until = 0.0  # which `give_up_slow` finds: nobody is declined before he was taken
            return
        if link.has_more_to_send:
            self._loop.unwatch(link.socket)
            self._loop.watch(link.socket, lambda _: self._heard(link), write=True)

    def _heard(self, link: Link) -> None:
        """Go on with what a link was sent for."""
        errand = self._under_way.get(link)
        try:
            if link.has_more_to_send:
                link.send_more()
                if not link.has_more_to_send:
                    self._loop.unwatch(link.socket)
                    self._loop.watch(link.socket, lambda _: self._heard(link))
            answer = link.receive()
        except OSError:
            self._lose(link)
            return
        if answer is None:
            return
        if errand is None:  # it spoke without being asked
            self._lose(link)
            return
        del self._under_way[link]
        errand.links.give_back(link, errand.prefix)
        if errand.polls:
            self._answer_polls(errand, answer)
        else:
            self._answer_search(errand, answer)

    def _lose(self, link: Link) -> None:
        errand = self._under_way.pop(link, None)
        if errand is None:
            for links in (self._for_polls, self._for_searches):
                links.lose(link)
            return
        errand.links.lose(link)
        errand.links.pause(PAUSE_S)
        if not errand.polls:
            self._counter.decline(errand.searcher)
            return
        for caller, _ in errand.polls:
            self._counter.decline(caller)
        self._decline_waiting()

    def _decline_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for caller, _ in waiting:
            self._counter.decline(caller)

    def _answer_polls(self, errand: _Errand, answer: Answer) -> None:
        sources = self._sources(errand, answer)
        for caller, poll in errand.polls:
            source = sources.get(poll.task_id)
            reply = None if source is None else self._reply(poll, source)
            if reply is None:
                self._counter.decline(caller)
            else:
                self.polls += 1
                self._counter.answer(caller, reply)

    def _sources(self, errand: _Errand, answer: Answer) -> dict[str, bytes]:
        if answer.status != 200 or "content-encoding" in answer.headers:
            if answer.status != 404:
                errand.links.pause(PAUSE_S)
            return {}
        if len(errand.task_ids) == 1:
            return {errand.task_ids[0]: answer.payload}
        return self._answers.sources_in(answer.payload, errand.task_ids)

    def _reply(self, poll: Poll, source: bytes) -> bytes | None:
        try:
            return self._answers.of_source(poll.task_id, source, poll.encoding)
        except Exception:  # the usual way answers that, and logs it
            log.debug("a task that cannot be shown", exc_info=True)
            return None

    def _answer_search(self, errand: _Errand, answer: Answer) -> None:
        reply = self._answers.of_search(answer.payload, answer.headers) if answer.status == 200 else None
        if reply is not None:
            self.searches += 1
            self._counter.answer(errand.searcher, reply)
            return
        if answer.status == 200:  # a cluster that warns or gives up does so again: let it not do all work twice
            errand.links.pause(PAUSE_S)
        self._counter.decline(errand.searcher)
