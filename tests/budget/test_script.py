"""The script `budget`: windows, shares, what answers state, and the hold after a 429."""

from __future__ import annotations

import pytest

from tests.budget.conftest import Till

#: The most urgent first; market data has a limit of its own.
URGENT = ("cancel", "submit", "look_up", "account", "sweep", "read", "other")


def granted(till: Till, call: str) -> int:
    """How many are granted until one is refused."""
    count = 0
    while till.take(call):
        count += 1
        assert count <= 1000
    return count


def test_before_any_answer_the_brokers_default_limit_counts(till: Till) -> None:
    reply = till.ask("take", "look_up")
    assert (reply.answer, reply.limit, reply.left, reply.known) == ("granted", 200, 199, 0)
    assert 59_000 < reply.ends <= 60_000


@pytest.mark.parametrize(("ends_in", "account", "read"), [(60.0, 160, 100), (6.0, 178, 163)])
def test_each_call_leaves_a_share_to_more_urgent_ones_and_less_of_it_late_in_the_minute(
    till: Till, ends_in: float, account: int, read: int
) -> None:
    till.window(200, ends_in=ends_in)
    expected = {"cancel": 200, "submit": 190, "look_up": 180, "account": account, "read": read}
    for call, room in expected.items():
        assert abs(till.ask("told", call).room - room) <= 1, call


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 30, 200, 10_000])
@pytest.mark.parametrize("ends_in", [0.5, 20, 60])
def test_the_more_urgent_never_has_less_room(till: Till, limit: int, ends_in: float) -> None:
    till.window(limit, ends_in=ends_in)
    rooms = [till.ask("told", call).room for call in URGENT]
    assert rooms == sorted(rooms, reverse=True)


def test_what_is_refused_to_one_is_granted_to_a_more_urgent_one(till: Till) -> None:
    till.window(40)
    for call in reversed(URGENT):
        before = granted(till, call)
        assert before > 0, call
    assert not till.take("cancel")


def test_a_wait_is_known_and_ends_with_the_window(till: Till) -> None:
    till.window(20, used=20, ends_in=17)
    reply = till.ask("take", "look_up")
    assert reply.answer == "wait"
    assert 16_900 < reply.wait <= 17_000


def test_what_falls_with_time_is_waited_for_no_longer_than_it_takes(till: Till) -> None:
    """read leaves 15 % and 35 % of what is left of the minute: 50 of 100 now, 40 in 17 s."""
    till.window(100, used=59, ends_in=60)
    wait = till.ask("take", "read").wait
    assert abs(wait - 60_000 * 10 / 35) < 400
    till.window(100, used=59, ends_in=60 - wait / 1000 - 0.3)
    assert till.take("read")


def test_a_window_that_ended_begins_anew_in_step(till: Till) -> None:
    till.window(20, used=20, ends_in=-130)
    reply = till.ask("take", "read")
    assert (reply.answer, reply.left) == ("granted", 19)
    assert 49_000 < reply.ends <= 50_000


def test_the_smaller_of_what_is_left_is_believed(till: Till) -> None:
    till.window(100, used=10)
    assert till.told(100, 70, 30).left == 70, "somebody else uses the account"
    assert till.told(100, 95, 30).left == 70, "an answer that is behind"


def test_answers_in_any_order_leave_the_same(till: Till) -> None:
    stated = [(100, left, 30) for left in (80, 60, 75, 61, 90)]
    found = set()
    for order in (stated, stated[::-1], sorted(stated)):
        till.window(100, used=10)
        found.add([till.told(*one) for one in order][-1].left)
    assert found == {60}


def test_what_went_out_without_asking_is_counted_once(till: Till) -> None:
    till.window(100, used=10)
    for sent in range(1, 4):
        reply = till.told(100, 100 - 10 - sent, 30, mode="spent", call="submit")
        assert reply.left == 90 - sent
    assert till.counter("api_calls_total:submit") == 3


def test_the_first_answer_sets_the_window_right(till: Till) -> None:
    till.take()
    reply = till.told(50, 20, 5)
    assert (reply.limit, reply.left, reply.known) == (50, 20, 1)
    assert 4_900 < reply.ends <= 5_000


def test_an_answer_from_the_brokers_next_window_begins_ours(till: Till) -> None:
    till.window(100, used=100, ends_in=0.8)
    reply = till.told(100, 97, 60)
    assert reply.left == 97
    assert 59_000 < reply.ends <= 60_000


def test_a_late_answer_about_the_last_window_changes_nothing(till: Till) -> None:
    till.window(100, used=3, ends_in=58)
    assert till.told(100, 5, 1.5, age=0.2).left == 97
    assert till.told(100, 5, 3, age=4).left == 97


def test_when_ours_began_too_early_the_brokers_is_believed(till: Till) -> None:
    till.window(100, used=3, ends_in=58)
    reply = till.told(100, 5, 20)
    assert reply.left == 5
    assert 19_000 < reply.ends <= 20_000


def test_the_earliest_estimate_of_the_reset_is_kept(till: Till) -> None:
    """Dates are whole seconds, so each is late by up to one."""
    till.window(100, ends_in=30)
    assert till.told(100, 90, 29.4).ends <= 29_400
    assert till.told(100, 90, 30.2).ends <= 29_400


def test_a_limit_of_none_at_all_grants_everything(till: Till) -> None:
    till.window(3, used=3)
    assert till.told(0, 0, 30).limit == 0
    assert all(till.take(call) for call in URGENT * 2)


def test_after_a_429_nothing_is_granted_before_the_reset(till: Till) -> None:
    till.window(100, used=10)
    reply = till.told(100, 0, 12, refused=1)
    assert 11_900 < reply.held <= 12_000
    for call in URGENT:
        refused = till.ask("take", call)
        assert refused.answer == "wait"
        assert 11_500 < refused.wait <= 12_000
    assert till.counter("api_429_total") == 1


@pytest.mark.parametrize("stated", [("", "", ""), (100, 50, 30)], ids=["unsaid", "another limit"])
def test_a_429_that_names_no_reset_stops_all_for_a_moment(
    till: Till, stated: tuple[object, ...]
) -> None:
    till.window(100, used=10)
    assert 1_900 < till.told(*stated, refused=1).held <= 2_000
    assert not till.take("submit")


def test_only_a_later_calls_success_ends_the_hold(till: Till) -> None:
    till.window(100, used=10)
    till.told(100, 0, 12, refused=1)
    assert till.told(begun=5).held > 11_000, "it was sent before the 429"
    assert till.told(refused="").held > 11_000, "a proxy's page says nothing"
    till.client.hset(till.keys.budget, mapping={"held_at": till.now() - 500, "used": 10})
    assert till.told(begun=0.1).held == 0
    assert till.take()


def test_market_data_has_a_window_of_its_own(till: Till) -> None:
    till.window(10, used=10)
    assert till.ask("take", "quotes", api="data").left == 199
    till.ask("told", "quotes", 1000, 500, 30_000, 0, 0, 0, api="data")
    assert not till.take()
    assert till.ask("take", "quotes", api="data").left == 499


def test_who_waits_is_seen_until_it_is_served(till: Till) -> None:
    till.window(10, used=10)
    till.take("read", who="watcher-AAPL")
    (member, until), *more = till.client.zrange(till.keys.budget_waiting, 0, -1, withscores=True)
    assert (member, more) == ("watcher-AAPL read", [])
    assert 29_000 < until - till.now() <= 30_000
    assert till.counter("api_refused_total") == 1
    till.window(10)
    till.take("read", who="watcher-AAPL")
    assert till.client.zcard(till.keys.budget_waiting) == 0
    assert till.counter("api_calls_total:read") == 1


@pytest.mark.parametrize("field", ["limit", "used", "ends", "held", "held_at"])
@pytest.mark.parametrize("value", ["x", "-5", "nan", "1e300", "inf", "99999999999999999", ""])
def test_what_somebody_else_wrote_stops_nobody_for_long(till: Till, field: str, value: str) -> None:
    till.window(100, used=10)
    till.client.hset(till.keys.budget, field, value)
    reply = till.ask("take", "look_up")
    assert reply.held <= 120_000
    assert reply.ends <= 60_000 or field != "ends"
    assert 0 <= reply.left <= 200


def test_a_clock_that_was_set_back_does_not_stop_the_account(till: Till) -> None:
    till.window(100, used=100, ends_in=3600, held=till.now() + 3_600_000)
    assert till.take()
