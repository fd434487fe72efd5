# SPDX-License-Identifier: Apache-2.0
"""What became of each action, durably, and which controllers live.

A deed survives the end of any process. It need not survive a power cut: that ends every instance as
well, and what an action left half-way is then found by its records. So a deed that cannot be read,
as a power cut may leave it, is as one that is not there.

An action that a dead controller left is nobody's: whoever finds it first takes it over. That a
controller lives is proved by a lock, never by a process id or a time; one that stands still over an
action that the next writer needs is ended, and its lock falls (`still`).
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from billow.act.durable import is_locked, locked, make_folder, take_lock, write
from billow.act.still import beat, end_still
from billow.errors import Bug, Invalid, Leased, Refused
from billow.model.action import Action
from billow.model.codec import action_document, action_from_document

KEPT: Final = 10_000
_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Standing(StrEnum):
    """Where an action stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One action and what became of it.

    Attributes:
        document: The action (`codec.action_document`).
        owner: Token of the controller that does it.
        error: Why it failed, as `brief`, `fix`, `code` and the details.
    """

    document: dict[str, object]
    standing: Standing
    owner: str
    error: tuple[str, str, str, tuple[str, ...]] | None = None

    @property
    def action(self) -> Action:
        """The action."""
        return action_from_document(self.document)

    def is_of(self, action: Action) -> bool:
        """Return whether this is the same action, whatever the reason given."""
        mine, other = ({**d, "reason": ""} for d in (self.document, _plain(action)))
        return mine == other

    def failure(self) -> Refused:
        """Return the error that it ended with, for one more caller."""
        brief, fix, code, details = self.error or ("it failed", "", "failed", ())
        return Refused(brief, tuple(details), fix, code)


_DEED: Final = TypeAdapter(Deed)


class Deeds:
    """The actions of one engine's state folder, as one controller sees and does them.

    It keeps in that folder:

        fence                the highest fence that was ever seen
        actions/HASH.json    what became of an action
        controllers/TOKEN    locked as long as that controller lives: its process id
    """

    def __init__(self, folder: Path) -> None:
        """Show that this controller lives, until `close`."""
        self._folder = folder
        self._actions = make_folder(folder / "actions")
        self._controllers = make_folder(folder / "controllers")
        self._fence = folder / "fence"
        self.token = secrets.token_hex(8)
        handle = take_lock(self._controllers / self.token)
        if handle is None:
            raise Bug("a random token was given twice")
        os.write(handle, str(os.getpid()).encode())
        self._handle: int | None = handle
        self._forget_dead_controllers()
        self._forget_oldest()

    def close(self) -> None:
        """Show that this controller is gone."""
        if self._handle is not None:
            (self._controllers / self.token).unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def beat(self) -> None:
        """Show that this controller does not stand still; often, as long as it does an action."""
        beat(self._controllers / self.token)

    def end_still(self, deed: Deed) -> bool:
        """End the controller that does an action if it stands still; return whether that was done.

        For the writer only: who does not hold the lease has no say over others.
        """
        return deed.standing is Standing.RUNNING and end_still(self._controllers / deed.owner)

    def is_last(self) -> bool:
        """Return whether no other controller lives."""
        tokens = (path.name for path in self._controllers.iterdir())
        return not any(self._lives(token) for token in tokens if token != self.token)

    def find(self, action_id: str) -> Deed | None:
        """Return what is known of an action, or None."""
        return _load(self._path(action_id)) if _ID.fullmatch(action_id) else None

    def all(self) -> Iterator[Deed]:
        """Yield every action that is known."""
        for path in self._actions.glob("*.json"):
            deed = _load(path)
            if deed is not None:
                yield deed

    def begin(self, action: Action) -> Deed:
        """Write down that this controller does an action. Raises Refused for an id that is none."""
        if not _ID.fullmatch(action.id):
            raise Refused(
                f"{ascii(action.id)[:80]} is no id for an action",
                fix="use 1 to 200 printable ASCII characters without spaces",
                code="invalid-id",
            )
        deed = Deed(document=_plain(action), standing=Standing.RUNNING, owner=self.token)
        self.beat()
        self.save(deed)
        return deed

    def save(self, deed: Deed) -> None:
        """Write down where an action stands."""
        data = json.dumps(asdict(deed)).encode()
        write(self._path(str(deed.document["id"])), data, durable=False)

    def forget(self, action_id: str) -> None:
        """Let an action be unknown again."""
        self._path(action_id).unlink(missing_ok=True)

    def is_orphan(self, deed: Deed) -> bool:
        """Return whether an action is under way by the records, but nobody does it.

        Ask only of what this controller does not do: what it once did and could not conclude is
        an orphan as well.
        """
        if deed.standing is Standing.LOST:
            return True
        mine = deed.owner == self.token
        return deed.standing is Standing.RUNNING and (mine or not self._lives(deed.owner))

    @contextlib.contextmanager
    def adopting(self, action_id: str) -> Iterator[bool]:
        """Hold an action so that only one takes it over; yields False when another one does."""
        lock = self._path(action_id).with_suffix(".lock")
        handle = take_lock(lock)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                lock.unlink(missing_ok=True)
                os.close(handle)

    def check_fence(self, fence: int) -> None:
        """Refuse a fence that is older than the highest one seen, and remember a higher one.

        Raises:
            Leased: it is older.
        """
        if fence > (seen := self._seen_fence()):
            with locked(self._folder / "fence.lock"):
                if fence > (seen := self._seen_fence()):
                    write(self._fence, str(fence).encode())
        if fence < seen:
            raise Leased(
                f"fence {fence} is older than {seen}",
                fix="another controller has taken over; stop this one",
            )

    def _seen_fence(self) -> int:
        try:
            return int(self._fence.read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise Refused(
                f"{self._fence} holds no number: who may write is not known",
                fix="stop every controller, then remove the file",
                code="bad-record",
            ) from error

    def _lives(self, token: str) -> bool:
        return is_locked(self._controllers / token)

    def _path(self, action_id: str) -> Path:
        return self._actions / f"{hashlib.sha256(action_id.encode()).hexdigest()[:32]}.json"

    def _forget_dead_controllers(self) -> None:
        for path in self._controllers.iterdir():
            if not is_locked(path):
                path.unlink(missing_ok=True)

    def _forget_oldest(self) -> None:
        """Keep the actions folder from growing for ever."""
        paths = list(self._actions.glob("*.json"))
        if len(paths) > 2 * KEPT:
            paths.sort(key=lambda path: path.stat().st_mtime)
            for path in paths[:-KEPT]:
                path.unlink(missing_ok=True)


def _plain(action: Action) -> dict[str, object]:
    """Return an action's document as JSON gives it back."""
    document: dict[str, object] = json.loads(json.dumps(action_document(action)))
    return document


def _load(path: Path) -> Deed | None:
    """Return a deed; None when there is none, or it says nothing that can be understood."""
    try:
        deed: Deed = _DEED.validate_json(path.read_bytes())
        action_from_document(deed.document)
    except (OSError, ValidationError, Invalid):
        return None
    return deed
