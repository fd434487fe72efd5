# SPDX-License-Identifier: Apache-2.0
"""Every error that a user, an operator or a program can meet, as one tree.

The same object becomes the CLI's text, the API's problem document and the journal's entry, so each
error says in `brief` what is wrong, in `details` what was seen, and in `fix` what to do next. This
module must not import anything of Billow.

    BillowError
    ├── Invalid          the input cannot be understood or is out of range      400  exit 2
    ├── Denied           who asks is unknown, or may not do this                 403  exit 1
    │   └── Unauthenticated                                                      401
    ├── NotFound         no such host, instance, plan, run                       404  exit 1
    ├── Conflict         the world moved on, or somebody else was first          409  exit 1
    │   ├── Stale        the plan or the digest is older than the pool           412  exit 4
    │   └── Leased       another controller is the writer, or the fence is old   409  exit 1
    ├── Blocked          it is understood, but must not be done now              409  exit 5
    ├── EngineError      the place where the pool lives did not do it            502  exit 1
    │   ├── Unavailable  it did not answer; try again                            503
    │   ├── Refused      it answered no                                          502
    │   └── Lost         it may or may not have done it; recover decides         502
    └── Bug              Billow broke one of its own laws                        500  exit 1
"""

from typing import ClassVar


class BillowError(Exception):
    """Say what is wrong, what was seen, and what to do.

    Args:
        brief: One sentence without a full stop.
        details: What was seen, one fact per entry.
        fix: What the reader can do next; empty when nothing can be done.
        code: A stable machine-readable name; the class's own by default.
    """

    code: str = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self, brief: str, details: tuple[str, ...] = (), fix: str = "", code: str | None = None
    ) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = tuple(details)
        self.fix = fix
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        lines = [self.brief, *(f"  - {detail}" for detail in self.details)]
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)

    def document(self) -> dict[str, str]:
        """Return the error as text fields, for the journal and the API; details are lines."""
        fields = {"brief": self.brief, "details": "\n".join(self.details), "fix": self.fix}
        return {"code": self.code} | {name: text for name, text in fields.items() if text}


class Invalid(BillowError):
    """The input cannot be understood or is out of range."""

    code = "invalid"
    status = 400
    exit_code = 2


class Denied(BillowError):
    """The caller may not do this."""

    code = "denied"
    status = 403


class Unauthenticated(Denied):
    """Nobody knows who asks."""

    code = "unauthenticated"
    status = 401


class NotFound(BillowError):
    """No such thing in the pool or the store."""

    code = "not-found"
    status = 404


class Conflict(BillowError):
    """The world moved on, or somebody else was first."""

    code = "conflict"
    status = 409


class Stale(Conflict):
    """The plan or the digest is older than the pool."""

    code = "stale"
    status = 412
    exit_code = 4


class Leased(Conflict):
    """Another controller is the writer, or the fence is an older one."""

    code = "leased"


class Blocked(BillowError):
    """It is understood, but must not be done now."""

    code = "blocked"
    status = 409
    exit_code = 5


class EngineError(BillowError):
    """The engine did not do what it was asked."""

    code = "engine"
    status = 502


class Unavailable(EngineError):
    """The engine did not answer; trying again may help."""

    code = "engine-unavailable"
    status = 503
    retryable = True


class Refused(EngineError):
    """The engine answered no."""

    code = "engine-refused"


class Lost(EngineError):
    """The engine may or may not have done it; only recovery can tell."""

    code = "engine-lost"


class Bug(BillowError):
    """Billow broke one of its own laws; please report it."""

    code = "bug"
