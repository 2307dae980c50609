"""Who gets into Redis, as whom, and over which wire."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stealer.access import Role, probes, user_name
from stealer.doctor.finding import Finding, failure, fine, warning
from stealer.doctor.patient import Patient
from stealer.settings import file_variables

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: What no role but the operator may do.
FORBIDDEN = (
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "maxmemory"),
    ("CONFIG", "SET", "maxmemory", "1"), ("KEYS", "*"), ("SHUTDOWN",),
    ("DEBUG", "SLEEP", "0"), ("EVAL", "return 1", "0"),
    ("ACL", "SETUSER", "x"), ("FUNCTION", "FLUSH"),
)  # fmt: skip

MAKE_USERS = "make the users that `stealer acl` prints (docs/security.md)"


def wire(patient: Patient) -> Iterator[Finding]:
    """Passwords and orders cross the network only encrypted."""
    parts = urlsplit(patient.settings.redis_url)
    if parts.scheme == "rediss":
        # `connect` takes no address that says otherwise.
        yield fine("wire", "TLS, with the server's certificate verified")
    elif parts.scheme == "unix" or (parts.hostname or "localhost") in LOOPBACK:
        yield fine("wire", "Redis is on this host")
    else:
        yield failure(
            "wire",
            f"the connection to {parts.hostname} is not encrypted: passwords and orders can be "
            "read and changed on the way",
            "set up TLS in redis.conf and use a rediss:// address (docs/security.md)",
        )


def open_door(patient: Patient) -> Iterator[Finding]:
    """Whether somebody without a password gets in."""
    user = _user(patient, "default")
    if user is None:
        if patient.user != "default":
            yield warning(
                "door", "whether others need a password is unknown", "run as the operator"
            )
            return
        user = {}
    flags = set(user.get("flags", ()))
    if "off" in flags:
        yield fine("door", "without a user and password nobody gets in")
        return
    if "nopass" not in flags and user:
        yield warning(
            "door",
            "the user `default` has a password, and all rights with it",
            "give each process a user of its own, then ACL SETUSER default off",
        )
        return
    bind = (patient.config("bind") or "").replace("-", "").split()
    outside = [address for address in bind if address not in LOOPBACK]
    guarded = patient.config("protected-mode") == "yes"
    if guarded or (bind and not outside):
        yield warning(
            "door",
            "no password is needed: every process on the server's host may change the ledger",
            f"{MAKE_USERS}, then ACL SETUSER default off",
        )
    else:
        yield failure(
            "door",
            f"no password is needed, from any network that reaches {' '.join(outside) or 'it'}",
            f"{MAKE_USERS}, then ACL SETUSER default off; bind private addresses only",
        )


def rights(patient: Patient) -> Iterator[Finding]:
    """What the user of this process may do of what the two working roles need."""
    missing = {role: patient.ledger.missing_rights(role) for role in (Role.WATCHER, Role.KEEPER)}
    able = [f"a {role}" for role, lacks in missing.items() if not lacks]
    if able:
        yield fine(
            "rights", f"we are {patient.user}, and may do the work of {' and of '.join(able)}"
        )
    else:
        lacks = missing[Role.WATCHER]
        yield failure(
            "rights",
            f"we are {patient.user}, and lack what a watcher needs: {', '.join(lacks[:6])}",
            MAKE_USERS,
        )


def roles(patient: Patient) -> Iterator[Finding]:
    """Whether each role's user may do all its work, and nothing dangerous."""
    users = patient.allowed("ACL", "USERS")
    if users is None:
        yield warning("roles", "the other users' rights are unknown", "run as the operator")
        return
    account = patient.settings.account
    found = [role for role in Role if user_name(role, account) in users]
    if not found:
        yield warning("roles", f"there are no users for the roles of {account}", MAKE_USERS)
        return
    good = []
    for role in found:
        problem = _role_problem(patient, role)
        if problem:
            yield failure("roles", problem, MAKE_USERS)
        else:
            good.append(user_name(role, account))
    if good:
        yield fine("roles", f"the rights are right of {', '.join(good)}")


def _role_problem(patient: Patient, role: Role) -> str:
    name = user_name(role, patient.settings.account)
    if role is Role.OPERATOR:
        return ""
    lacking = []
    if role is not Role.VIEWER:
        wanted = probes(role, patient.settings.account)
        lacking = [command for command in wanted if not _may(patient, name, *command.split(" "))]
    if lacking:
        shown = ", ".join(" ".join(command.split(" ")[:2]) for command in lacking[:4])
        return f"{name} may not do all a {role} does; missing: {shown}"
    excess = [" ".join(c[:2]) for c in FORBIDDEN if _may(patient, name, *c)]
    return f"{name} may do what only an operator should: {', '.join(excess)}" if excess else ""


def _may(patient: Patient, user: str, *command: str) -> bool:
    return bool(patient.allowed("ACL", "DRYRUN", user, *command) == "OK")


def _user(patient: Patient, name: str) -> dict[str, Any] | None:
    found = patient.allowed("ACL", "GETUSER", name)
    if found is None or isinstance(found, dict):
        return found
    return dict(zip(found[::2], found[1::2], strict=True))


def secrets_kept(patient: Patient) -> Iterator[Finding]:
    """Files with secrets are for one user of this host."""
    files = {
        n: patient.environ[n].strip()
        for n in file_variables()
        if patient.environ.get(n, "").strip()
    }
    open_files = [f"{n} ({path})" for n, path in files.items() if _shared(Path(path))]
    if open_files:
        yield warning(
            "secrets",
            f"others on this host can read {', '.join(open_files)}",
            "chmod 600, and let the file belong to the user that runs this",
        )
    else:
        yield fine(
            "secrets", f"{len(files)} secrets come from files" if files else "none from files"
        )


def _shared(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False
