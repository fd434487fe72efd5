# SPDX-License-Identifier: Apache-2.0
"""What the API answers of Billow itself, as schemas for OpenAPI. See `answers`."""

from pydantic import Field, JsonValue

from billow.api.answers import Answer, Seconds


class KnobDocument(Answer):
    """One knob of a policy."""

    name: str
    unit: str = Field(description="What it counts in; empty for words and plain numbers.")
    default: JsonValue
    now: JsonValue = Field(description="What it is when a request does not set it.")
    range: str = Field(description="What it may be, in words.")
    description: str
    choices: list[str] = Field(description="What it may be, where that is a closed set.")


class CapabilityDocument(Answer):
    """Why a pool may change, and the knobs for it."""

    name: str
    about: str
    reports: bool = Field(description="Whether GET /v1/reports/{name} has something to say.")
    policy: dict[str, object] = Field(description="The JSON schema of its policy.")
    knobs: list[KnobDocument]


class Capabilities(Answer):
    """All capabilities."""

    items: list[CapabilityDocument]


class CheckDocument(Answer):
    """One thing that the doctor looked at."""

    name: str
    ok: bool
    text: str
    fix: str


class Checks(Answer):
    """What the doctor found."""

    ok: bool
    items: list[CheckDocument]


class TokenDocument(Answer):
    """A token without its secret, which nobody can read back."""

    id: str
    name: str
    role: str
    created_at: Seconds
    expires_at: Seconds = Field(description="0 when it does not expire.")
    last_used_at: Seconds = Field(description="0 before its first use.")


class Tokens(Answer):
    """All tokens that work."""

    items: list[TokenDocument]


class FreshToken(TokenDocument):
    """A new token; its secret is shown this once."""

    token: str


class ErrorKind(Answer):
    """One kind of error."""

    code: str
    text: str
    status: int
    exit_code: int = Field(description="What the command line ends with.")
    retryable: bool


class Alive(Answer):
    """That the control plane answers."""

    status: str
    version: str
