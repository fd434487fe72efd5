# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN201, ANN202
"""The gate before one API of the lab: counts what is asked, and answers where a rule says so.

Runs inside the API's own uwsgi, so it costs no further hop. Rules are read anew when their file
changes; each is an object:

    id       names it; how often it struck is written beside the rules
    method, path, agent, body    regular expressions, each must be found; all are optional
    status   what is answered; 0 breaks the connection without an answer
    times    how often it strikes (1); skip   how many matching calls it lets pass first (0)
    done     the call is carried out, and only its answer is lost
    delay_s  waits so long before anything else; without a status it only delays
"""

import importlib
import io
import json
import os
import re
import threading
import time
from pathlib import Path

_SERVICE = os.environ["LAB_SERVICE"]
_FOLDER = Path(os.environ["LAB_GATE"])
_RULES = _FOLDER / f"{_SERVICE}.json"
_STRUCK = _FOLDER / f"{_SERVICE}.struck"
_CALLS = os.open(_FOLDER / f"{_SERVICE}.calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
_inner = importlib.import_module(os.environ["LAB_APPLICATION"]).application
_lock = threading.Lock()
_known: dict = {"stamp": None, "rules": [], "seen": {}, "struck": {}}


class Broken(Exception):
    """Ends a request without an answer."""


def _rules():
    """Return the rules of now, read when their file changed."""
    try:
        stamp = _RULES.stat().st_mtime_ns
    except FileNotFoundError:
        stamp = None
    if stamp != _known["stamp"]:
        _known["rules"] = [] if stamp is None else json.loads(_RULES.read_text())
        _known["stamp"] = stamp
    return _known["rules"]


def _fits(rule, environ, body):
    """Tell whether a rule speaks of this request."""
    found = {
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "agent": environ.get("HTTP_USER_AGENT", ""),
        "body": body,
    }
    return all(re.search(rule[key], text) for key, text in found.items() if rule.get(key))


def _match(environ, body):
    """Return the rule that strikes this request, or None; count it."""
    with _lock:
        for rule in _rules():
            if not _fits(rule, environ, body):
                continue
            name = rule["id"]
            seen = _known["seen"][name] = _known["seen"].get(name, 0) + 1
            if rule.get("skip", 0) < seen <= rule.get("skip", 0) + rule.get("times", 1):
                struck = _known["struck"]
                struck[name] = struck.get(name, 0) + 1
                _STRUCK.with_suffix(".new").write_text(json.dumps(struck))
                _STRUCK.with_suffix(".new").replace(_STRUCK)
                return rule
    return None


def _body(environ):
    """Return a request's body, and leave it there to be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not length or length > 1_000_000:
        return ""
    raw = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(raw)
    return raw.decode(errors="replace")


def _answer(status, start_response):
    """Answer in place of the API."""
    said = json.dumps({"error": {"code": status, "message": "injected by the lab"}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
    start_response(f"{status} Injected", headers)
    return [said]


def _carry_out(environ):
    """Do what is asked, and drop the answer."""
    answer = _inner(environ, lambda *_: lambda _: None)
    try:
        for _ in answer:
            pass
    finally:
        if hasattr(answer, "close"):
            answer.close()


def _note(environ, begun, status):
    line = {
        "at": begun,
        "took_s": round(time.time() - begun, 4),
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "query": environ.get("QUERY_STRING", ""),
        "agent": environ.get("HTTP_USER_AGENT", ""),
        "status": status,
    }
    os.write(_CALLS, (json.dumps(line) + "\n").encode())


def application(environ, start_response):
    """Answer a request: by a rule, or by the API itself."""
    begun = time.time()
    told = []

    def start(status, headers, exc_info=None):
        told[:] = [int(status.split()[0])]
        return (
            start_response(status, headers, exc_info)
            if exc_info
            else start_response(status, headers)
        )

    rule = _match(environ, _body(environ)) if _rules() else None
    if rule is not None:
        time.sleep(rule.get("delay_s", 0))
    if rule is None or rule.get("status") is None:
        answer = _inner(environ, start)
        _note(environ, begun, told[0] if told else 0)
        return answer
    if rule.get("done"):
        _carry_out(environ)
    _note(environ, begun, rule["status"])
    if rule["status"] == 0:
        raise Broken(rule["id"])
    return _answer(rule["status"], start_response)
