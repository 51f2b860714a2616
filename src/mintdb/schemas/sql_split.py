"""Split a PostgreSQL script into the statements that the server would run, with the line on which each begins.

The lexical rules are the server's (src/backend/parser/scan.l), the places where a statement ends are psql's
(src/fe_utils/psqlscan.l): a semicolon outside quotes, parentheses and the BEGIN … END body of a function. What is never
closed stays in the last statement, for the server to name. Strings are read as with `standard_conforming_strings = on`.
pglast would do it as the server does, but is GPL and knows neither psql's commands nor data blocks; sqlparse guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from mintdb.facts import dataclass

SPACE = r"[ \t\n\r\f\v]"  # the server's; str.isspace() would include what it takes for a letter
# A-Z, a-z, _ and all that is not ASCII, told by what it is not: re takes 20 ms to compile a set of all characters.
LETTER = r"[^\x00-@\[-^`{-\x7f]"
LETTER_OR_DIGIT = r"[^\x00-/:-@\[-^`{-\x7f]"
OF_A_WORD = r"[^\x00-#%-/:-@\[-^`{-\x7f]"  # a letter, a digit or $

TOKEN = re.compile(
    rf"""
      (?P<skip>{SPACE}+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]')
    | (?P<quoted>')
    | (?P<name>")
    | (?P<dollar>\$(?:{LETTER}{LETTER_OR_DIGIT}*)?\$)
    | (?P<word>{LETTER}{OF_A_WORD}*)
    | (?P<number>\$?[0-9]+(?:{LETTER}{OF_A_WORD}*)?)
    | (?P<semicolon>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<backslash>\\(?:[a-zA-Z_]+[^\s\\]*|\S)?)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# A string goes on in the next line's quotes, and a string with escapes keeps its escapes there.
CONTINUED = rf"(?:[ \t\f\v]|--[^\n\r]*)*+[\n\r](?:{SPACE}|--[^\n\r]*[\n\r])*+'"
REST = {
    "quoted": re.compile(r"[^']*'"),
    "escaped": re.compile(rf"(?:[^'\\]|\\.|'(?:'|{CONTINUED}))*+'", re.DOTALL),
    "name": re.compile(r'[^"]*"'),
}
COMMENT_EDGE = re.compile(r"/\*|\*/")
# psql's own commands in what pg_dump writes since August 2025: they only forbid other commands, which are refused here.
HARMLESS = ("\\restrict", "\\unrestrict")
END_OF_LINE = re.compile(r"[^\n]*\n?")
END_OF_DATA = re.compile(r"^\\\.\r?(?:\n|\Z)", re.MULTILINE)
BODY_WORDS = {"begin": 1, "case": 1, "end": -1}


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon; `data` is the block below a COPY … FROM stdin.

    `script[start:end]` is the statement with its semicolon and data, `line` the line of its first token, from 1.
    """

    text: str
    line: int
    start: int
    end: int
    data: str | None = None


class MetaCommandFound(Exception):
    """A command for psql itself, which no server understands."""

    def __init__(self, command: str, line: int) -> None:
        super().__init__(command)
        self.command = command
        self.line = line


class TextAfterCopy(Exception):
    """A COPY … FROM stdin is followed by something in its own line, where its data should begin in the next."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass
class _Shape:
    """What of the statement so far decides whether a semicolon ends it."""

    start: int = -1
    line: int = 0
    parentheses: int = 0
    bodies: int = 0
    words: list[str] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        return self.start >= 0

    @property
    def ends_here(self) -> bool:
        return not self.parentheses and not self.bodies

    @property
    def reads_data(self) -> bool:
        return self.words[:1] == ["copy"] and ("from", "stdin") in zip(self.words, self.words[1:], strict=False)

    @property
    def is_routine(self) -> bool:
        head = [word for word in self.words[:4] if word not in ("or", "replace")]
        return head[:1] == ["create"] and head[1:2] in (["function"], ["procedure"])

    def add(self, kind: str, text: str) -> None:
        if kind == "open":
            self.parentheses += 1
        elif kind == "close":
            self.parentheses = max(0, self.parentheses - 1)
        elif kind == "word" and not self.parentheses:
            self._add_word(text.lower())

    def _add_word(self, word: str) -> None:
        self.words.append(word)
        if word in BODY_WORDS and (self.bodies or word == "begin") and self.is_routine:
            self.bodies += BODY_WORDS[word]


def split(script: str) -> Iterator[Statement]:
    """Yield the statements in order. Raises MetaCommandFound and TextAfterCopy where it meets one."""
    lines = _LineCounter(script)
    shape = _Shape()
    position = 0
    while position < len(script):
        kind, end = _read_token(script, position)
        if kind == "backslash":
            end = _skip_harmless(script, position, end, lines)
        elif kind == "semicolon" and shape.ends_here:
            if shape.begun:
                statement = _finish(script, shape, end, lines)
                end = statement.end
                yield statement
            shape = _Shape()
        elif kind != "skip":
            if not shape.begun:
                shape.start, shape.line = position, lines.at(position)
            shape.add(kind, script[position:end])
        position = end
    if shape.begun:
        data = "" if shape.reads_data else None
        yield Statement(script[shape.start :], shape.line, shape.start, len(script), data)


def _read_token(script: str, position: int) -> tuple[str, int]:
    """The kind of the token at `position` and where it ends; what is never closed reaches to the script's end."""
    match = TOKEN.match(script, position)
    assert match is not None
    assert match.lastgroup is not None
    kind = match.lastgroup
    if kind in REST:
        rest = REST[kind].match(script, match.end())
        return kind, rest.end() if rest else len(script)
    if kind == "dollar":
        closing = script.find(match.group(), match.end())
        return kind, closing + len(match.group()) if closing >= 0 else len(script)
    if kind == "comment":
        end = _end_of_comment(script, match.end())
        return ("skip", end) if end is not None else (kind, len(script))
    return kind, match.end()


def _end_of_comment(script: str, position: int) -> int | None:
    depth = 1
    for edge in COMMENT_EDGE.finditer(script, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


def _skip_harmless(script: str, position: int, end: int, lines: _LineCounter) -> int:
    command = script[position:end]
    if command not in HARMLESS:
        raise MetaCommandFound(command, lines.at(position))
    return _end_of_line(script, end)


def _finish(script: str, shape: _Shape, end: int, lines: _LineCounter) -> Statement:
    text = script[shape.start : end - 1]
    if not shape.reads_data:
        return Statement(text, shape.line, shape.start, end)
    data_start = _end_of_line(script, end)
    if not _is_blank(script[end:data_start]):
        raise TextAfterCopy(lines.at(end))
    closing = END_OF_DATA.search(script, data_start)
    data_end, whole_end = (closing.start(), closing.end()) if closing else (len(script), len(script))
    return Statement(text, shape.line, shape.start, whole_end, script[data_start:data_end])


def _end_of_line(script: str, position: int) -> int:
    match = END_OF_LINE.match(script, position)
    assert match is not None
    return match.end()


def _is_blank(rest_of_line: str) -> bool:
    return not rest_of_line.strip() or rest_of_line.lstrip().startswith("--")


class _LineCounter:
    """The line of a position, for positions that only grow."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._position = 0
        self._line = 1

    def at(self, position: int) -> int:
        self._line += self._script.count("\n", self._position, position)
        self._position = position
        return self._line
