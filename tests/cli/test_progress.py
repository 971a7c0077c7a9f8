"""One line over several parts: how far the whole is, and how long it still takes."""

import re

from netviz.cli import output
from netviz.cli.output import Progress, WholeProgress


class Terminal:
    def __init__(self, monkeypatch):
        self.now, self.lines = 0.0, []
        monkeypatch.setattr(output.sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(output.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(output.click, "echo", lambda text, **_: self.lines.append(text.strip("\r")))

    @property
    def last(self):
        return self.lines[-1].rstrip()


def test_parts_count_as_one(monkeypatch):
    terminal = Terminal(monkeypatch)
    shares = []
    with WholeProgress([1, 1, 2]) as progress:
        for number in range(3):
            tell = progress.part(number)
            for done in range(11):
                terminal.now += 1
                tell("what", done, 10)
                shares.append(int(re.match(r" *(\d+) %", terminal.last)[1]))
    assert shares == sorted(shares)
    assert (shares[0], shares[10], shares[21], shares[-1]) == (0, 25, 50, 100)
    assert terminal.lines[-1].strip() == ""


def test_the_remaining_time_leaves_out_what_was_there_before(monkeypatch):
    terminal = Terminal(monkeypatch)
    progress = WholeProgress([1, 1])
    tell = progress.part(0)
    # A resumed part begins in its middle.
    tell("resumed", 50, 100)
    terminal.now = 10
    tell("resumed", 100, 100)
    # A quarter took 10 s, and a half is left.
    assert terminal.last.startswith(" 50 %  0:20 left")


def test_names_move_no_cursor(monkeypatch):
    terminal = Terminal(monkeypatch)
    WholeProgress([1]).part(0)("a\n\x1b[2J\r" + "x" * 500, 1, 2)
    assert "\x1b" not in terminal.lines[-1]
    assert "\n" not in terminal.lines[-1]
    assert len(terminal.lines[-1]) < 200


def test_silent_where_nobody_looks(capsys):
    with WholeProgress([1]) as progress:
        progress.part(0)("what", 1, 1)
    assert capsys.readouterr().err == ""


def test_slow_steps_tell_how_long_each_takes(monkeypatch):
    terminal = Terminal(monkeypatch)
    progress = Progress()
    terminal.now += 24
    progress("occluding", 2, 1000)
    assert terminal.last == "occluding  2/1000  12.0 s each, 3:19:36 left"
    progress("occluding", 48, 49)
    assert terminal.last == "occluding  48/49  2.0/s, 0:00 left"
