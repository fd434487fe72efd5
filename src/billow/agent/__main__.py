# SPDX-License-Identifier: Apache-2.0
"""`python -m billow.agent`: the agent without the rest of Billow, so that it stays light."""

import signal
import socket
import sys
from collections.abc import Sequence

from billow.agent import options as told
from billow.agent.talk import say
from billow.errors import BillowError


def main(arguments: Sequence[str]) -> int:
    """Run the agent, or one of its processes. Returns an exit code."""
    if arguments[:1] == ["enrol"]:
        from billow.agent.enrol import enrol

        return enrol(arguments[1:])
    options, given = told.read(arguments)
    if given.check:
        from billow.agent.check import check

        return check(options, as_json=given.json)
    match given.role:
        case "speaker":
            return _speak(options, given.handle)
        case "prober":
            return _probe(options, given.handle)
        case "stand-in":
            from billow.agent.watchdog import stand_in

            return stand_in(options)
    from billow.agent.papers import see
    from billow.agent.parent import Parent

    see(options.state)
    return Parent(options, arguments).run()


def _speak(options: told.Options, handle: int) -> int:
    from billow.agent import privilege
    from billow.agent.speaker import Speaker
    from billow.agent.trust import as_client

    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    privilege.ends_with_parent()
    for lack in privilege.taken():
        say(lack)
    speaker = Speaker(options, as_client(options.state), socket.socket(fileno=handle))
    signal.signal(signal.SIGTERM, lambda *_: speaker.end())
    speaker.run()
    return 0


def _probe(options: told.Options, handle: int) -> int:
    from billow.agent import privilege
    from billow.agent.prober import Prober

    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    privilege.ends_with_parent()
    Prober(options, socket.socket(fileno=handle)).run()
    return 0


def run() -> None:
    """Run the agent and end the process."""
    try:
        sys.exit(main(sys.argv[1:]))
    except BillowError as error:
        say(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
