"""All checks, one after the other; a check that cannot look is a failure that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import redis

from stealer.broker.interface import BrokerError, BrokerRateLimited
from stealer.doctor import account, entrance, market, server
from stealer.doctor.finding import Finding, Level, failure, fine
from stealer.doctor.patient import Patient
from stealer.errors import StealerError
from stealer.printable import shown

Check = Callable[[Patient], Iterable[Finding]]

_ADVICE = {
    "redis": "start the server, or correct REDIS_URL, REDIS_PASSWORD and the TLS files",
    "broker": "check APCA_API_KEY_ID, APCA_API_SECRET_KEY, ALPACA_URL and the network",
    "rights": entrance.MAKE_USERS,
}

_HERE: dict[str, Check] = {
    "trading": market.trading,
    "secrets": entrance.secrets_kept,
    "wire": entrance.wire,
}

_REDIS: dict[str, Check] = {
    "door": entrance.open_door,
    "rights": entrance.rights,
    "roles": entrance.roles,
    "eviction": server.eviction,
    "memory": server.memory,
    "persistence": server.persistence,
    "replication": server.replication,
    "clock": server.clock,
    "functions": account.libraries,
    "types": account.types,
    "certificate": account.certification,
    "keeper": account.keeper,
    "account": account.feeds,
    "halt": account.switches,
    "policy": account.drift,
    "hosts": account.hosts,
    "claims": account.claims,
}


def examine(patient: Patient) -> list[Finding]:
    """Every finding, in an order in which what explains others comes first."""
    found = [finding for name, check in _HERE.items() for finding in _looked(name, check, patient)]
    redis_found = _looked("redis", server.reachable, patient)
    found += redis_found
    if redis_found[0].level is not Level.FAILURE:
        found += [f for name, check in _REDIS.items() for f in _looked(name, check, patient)]
    broker_found = _looked("broker", market.account, patient)
    found += broker_found
    if broker_found[0].level is not Level.FAILURE:
        found += _looked("broker clock", market.clock, patient)
    return found


def _looked(name: str, check: Check, patient: Patient) -> list[Finding]:
    """What *check* found; never nothing, and never an exception of what it looked at."""
    try:
        return list(check(patient)) or [fine(name, "nothing to say")]
    except BrokerRateLimited as error:
        return [market.budget_spent(patient, name, error)]
    except (StealerError, BrokerError) as error:
        return [failure(name, " ".join(str(error).split()), _ADVICE.get(name, "see the message"))]
    except (ValueError, ArithmeticError, KeyError, redis.exceptions.RedisError) as error:
        return [_unreadable(name, error)]
    except Exception as error:  # a defect of the check itself must not hide the other findings
        return [
            failure(name, f"the check itself failed: {shown(error)}", "report it, with this line")
        ]


def _unreadable(name: str, error: Exception) -> Finding:
    """What was read means nothing to us."""
    said = shown(str(error))
    if name.startswith("broker"):
        return failure(
            name,
            f"the broker's answer is not one that can be used ({said})",
            "check ALPACA_URL: does Alpaca, or a simulator of it, answer there?",
        )
    return failure(
        name,
        f"what is stored there is not what this system writes ({said})",
        "look at it with redis-cli; `stealer status` names the key",
    )
