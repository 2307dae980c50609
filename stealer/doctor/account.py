"""The account's ledger: trusted, fed, kept, and nothing stuck in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stealer import keyspace
from stealer.connect import keeper_name
from stealer.doctor.finding import Finding, failure, fine, warning
from stealer.doctor.patient import Patient
from stealer.doctor.server import OPERATOR_ONLY, SKEW
from stealer.keyspace import FIXED
from stealer.ledger import policy_digest
from stealer.scripts import function_library

#: Seconds after which a claim that should have moved on is stuck: many passes of the keeper.
STUCK_SECONDS = 60.0

#: A watcher's status older than this is not looked at: it may be a dead one's.
STATUS_SECONDS = 120.0

#: How many names a sentence holds.
SHOWN = 5


def types(patient: Patient) -> Iterator[Finding]:
    """Keys that hold something else than they should: the scripts that need them fail."""
    keys = {getattr(patient.ledger.keys, n): keyspace.kind(text) for n, (_, text) in FIXED.items()}
    wrong = 0
    for key, expected in keys.items():
        found = patient.allowed("TYPE", key)
        if found is None:
            yield warning("types", "the types of the keys are unknown", OPERATOR_ONLY)
            return
        if not expected or found in (expected, "none"):
            continue
        wrong += 1
        mends = key not in (patient.ledger.keys.ledger, patient.ledger.keys.keeper)
        yield failure(
            "types",
            f"{key} holds a {found} instead of a {expected}: somebody else wrote it",
            "a running keeper deletes it and makes again what it can"
            if mends
            else f"look at it with redis-cli, then DEL '{key}' and let the keeper rebuild; whether "
            "trading was halted is forgotten with it",
        )
    if not wrong:
        yield fine("types", "every key is of its type")


def certification(patient: Patient) -> Iterator[Finding]:
    """Whether the ledger is bound to the server it is on."""
    server = patient.ledger.server()
    this_one = server.identity.rpartition("/")[0]
    epoch = patient.book.get("epoch", "0")
    if server.certified:
        since = _age(patient, patient.book.get("certified_ms", "0"))
        yield fine("certificate", f"certified for this server, epoch {epoch}, {since:,.0f} s ago")
        return
    was = f"{patient.book.get('run', '')}/{patient.book.get('repl', '')}"
    why = "it never was" if epoch == "0" else f"it was for {was}, this is {this_one}"
    yield failure(
        "certificate",
        f"the ledger is not certified for this server ({why}): all is denied",
        "start `stealer keeper`; it certifies after "
        f"{patient.settings.quarantine_seconds:g} s (STEALER_QUARANTINE_SECONDS)",
    )


def keeper(patient: Patient) -> Iterator[Finding]:
    """Who keeps the account."""
    key = patient.ledger.keys.keeper
    holder = patient.ledger.read(lambda r: r.get(key))
    if not holder:
        yield failure(
            "keeper",
            "no keeper holds the lease: account and quotes grow stale, and all is denied",
            "start `stealer keeper`",
        )
        return
    left = int(patient.ledger.read(lambda r: r.pttl(key))) / 1000
    clients = patient.allowed("CLIENT", "LIST") or ""
    # A keeper has a connection for each of its threads, and keepers of other accounts have theirs.
    mark = f" name={keeper_name(patient.settings.account, '')}"
    owners = {name.split(" ", 1)[0] for name in str(clients).split(mark)[1:]}
    others = len(owners - {holder})
    standby = "" if others or not clients else "start another on a second host, as a standby"
    shown = f"; {others} standing by" if others else ""
    yield fine("keeper", f"{holder}, lease {left:.0f} s{shown}", standby)


def feeds(patient: Patient) -> Iterator[Finding]:
    """Account and quotes: decisions are denied on old ones."""
    allowed = float(patient.policy.get("account_stale_seconds", "15"))
    said = patient.book.get("account_ms", "0")
    age = _age(patient, said)
    if said == "0":
        yield failure("account", "no account snapshot was ever published", "start `stealer keeper`")
    elif age > allowed:
        yield failure(
            "account",
            f"the account snapshot is {age:,.0f} s old, {allowed:g} are allowed: all is denied",
            "look at the keeper's log: it cannot read the broker, or does not run",
        )
    else:
        yield fine("account", f"the account snapshot is {age:.0f} s old")
    yield from _quotes(patient)
    yield from _streams(patient)


def _streams(patient: Patient) -> Iterator[Finding]:
    """What the keeper hears by; what it does not hear it polls, later and for more requests."""
    said = patient.hash("streams")
    down = sorted(name for name, moments in said.items() if moments.startswith("-"))
    if down:
        yield warning(
            "streams",
            f"not connected: {_some(down)}; the keeper polls instead",
            "look at the keeper's log; Alpaca allows one connection an account and kind: no other "
            "program may listen with these keys",
        )
    elif said:
        yield fine("streams", f"{len(said)} connected")


def _quotes(patient: Patient) -> Iterator[Finding]:
    allowed = float(patient.policy.get("quote_stale_seconds", "15"))
    wanted = sorted(patient.ledger.watched_symbols())
    found = patient.hash("quotes")
    old = []
    for symbol in wanted:
        parts = found.get(symbol, "").split(" ")
        if len(parts) != 3 or _age(patient, parts[2]) > allowed:
            old.append(symbol)
    if old:
        yield warning(
            "quotes",
            f"no fresh quote of {len(old)} of {len(wanted)} symbols: {_some(old)}; their watchers "
            "wait, and their orders are protected",
            "look at the keeper's log; a stock has few quotes while its market is closed",
        )
    else:
        yield fine("quotes", f"fresh quotes of all {len(wanted)} symbols that are watched")


def switches(patient: Patient) -> Iterator[Finding]:
    """Whether somebody has stopped it on purpose."""
    halted = patient.book.get("halted", "")
    if halted:
        yield warning("halt", f"new orders are halted: {halted}", "`stealer resume` allows them")
    if patient.settings.dry_run:
        yield warning("halt", "this host runs dry: it opens nothing", "unset WORK_STEALING_DRY_RUN")
    if patient.policy.get("enabled", "1") != "1":
        yield warning(
            "halt", "work stealing is switched off for the account", "set WORK_STEALING_ENABLED=1"
        )
    if not halted and not patient.settings.dry_run:
        yield fine("halt", "new orders are allowed")


def drift(patient: Patient) -> Iterator[Finding]:
    """This host's settings against the account's policy, by which scripts decide."""
    found = patient.ledger.policy_drift()
    for name, (here, there) in sorted(found.items()):
        yield warning(
            "policy",
            f"{name} is {here} here, {there} for the account",
            "set the same on every host; the account's changes when a keeper certifies again",
        )
    if not found:
        yield fine(
            "policy", "this host's settings are the account's" if patient.policy else "none yet"
        )


def hosts(patient: Patient) -> Iterator[Finding]:
    """The hosts that report: do they follow the same policy, and is their clock right?"""
    now = patient.ledger.now_ms() / 1000
    wanted = policy_digest({**patient.settings.policy(), **_known(patient)})
    differ, ahead, seen = set(), {}, set()
    for text in patient.hash("watchers").values():
        status = _status(text)
        host, at = str(status.get("host") or "?"), status.get("seen")
        if not isinstance(at, int | float) or now - at > STATUS_SECONDS:
            continue
        seen.add(host)
        if status.get("policy", wanted) != wanted:
            differ.add(host)
        if at - now > SKEW:
            ahead[host] = at - now
    for host in sorted(differ):
        yield warning(
            "hosts",
            f"watchers on {host} have other settings than the account",
            "run `stealer doctor` there, in their environment: it names the settings",
        )
    for host, seconds in sorted(ahead.items()):
        yield warning(
            "hosts", f"the clock of {host} is {seconds:.1f} s ahead of Redis'", "run an NTP client"
        )
    if not differ and not ahead:
        names = _some(sorted(seen)) or "none"
        yield fine("hosts", f"hosts with watchers: {names}")


def claims(patient: Patient) -> Iterator[Finding]:
    """Claims that should have moved on, and hold capacity meanwhile."""
    stuck = []
    for claim in patient.ledger.claim_ids():
        fields = patient.fields(patient.ledger.keys.of("claim", claim))
        waited = _overdue(patient, fields)
        if waited > STUCK_SECONDS:
            stuck.append(f"{claim} ({fields['symbol']} {fields['state']}, {waited:,.0f} s late)")
    if stuck:
        yield warning(
            "claims",
            f"{len(stuck)} claims are stuck: {_some(stuck)}",
            "look at the order at the broker and at the keeper's log; a stock's cancel may wait "
            "for the market to open; `stealer release CLAIM` evicts one",
        )
    else:
        yield fine("claims", "no claim is stuck")


def _overdue(patient: Patient, fields: dict[str, str]) -> float:
    """Seconds since the keeper should have ended this state."""
    state = fields.get("state")
    if state == "evicting":
        return _age(patient, fields.get("evicted_ms", "0"))
    if state == "reserved":
        return _age(patient, fields.get("deadline_ms", "0"))
    if state == "launching":
        late = _age(patient, fields.get("deadline_ms", "0"))
        return late - patient.settings.quarantine_seconds
    return 0.0


def libraries(patient: Patient) -> Iterator[Finding]:
    """Our functions on the server, and those of other versions."""
    listed = patient.allowed("FUNCTION", "LIST", "LIBRARYNAME", "stealer_*")
    if listed is None:
        yield warning("functions", "which versions are loaded is unknown", "run as the operator")
        return
    rows = [
        row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
        for row in listed
    ]
    names = {str(row["library_name"]) for row in rows}
    ours = function_library()[0]
    others = sorted(names - {ours})
    if ours not in names:
        yield warning(
            "functions",
            f"{ours}, this version's library, is not on the server",
            "start a keeper of this version: watchers with a user of their own cannot load it",
        )
    elif not others:
        yield fine("functions", f"{ours}, and no other version's")
    if others:
        yield warning(
            "functions",
            f"libraries of other versions: {_some(others)}",
            "once no host runs that version: "
            + "; ".join(f"FUNCTION DELETE {name}" for name in others[:SHOWN]),
        )


def _age(patient: Patient, ms: str) -> float:
    """Seconds since a moment on Redis' clock."""
    return max(patient.ledger.now_ms() - float(ms), 0.0) / 1000


def _known(patient: Patient) -> dict[str, str]:
    mine = patient.settings.policy()
    return {name: value for name, value in patient.policy.items() if name in mine}


def _status(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
