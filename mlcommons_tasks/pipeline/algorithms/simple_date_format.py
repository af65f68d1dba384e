"""Texts to milliseconds as java.text.SimpleDateFormat reads them: leniently, up to where the pattern ends. Pure.

Facts: JDK `SimpleDateFormat`, `GregorianCalendar`, `TimeZone`, in the root locale's English. Weeks count only with a
week year (`YYYY-'W'ww`); the other letters for weeks and weekdays are read and do not count.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_LETTERS = "GyMdkHmsSEDFwWahKzZYuXL"
_TEXTS = frozenset("GEazZX")
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
#: The words of a field, from its first number on.
_WORDS = {"M": (1, _MONTHS.split()), "E": (0, _DAYS.split()), "a": (0, ["AM", "PM"]), "G": (0, ["BC", "AD"])}
_TOKEN = re.compile(r"'(?:''|[^'])*'|''|([A-Za-z])\1*|[^A-Za-z']")
_OFFSET = re.compile(r"GMT([+-])(\d{1,2})(?::?(\d\d))?")
#: How far a text says that its clocks are ahead, by the letters of its field.
_OFFSETS = {
    "X": re.compile(r"([+-])(\d\d)()"),
    "XX": re.compile(r"([+-])(\d\d)(\d\d)"),
    "XXX": re.compile(r"([+-])(\d\d):(\d\d)"),
    "z": re.compile(r"(?:GMT(?=[+-]\d\d?:)|(?=[+-]\d{4}))([+-])(\d\d?):?(\d\d)"),
}
#: The names of zones that a text may say, and their hours.
_STANDARD = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
#: `ZoneId.SHORT_IDS`, where the zone database has no such name
_SHORT_ZONES = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "EST": "America/Panama",
    "HST": "Pacific/Honolulu",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "MST": "America/Phoenix",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
_GREGORIAN_START = -141427  # days since 1970 of 1582-10-15
_DAY_MS = 86_400_000


class SimpleDateFormat:
    """A pattern and a time zone, ready to read texts."""

    def __init__(self, pattern: str, zone: str) -> None:
        """Read the pattern; ValueError for a letter that means nothing and a quote that does not end."""
        self._parts: list[tuple[str, int, str]] = []  # a letter and how many of it, or "" and a text
        self._zone = _zone(zone)
        place = 0
        while place < len(pattern):
            token = _TOKEN.match(pattern, place)
            if token is None:
                raise ValueError("Unterminated quote")
            letter, text = token[1], token[0]
            if letter and (letter not in _LETTERS or (letter == "X" and len(text) > 3)):
                raise ValueError(f"Illegal pattern character '{letter}'")
            if letter:
                self._parts.append((letter, len(text), ""))
            else:
                self._parts.append(("", 0, text if text[0] != "'" else (text[1:-1].replace("''", "'") or "'")))
            place = token.end()

    def parse(self, text: str) -> int | None:
        """Return milliseconds since 1970; None for a text that is not as the pattern says."""
        place = 0
        fields: dict[str, int] = {}
        for number, (letter, count, literal) in enumerate(self._parts):
            if not letter:
                if not text.startswith(literal, place):
                    return None
                place += len(literal)
                continue
            while place < len(text) and text[place] in " \t":
                place += 1
            following = self._parts[number + 1] if number + 1 < len(self._parts) else ("", 0, "")
            crowded = bool(following[0]) and not _is_text(*following[:2])
            end = _read(text, place, letter, count, crowded, fields)
            if end is None:
                return None
            place = end
        return self._millis(fields) if place else None

    def _millis(self, fields: dict[str, int]) -> int:
        year = fields.get("y", 1970)
        if fields.get("G") == 0:
            year = 1 - year
        if "Y" in fields and "y" not in fields:
            start = _days(fields["Y"], 1, 1)
            days = start - (start + 4) % 7 + (fields.get("w", 1) - 1) * 7  # day 3 is the first Sunday
        elif "D" in fields:
            days = _days(year, 1, 1) + fields["D"] - 1
        else:
            days = _days(year, fields.get("M", 1), fields.get("d", 1))
        hour = fields.get("H", fields.get("h", 0) + 12 * fields.get("a", 0))
        seconds = (hour * 60 + fields.get("m", 0)) * 60 + fields.get("s", 0)
        local = days * _DAY_MS + seconds * 1000 + fields.get("S", 0)
        millis = local - (fields["z"] * 1000 if "z" in fields else _offset_ms(self._zone, local))
        return (millis + 2**63) % 2**64 - 2**63  # a long


def _is_text(letter: str, count: int) -> bool:
    return letter in _TEXTS or (letter in "ML" and count > 2)


def _read(text: str, place: int, letter: str, count: int, crowded: bool, fields: dict[str, int]) -> int | None:
    """Read one field into `fields`; return where it ends, None if it is not there."""
    if letter in "zZX":
        return _read_zone(text, place, letter * count, fields)
    if _is_text(letter, count):
        return _read_word(text, place, "M" if letter == "L" else letter, fields)
    digits = re.compile(r"-?\d+").match(text[: place + count] if crowded else text, place)
    if digits is None:
        return None
    number = (int(digits[0][:18]) + 2**31) % 2**32 - 2**31  # Java's intValue
    if letter in "yY" and count <= 2 and digits.end() - place == 2 and number >= 0:
        number += _century(number)
    if letter in "kh":  # 1 to 24, 1 to 12
        number = 0 if number == (24 if letter == "k" else 12) else number
    fields[{"k": "H", "K": "h", "L": "M"}.get(letter, letter)] = number
    return digits.end()


def _read_word(text: str, place: int, field: str, fields: dict[str, int]) -> int | None:
    first, words = _WORDS[field]
    for length in (None, 3):
        for number, word in enumerate(words, first):
            said = word[:length]
            if text[place : place + len(said)].lower() == said.lower():
                fields[field] = number
                return place + len(said)
    return None


def _read_zone(text: str, place: int, form: str, fields: dict[str, int]) -> int | None:
    if form[0] == "X" and text.startswith("Z", place):
        fields["z"] = 0
        return place + 1
    offset = _OFFSETS[form if form[0] == "X" else "z"].match(text, place)
    if offset:
        seconds = int(offset[2]) * 3600 + int(offset[3] or 0) * 60
        fields["z"] = -seconds if offset[1] == "-" else seconds
        return offset.end()
    name = re.compile(r"[A-Za-z]+").match(text, place)
    if (
        form[0] == "X"
        or name is None
        or name[0].upper() not in _STANDARD
        or text[name.end() : name.end() + 1] in ("+", "-")
    ):
        return None
    fields["z"] = _STANDARD[name[0].upper()] * 3600
    return name.end()


def _century(number: int) -> int:
    """Return what makes two digits a year at most 80 years ago and less than 20 ahead."""
    first = datetime.now(timezone.utc).year - 80
    year = first - first % 100 + number
    return year + (100 if year < first else 0) - number


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 of a date, whose month and day may be beyond their ends; Julian before 1582-10-15."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    shifted = year - (month <= 2)
    before = shifted * 365 + shifted // 4 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    gregorian = before - shifted // 100 + shifted // 400 - 719468
    return gregorian if gregorian >= _GREGORIAN_START else before - 719470


def _offset_ms(zone: tzinfo, local: int) -> int:
    """Return how far a zone's clocks are ahead; at a local time that is there twice or not at all, by standard time."""
    try:
        moment = datetime(1970, 1, 1) + timedelta(milliseconds=local)
    except OverflowError:
        moment = datetime(1970, 1, 1)
    offsets = [moment.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1)]
    return int(min(offsets).total_seconds() * 1000)


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    """Return the zone that TimeZone.getTimeZone gives: GMT for a name that it does not know."""
    offset = _OFFSET.fullmatch(name)
    if offset and int(offset[2]) < 24 and int(offset[3] or 0) < 60:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-ahead if offset[1] == "-" else ahead)
    if re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        try:
            return ZoneInfo(_SHORT_ZONES.get(name, name))
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            pass
    return timezone.utc
