# SPDX-License-Identifier: Apache-2.0
"""Several sources are one voice: any ear that hears is enough, and a deaf one has no say."""

from collections.abc import Sequence

import numpy as np

from billow.ha.joined import joined
from billow.model.ha.view import View

NOW = 1000.0


def view(
    heard: dict[str, Sequence[float]],
    *,
    limit_s: float = 1.0,
    sound: tuple[bool, ...] = (True, True, True),
) -> View:
    return View(
        observer="x",
        at=NOW,
        hosts=tuple(heard),
        heard_at=NOW - np.array(list(heard.values()), float).reshape(len(heard), 3),
        limit_s=np.full(3, limit_s),
        sound=sound,
    )


def missed(*views: View) -> dict[str, list[bool]]:
    whole = joined("c1", views)
    assert whole.observer == "c1"
    return dict(zip(whole.hosts, whole.missed(NOW).tolist(), strict=True))


def test_whoever_is_heard_by_one_source_is_heard() -> None:
    beats = view({"h1": (5, 0, 5), "h2": (5, 5, 5)})
    rings = view({"h1": (0, 5, 5)})
    assert missed(beats, rings) == {"h1": [False, False, True], "h2": [True, True, True]}


def test_a_source_that_is_not_sound_accuses_nobody_and_vouches_for_nobody() -> None:
    beats = view({"h1": (5, 0, 5)})
    deaf = view({"h1": (0, 5, 0)}, sound=(False, False, True))
    assert missed(beats, deaf) == {"h1": [True, False, False]}
    whole = joined("c1", [deaf, deaf])
    assert whole.sound == (False, False, True)
    assert np.isfinite(whole.heard_at).all()


def test_a_patient_source_is_never_taken_for_deaf_earlier_than_it_would_be() -> None:
    beats, rings = view({"h1": (2, 2, 2)}), view({"h1": (4, 6, 4)}, limit_s=5.0)
    assert missed(beats, rings) == {"h1": [False, True, False]}
    assert (joined("c1", [beats, rings]).heard_at >= beats.heard_at).all()
