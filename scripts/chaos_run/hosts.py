"""Hosts as network namespaces: a hub with Redis and the broker, and hosts that reach only it.

The calling thread itself moves into the hub, so that everything it starts and connects to is there;
no address outside the namespaces made here is used or changed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000

#: The hub's address, the hosts' are .2, .3 and so on: of a network that exists only in the
#: namespaces.
HUB = "10.213.77.1"


class NoNamespaces(Exception):
    """This machine does not allow them; the text says why."""


@dataclass(frozen=True)
class Network:
    """Names of the namespaces: the hub and the hosts."""

    hub: str
    hosts: tuple[str, ...]

    def partition(self, host: str, *, off: bool) -> None:
        """Take *host* off the network, or bring it back."""
        port = f"v{self.hosts.index(host) + 2}"
        ip("-n", self.hub, "link", "set", port, "down" if off else "up")


def ip(*words: str) -> None:
    """One ``ip`` command.

    :raises NoNamespaces: it failed.
    """
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def network(hosts: int = 2) -> Iterator[Network]:
    """*hosts* namespaces and a hub, joined by a bridge in it; this thread is in the hub meanwhile.

    :raises NoNamespaces: not root, no ``ip``, or not allowed here.
    """
    if os.geteuid() != 0:
        raise NoNamespaces("network namespaces need root")
    if shutil.which("ip") is None:
        raise NoNamespaces("there is no `ip` command (iproute2)")
    name = f"mx{os.getpid()}"
    net = Network(f"{name}h", tuple(f"{name}n{number}" for number in range(1, hosts + 1)))
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _build(net)
        _enter(os.open(Path("/run/netns") / net.hub, os.O_RDONLY), close=True)
        yield net
    finally:
        _enter(home, close=True)
        for namespace in (*net.hosts, net.hub):  # its devices go with it
            with suppress(NoNamespaces):
                ip("netns", "del", namespace)


def _build(net: Network) -> None:
    for namespace in (net.hub, *net.hosts):
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
    ip("-n", net.hub, "link", "add", "br0", "type", "bridge")
    ip("-n", net.hub, "addr", "add", f"{HUB}/24", "dev", "br0")
    ip("-n", net.hub, "link", "set", "br0", "up")
    for number, host in enumerate(net.hosts, start=2):
        port = f"v{number}"
        pair = ("type", "veth", "peer", "name", "eth0", "netns", host)
        ip("-n", net.hub, "link", "add", port, *pair)
        ip("-n", net.hub, "link", "set", port, "master", "br0", "up")
        ip("-n", host, "addr", "add", f"10.213.77.{number}/24", "dev", "eth0")
        ip("-n", host, "link", "set", "eth0", "up")


def _enter(namespace: int, *, close: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.setns(namespace, CLONE_NEWNET)
    if close:
        os.close(namespace)
    if failed:
        raise NoNamespaces(f"setns: {os.strerror(ctypes.get_errno())}")
