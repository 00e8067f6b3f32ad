"""What a table shows, in words: a sentence that follows from its verdicts, and a line for each pair of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seediff.workflow.reporting.findings import Convergence, Findings, Overtaking, Pair, Standing
from seediff.workflow.reporting.formats import number
from seediff.workflow.reporting.paired import Difference

NAMED = 3
"""Rows that are named in a list; of more, the number is given."""


def sentence(findings: Findings) -> str:
    """All that is decided in the table's main column, and what is not."""
    return f"By {findings.column}, {'; '.join(_clauses(findings))}{_left_out(findings.incomplete)}."


def _clauses(findings: Findings) -> list[str]:
    if not findings.standings and not findings.pairs:
        return ["nothing yet" if findings.incomplete else "nothing: no two rows can be compared"]
    if findings.repeats == 1:
        return ["nothing is told apart: each row was trained once, so the noise of training is unknown"]
    judged = [pair for pair in findings.pairs if pair.verdict]
    found = [_order(judged)] if judged else []
    told = {frozenset((pair.first, pair.second)) for pair in judged}
    told |= {frozenset((convergence.row, convergence.longer)) for convergence in findings.convergences}
    found += [_standing(standing, findings) for standing in findings.standings if frozenset(standing.rows) not in told]
    found += [_overtaking(overtaking, findings.blocks[0]) for overtaking in findings.overtakings]
    return [*found, *_converged(findings.convergences)]


def _order(pairs: Sequence[Pair]) -> str:
    """What becomes of the paper's order: '2 of 3 of the paper's neighbouring pairs are supported, ...'."""
    if len(pairs) == 1:
        (pair,) = pairs
        return f"the paper's order of {_paper_order(pair)} is {pair.verdict} ({_said(pair)})"
    count = {verdict: [pair for pair in pairs if pair.verdict == verdict] for verdict in _VERDICTS}
    supported = len(count["supported"])
    parts = [
        f"{supported} of {len(pairs)} of the paper's neighbouring pairs {'is' if supported == 1 else 'are'} supported"
    ]
    if contradicted := count["contradicted"]:
        parts.append(f"{len(contradicted)} contradicted ({'; '.join(map(_said, contradicted))})")
    if undecided := count["undecided"]:
        parts.append(f"{len(undecided)} undecided")
    return ", ".join(parts)


_VERDICTS = ("supported", "contradicted", "undecided")


def _paper_order(pair: Pair) -> str:
    better, worse, _ = pair.in_papers_order
    return f"{better} over {worse}"


def _said(pair: Pair) -> str:
    """'X below Y by 5.0, 4.1 to 5.9', X being the row that the paper has ahead."""
    better, worse, ours = pair.in_papers_order
    return f"{better} {_by(ours)} {worse} by {_size(ours)}"


def _by(difference: Difference) -> str:
    return "below" if difference.value < 0 else "above"


def _size(difference: Difference) -> str:
    """The difference without its sign, and its interval: '5.0, 4.1 to 5.9'."""
    shown = -difference if difference.value < 0 else difference
    return f"{number(shown.value)}, {number(shown.low)} to {number(shown.high)}"


def _standing(standing: Standing, findings: Findings) -> str:
    best, second, *others = standing.rows
    where = f" in {_named(standing.block)}" if len(findings.blocks) > 1 else ""
    if not standing.level and not others:
        return f"{best} is ahead of {second} by {_size(standing.lead)}"
    if not standing.level:
        others_there = f"all other rows{where}{_tested(findings)}"
        return f"{best} is ahead of {others_there}, of the next, {second}, by {_size(standing.lead)}"
    if not standing.told_apart:
        return f"{_rows(standing.rows)}{where} are not told apart"
    return f"{best} leads{where}, but is not told apart from {_rows(standing.level)}"


def _named(block: str) -> str:
    """Only the first block can do without a name."""
    return repr(block) if block else "the first block"


def _tested(findings: Findings) -> str:
    """Needed where a block has rows of several benchmarks."""
    blocks = [standing.block for standing in findings.standings]
    return " of its benchmark" if len(blocks) > len({*blocks}) else ""


def _overtaking(overtaking: Overtaking, first_block: str) -> str:
    return (
        f"{overtaking.row} is ahead of all rows in {_named(first_block)}, of the best, {overtaking.overtaken}, by "
        f"{_size(overtaking.difference)}"
    )


def _converged(convergences: Sequence[Convergence]) -> Iterator[str]:
    """'X and Y have converged', and of each that has not, how more iterations change it."""
    if reached := [convergence.row for convergence in convergences if convergence.reached]:
        yield f"{_rows(reached)} {'has' if len(reached) == 1 else 'have'} converged"
    for convergence in convergences:
        if not convergence.reached:
            change, deviation = number(convergence.change, "+.1f"), number(convergence.deviation)
            yield (
                f"{convergence.row} has not converged: {convergence.longer} changes it by {change}, with a standard "
                f"deviation of {deviation}"
            )


def _rows(labels: Sequence[str]) -> str:
    if len(labels) > NAMED:
        return f"{len(labels)} rows"
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last


def _left_out(labels: Sequence[str]) -> str:
    return f" ({_rows(labels)} left out, for want of runs)" if labels else ""


# --- pairs -----------------------------------------------------------------------------------------------------------


def pair_lines(findings: Findings) -> Iterator[str]:
    """A heading, and a line for each pair of neighbouring rows; nothing if there is none."""
    if findings.pairs:
        over = "images and repeats" if findings.repeats > 1 else "images alone, each row having been trained once"
        yield f"Neighbouring rows by {findings.column}, with 95 % intervals over {over} (docs/statistics.md):"
        yield from map(_pair_line, findings.pairs)


def _pair_line(pair: Pair) -> str:
    found = pair.difference
    interval = f"{number(found.value, '+.1f')} ({number(found.low, '+.1f')} to {number(found.high, '+.1f')})"
    line = f"{pair.second} over {pair.first}: {interval}"
    return f"{line}; paper {number(pair.reported or 0.0, '+.1f')}: {pair.verdict}" if pair.verdict else line
