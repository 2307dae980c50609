"""The real scripts: nothing wrong to a small depth, and spoiled Lua is noticed there."""

from __future__ import annotations

import pytest

from scripts.exploration.real import recovery
from scripts.exploration.real.checking import explore
from scripts.exploration.real.scenes import SCENES
from scripts.exploration.real.stage import COUNTED, Outside, Stage, planted

#: Enough for an order that is being canceled when the memory is lost.
DEEP = 9

#: Scene -> depth that takes a second or two.
DEPTHS = {"empty": 4, "full": 5, "stealing": 5, "memory loss": 6}

#: (file, right, wrong, scene, what is said): each is a slip of one line.
PLANTED = (
    (
        "include/claims.lua",
        "  charge(total, crypto)\n  -- The release",
        "  -- The release",
        "stealing",
        "charges: ",
    ),
    ("abort.lua", "disown_victims(c)\n", "\n", "stealing", "heir: ETHUSD|heir: BTCUSD"),
    (
        "close.lua",
        "local freed = c.need - filled\n",
        "local freed = c.need\n",
        "stealing",
        "paid early: ",
    ),
    (
        "include/record.lua",
        "'work_steal_success_total', 1)",
        "'work_steal_success_total', 2)",
        "full",
        "record: ",
    ),
    (
        "acquire.lua",
        "c.request == request and c.state == 'reserved'",
        "false",
        "full",
        "repeat: ",
    ),
    (
        "launch.lua",
        "if c.pending > 0 or not funded(c) then",
        "if false then",
        "stealing",
        "heir: |cap: |zero: |charges: |paid early: ",
    ),
    (
        "include/rebuild.lua",
        "    if c then charge(charged(c)) end\n",
        "\n",
        "memory loss",
        "charges: ",
    ),
    ("include/rebuild.lua", "if o.ending == '1' and", "if false and", "memory loss", "cause: "),
    (
        "certify.lua",
        "if ARGV[3] ~= '' and ARGV[3] ~= run",
        "if ARGV[3] == 'never' and ARGV[3] ~= run",
        "memory loss",
        "repeat: ",
    ),
    (
        "condemn.lua",
        "charge(change, change * WEIGHT[crypto].crypto)\n",
        "\n",
        "memory loss",
        "zero: ",
    ),
    (
        "adopt.lua",
        "not (c.owner == '' and known == id)",
        "true",
        "memory loss",
        "leak: ",
    ),
)


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_wrong_to_a_small_depth(scene: str) -> None:
    result = explore(SCENES[scene], DEPTHS[scene])
    assert result.violation is None, result.trace
    assert result.states > 50


@pytest.mark.parametrize(("file", "right", "wrong", "scene", "said"), PLANTED)
def test_spoiled_lua_is_noticed(file: str, right: str, wrong: str, scene: str, said: str) -> None:
    with planted(file, right, wrong):
        result = explore(SCENES[scene], DEEP if scene == "memory loss" else 5)
    assert result.violation
    assert result.violation.startswith(tuple(said.split("|"))), result.violation
    assert len(result.trace) <= (DEEP if scene == "memory loss" else 5)


def test_a_late_order_that_is_not_condemned_before_the_account_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def listed_only(stage: Stage, outside: Outside, listed: tuple[str, ...]) -> Outside:
        for order_id in listed:
            if (order := outside.order(order_id)) is not None:
                outside = outside.with_order(order._replace(late=COUNTED))
        return outside

    monkeypatch.setattr(recovery, "condemn_strays", listed_only)
    result = explore(SCENES["memory loss"], 8)
    assert result.violation
    assert result.violation.startswith("zero: "), result.violation
    assert "the keeper certifies anew, a POST is still on its way" in result.trace


def test_after_spoiling_the_scripts_are_the_right_ones_again() -> None:
    with planted("abort.lua", "disown_victims(c)\n", "\n"):
        assert explore(SCENES["stealing"], 3).violation
    assert explore(SCENES["stealing"], 3).violation is None


def test_what_is_not_there_cannot_be_spoiled() -> None:
    with (
        pytest.raises(ValueError, match="not there exactly once"),
        planted("abort.lua", "gravity", ""),
    ):
        pass


def test_interleavings_meet_again() -> None:
    """The canonical form leaves out ids and numbers: many roads lead to the same state."""
    result = explore(SCENES["empty"], 4)
    assert result.states < result.transitions / 2
