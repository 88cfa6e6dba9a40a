"""What the app keeps of each visitor's session."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

_FRESH = timedelta(seconds=10)  # long enough for a first answer, which is what gives a session its state


class Session(SessionState):
    """A session that keeps its `gr.State` values, and not what the page shows.

    Gradio keeps a copy of the whole page for each session, down to the pictures in it, for links to a page as it is
    (which this app does not offer): 150 kB and some milliseconds for every API call.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class Sessions(StateHolder):
    """The sessions of an app; beyond `state_session_capacity`, those without any state go first, then the oldest.

    A call of an endpoint is a session of its own, which has no state: visitors keep theirs however many calls come. A
    session that has only just begun stays, as it may be about to get its state. With a session goes what Gradio's
    queue never forgets of it.

    Args:
        blocks: The app, which was launched.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        super().__init__()
        self.set_blocks(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = Session(self.blocks)
                self._make_room(session_id)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Mark a session as the one used last. Gradio's own method would also end the one used longest ago."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)

    def _make_room(self, new: str) -> None:
        while len(self.session_data) > self.capacity:
            evicted = self._dispensable(new)
            if evicted is None:
                return
            del self.session_data[evicted]
            self.time_last_used.pop(evicted, None)
            queue = self.blocks._queue
            if not queue.pending_event_ids_session.get(evicted, ("unknown",)):  # all was answered
                queue.pending_event_ids_session.pop(evicted, None)
                queue.pending_messages_per_session.pop(evicted, None)

    def _dispensable(self, new: str) -> str | None:
        now = datetime.now()
        visitors = []
        for name, session in self.session_data.items():
            if session.state_data:
                visitors.append(name)
            elif name != new and now - self.time_last_used.get(name, now) > _FRESH:
                return name
        return visitors[0] if len(visitors) >= self.capacity else None
