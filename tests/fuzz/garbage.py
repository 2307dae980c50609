"""Values that people, other programs and broken disks write where a number or a name belongs."""

from __future__ import annotations

from hypothesis import strategies as st

#: What number parsers disagree about, and what overflows, vanishes or steers.
ODD_TEXTS = (
    "", " ", "0", "-0", "-1", "1", "0.1", "1.5", "1e5", "1e99", "1e400", "-1e99", "nan", "NaN",
    "-nan", "inf", "-inf", "Infinity", "0x10", "0b1", "0x1p4", "1_000", "1,5", "١٢", "½",
    "9" * 20, "9" * 400, "-" + "9" * 20, "9007199254740993", "true", "null", "None", "[]", "{}",
    "[1]", '{"a": 1}', "abc", "abc def", "\x1b[2J", "\u202e", "\ud7ff", "🦆", "%s%n", "$(id)",
    "../..", "a|b|c", "|", "-", "--", "--help", "-1.5", "AAPL", "BTC/USD", "BTCUSD", "'", '"',
    "\n", "\t", "\r\n", "\x1f", "\x7f", "{0}", "{paper}", "*", "ERR", "WRONGTYPE", "redis://",
    "unix://", "http://[::1", "redis://h:99999/0", "redis://u:p@h/x",
)  # fmt: skip

#: Arbitrary text without NUL and lone surrogates: what an operating system can hand over.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)

numbers = st.one_of(
    st.integers().map(str),
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(repr),
    st.decimals().map(str),
)

#: One value that may be anything a program can be handed as text.
words = st.one_of(st.sampled_from(ODD_TEXTS), texts, numbers)
