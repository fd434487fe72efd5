# SPDX-License-Identifier: Apache-2.0
"""What a database says when it fails, in Billow's words."""

from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from billow.errors import BillowError, Bug, Unavailable


def explained(error: SQLAlchemyError) -> BillowError:
    """Return the error to raise in the place of a database's own.

    `Unavailable` when trying again may help: no connection, no answer, no space, locked for too
    long.
    """
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError | ProgrammingError):
        return Unavailable(
            "the database did not do it",
            details=(_said(error),),
            fix="see that the database runs, can be reached and has space left; then try again",
            code="store-unavailable",
        )
    return Bug("the store broke a rule of its database", details=(_said(error),))


def _said(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {cause}".strip()
