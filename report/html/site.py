"""A folder of pages for a web server: one for each run, one for each suite that has a history on a
host, and an index of them all.

What did not change is not made anew: `index.json` in the folder holds the digest of everything that
a page was made from, beside what the index says of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from harness.errors import BenchError
from harness.files import write_text
from harness.schema.record import RunInfo
from report.html.build import PageOptions, make_page, policy, template, text_of, verbatim
from report.html.files import pictures_of, rules_beside, write_page
from report.html.history import SuiteHistory, courses_among
from report.html.terms import meaning
from report.loading.runs import (
    JOBS_FILE,
    RUN_FILE,
    Folder,
    Run,
    find_folders,
    load_run,
    neighbours_of,
    place_run,
)
from report.plots.style import slug
from report.regressions.acknowledged import FILE as ACKNOWLEDGED
from report.regressions.nights import histories_among, nights_among
from report.regressions.thresholds import DEFAULT_FILE
from report.tables.footnotes import machine
from report.tables.registry import build

FORMAT = 1  # of index.json
INDEX, STATE = "index.html", "index.json"
RUNS, HISTORIES = "runs", "history"  # folders of the site
WORST_FIRST = ("bad", "telling", "good")
SERIES = "series"  # folder of a run whose files are drawn


@dataclass(frozen=True)
class Entry:
    """A page of a run, and what the index says of it.

    Attributes:
        page: Its address within the site.
        digest: Of everything that it was made from.
        run: The run's name.
        suite: The suite's name.
        host: The machine, in words.
        created_at: When the run was made (UTC, ISO 8601); empty: not known.
        headline: The answer in words.
        commit: The commit that measured.
        problems: What could not be read of the run, a sentence each.
    """

    page: str
    digest: str
    run: str
    suite: str
    host: str
    created_at: str
    headline: str
    commit: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class HistoryEntry:
    """A page of several nights of a suite on a host, and what the index says of it.

    Attributes:
        page: Its address within the site.
        digest: Of everything that it was made from.
        suite: The suite's name.
        host: The machine, in words.
        host_id: What tells it from others of its kind.
        workloads: The names of its workloads, which tell it from others of the suite on the host.
        nights: How many nights there are.
        last: When the last one was made.
        summary: The verdict on the last night.
        worst: The class of its worst state.
    """

    page: str
    digest: str
    suite: str
    host: str
    host_id: str
    nights: int
    last: str
    summary: str
    worst: str
    workloads: str = ""


@dataclass
class Site:
    """What became of a folder of pages. `made` and `kept`: pages; `problems`: what was set
    aside.
    """

    runs: dict[str, Entry] = field(default_factory=dict)
    histories: dict[str, HistoryEntry] = field(default_factory=dict)
    made: int = 0
    kept: int = 0
    removed: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SiteOptions:
    """`plots`: whether pages have plots; `commit_url`: as in PageOptions."""

    plots: bool = True
    commit_url: str = ""


@dataclass(frozen=True)
class _Found:
    """A run that its description tells of: `run` has no jobs yet."""

    folder: Path
    page: str
    run: Run


def make_site(results: Sequence[Path], out: Path, options: SiteOptions) -> Site:
    """Bring the site in `out` up to date with the runs in `results` and in folders of runs in
    these.

    A run that cannot be read is named among `problems`, and the others are there.

    Raises:
        BenchError: There is no run, `out` is something else, or it cannot be written.
    """
    folders = _run_folders(results)
    before = _state(out)
    site = Site()
    found = list(_descriptions(folders, site))
    groups = _groups(found)
    made_by = _digest_of_code(options)
    addresses = [f"{HISTORIES}/{name}.html" for name in _history_names(groups)]
    history_of = {
        member.page: address
        for group, address in zip(groups, addresses, strict=True)
        for member in group
    }
    neighbours = neighbours_of(folders)
    try:
        for each in found:
            run = place_run(each.run, neighbours)
            history = history_of.get(each.page, "")
            digest = _digest([made_by, history, *_contents(run)])
            _bring_run(site, before, each, run, digest, history, out, options)
        for group, address in zip(groups, addresses, strict=True):
            _bring_history(site, before, group, address, neighbours, made_by, out, options)
    finally:
        # What was made until an interruption need not be made again.
        _write_state(out, site, before)
    for page in _pages(before) - _pages(site):
        (out / page).unlink(missing_ok=True)
        site.removed += 1
    site.problems += [said for entry in site.runs.values() for said in entry.problems]
    _write_state(out, site, None)
    write_page(out / INDEX, index_page(site))
    return site


def index_page(site: Site) -> str:
    """The index as text: every suite with a history, then every run, the newest first."""
    script, style = text_of("page.js"), text_of("page.css")
    runs = sorted(site.runs.values(), key=lambda entry: (entry.created_at, entry.run), reverse=True)
    histories = sorted(site.histories.values(), key=lambda entry: entry.last, reverse=True)
    histories.sort(key=lambda entry: WORST_FIRST.index(entry.worst))
    counted = Counter((entry.suite, entry.host) for entry in histories)
    on_a_host = Counter((entry.suite, entry.host, entry.host_id) for entry in histories)
    days = sorted(entry.created_at[:10] for entry in runs if entry.created_at)
    made = template("index.html.jinja").render(
        policy=policy(script, style),
        script=verbatim(script),
        style=verbatim(style),
        runs=runs,
        histories=histories,
        ambiguous={key for key, count in counted.items() if count > 1},
        several={key for key, count in on_a_host.items() if count > 1},
        dates=" to ".join(dict.fromkeys([*days[:1], *days[-1:]])),
        problems=site.problems,
        meaning=meaning,
        address=quote,
        facets=_facets(runs),
    )
    return made.strip("\n") + "\n"


def _facets(runs: Sequence[Entry]) -> list[tuple[str, str, list[str]]]:
    found = [
        ("suite", "Suite", sorted({entry.suite for entry in runs})),
        ("host", "Host", sorted({entry.host for entry in runs})),
    ]
    return [facet for facet in found if len(facet[2]) > 1]


def _run_folders(results: Sequence[Path]) -> list[Folder]:
    """The runs in the folders, and in folders of runs in these; each once."""
    folders: dict[Path, Folder] = {}
    for path in results:
        inside = [path, *sorted(child for child in _children(path) if child.is_dir())]
        for place in inside:
            try:
                of_place = find_folders([place])
            except BenchError:
                continue  # a folder that holds no run
            for folder in of_place:
                # None was named: one that cannot be read does not stop the others.
                folders.setdefault(folder.path.resolve(), Folder(folder.path, named=False))
    folders = {
        path: folder
        for path, folder in folders.items()
        if (folder.path / RUN_FILE).exists() or (folder.path / JOBS_FILE).exists()
    }
    if not folders:
        raise BenchError(
            "holds no run",
            place=", ".join(map(str, results)),
            fix="name a folder of runs, such as results/",
        )
    return list(folders.values())


def _children(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError as error:
        raise BenchError(
            f"cannot be read: {error.strerror}", place=str(path), fix="name a folder of runs"
        ) from None


def _descriptions(folders: Iterable[Folder], site: Site) -> Iterator[_Found]:
    """The runs whose run.json can be read; the others are named."""
    taken: set[str] = set()
    for folder in folders:
        try:
            info = RunInfo.model_validate_json((folder.path / RUN_FILE).read_bytes(), context=[])
        except (OSError, ValidationError):
            # load_run says what is wrong, in the words of every other command.
            try:
                info = load_run(folder.path).info
            except BenchError as error:
                site.problems.append(f"{error.place}: {error.message}; this run is set aside")
                continue
        name = base = slug(folder.path.name)
        number = 1
        while name.lower() in taken:  # file systems may not tell cases apart
            number += 1
            name = f"{base}-{number}"
        taken.add(name.lower())
        yield _Found(folder.path, f"{RUNS}/{name}.html", Run(folder.path, info, []))


def _groups(found: Sequence[_Found]) -> list[list[_Found]]:
    """The runs of each history (`are_kin`) with two nights or more, second runs included."""
    of_run = {id(each.run): each for each in found}
    groups = histories_among([each.run for each in found])
    return [[of_run[id(run)] for run in group] for group in groups if len(nights_among(group)) > 1]


def _history_names(groups: Sequence[Sequence[_Found]]) -> list[str]:
    """The suite, and a digest of the host that tells it from others. Where a suite has several
    histories on a host, all but the oldest have a workload in their name.
    """
    names = [""] * len(groups)
    firsts = [min((each.run.info for each in group), key=_age) for group in groups]
    for place in sorted(range(len(groups)), key=lambda place: _age(firsts[place])):
        first = firsts[place]
        cards = sorted(str(gpu.get("uuid")) for gpu in first.host.gpus)
        host = hashlib.sha256(json.dumps([cards, first.host.name_sha256]).encode()).hexdigest()[:8]
        name = slug(first.suite, host)
        workload = first.pairs[0].workload if first.pairs else ""
        names[place] = slug(first.suite, workload, host) if name in names else name
    return names


def _age(info: RunInfo) -> tuple[str, str]:
    return info.created_at, info.run


def _workloads(runs: Iterable[Run]) -> str:
    return ", ".join(dict.fromkeys(pair.workload for run in runs for pair in run.info.pairs))


def _bring_run(
    site: Site,
    before: Site,
    each: _Found,
    run: Run,
    digest: str,
    history: str,
    out: Path,
    options: SiteOptions,
) -> None:
    key = each.page
    known = before.runs.get(key)
    if known is not None and known.digest == digest and (out / key).is_file():
        site.runs[key] = known
        site.kept += 1
        return
    try:
        loaded = replace(load_run(each.folder), beside=run.beside)
        made_for = _page_options([loaded], options, f"../{history}" if history else "")
        pictures = pictures_of([loaded], made_for.rules) if options.plots else []
        text = make_page(
            [loaded], out / key, problems=loaded.problems, pictures=pictures, options=made_for
        )
        headline = _headline(loaded)
    except BenchError as error:
        place = error.place or str(each.folder)
        site.problems.append(f"{place}: {error.message}; this run is set aside")
        return
    write_page(out / key, text)
    site.made += 1
    site.runs[key] = Entry(
        page=key,
        digest=digest,
        run=loaded.info.run,
        suite=loaded.info.suite,
        host=machine(loaded).removeprefix("on ").strip(),
        created_at=loaded.info.created_at,
        headline=headline,
        commit=str(loaded.info.git.get("commit") or ""),
        problems=loaded.problems,
    )


def _bring_history(
    site: Site,
    before: Site,
    group: Sequence[_Found],
    key: str,
    neighbours: Mapping[Path | None, Any],
    made_by: str,
    out: Path,
    options: SiteOptions,
) -> None:
    members = [each for each in group if each.page in site.runs]
    if len(nights_among([each.run for each in members])) < 2:
        return  # of those that can be read
    places = dict.fromkeys(each.folder.resolve().parent for each in members)
    rules = [DEFAULT_FILE, *(place / ACKNOWLEDGED for place in places)]
    digest = _digest(
        [made_by, *(site.runs[each.page].digest for each in members), *map(_bytes_of, rules)]
    )
    known = before.histories.get(key)
    if known is not None and known.digest == digest and (out / key).is_file():
        site.histories[key] = known
        site.kept += 1
        return
    runs = [place_run(load_run(each.folder), dict(neighbours)) for each in members]
    made_for = _page_options(runs, options, "")
    courses: list[SuiteHistory] = courses_among(runs, made_for.rules)
    if not courses:
        return  # published runs, which are no nights
    pictures = pictures_of(runs, made_for.rules) if options.plots else []
    problems = [problem for run in runs for problem in run.problems]
    write_page(
        out / key,
        make_page(runs, out / key, problems=problems, pictures=pictures, options=made_for),
    )
    site.made += 1
    site.histories[key] = HistoryEntry(
        page=key,
        digest=digest,
        suite=courses[0].suite,
        host=machine(courses[0].tonight).removeprefix("on ").strip(),
        host_id=_host_id(courses[0].tonight),
        workloads=_workloads(each.run for each in members),
        nights=courses[0].nights,
        last=courses[0].last,
        summary=courses[0].summary,
        worst=courses[0].worst,
    )


def _host_id(run: Run) -> str:
    """The beginning of the first card's UUID, else of the host's digest."""
    cards = sorted(str(gpu["uuid"]) for gpu in run.info.host.gpus if gpu.get("uuid"))
    return cards[0][:12] if cards else (run.info.host.name_sha256 or "")[:8]


def _page_options(runs: Sequence[Run], options: SiteOptions, history: str) -> PageOptions:
    # Logs lie beside the runs, which a published site is without.
    return PageOptions(
        rules_beside(runs), options.commit_url, logs=False, index=f"../{INDEX}", history=history
    )


def _headline(run: Run) -> str:
    """The answer of a run in a line: the sentence of its pair, or the count of several pairs."""
    for table in build([run], "headline").tables:
        if len(table.sentences) == 1:
            return table.sentences[0]
        if table.title:
            return table.title[:1].upper() + table.title[1:]
    return ""


def _contents(run: Run) -> Iterator[bytes]:
    """Everything that a run's page is made from: its records and series, and the A/A runs beside
    it.
    """
    for folder in (run.folder, *run.beside):
        yield _bytes_of(folder / RUN_FILE)
        yield _bytes_of(folder / JOBS_FILE)
    series = run.folder / SERIES
    for file in sorted(series.rglob("*")) if series.is_dir() else ():
        if file.is_file():
            yield file.relative_to(series).as_posix().encode()
            yield _bytes_of(file)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.is_file() else b""
    except OSError:
        return b""  # rendering says what is wrong with it


def _digest_of_code(options: SiteOptions) -> str:
    """Of the code that makes pages, and of what it is told."""
    said: list[bytes | str] = [json.dumps(asdict(options)), metadata.version("matplotlib")]
    for package in ("report", "harness.schema"):
        root = Path(str(resources.files(package)))
        for file in sorted(root.rglob("*")):
            if file.suffix in (".py", ".jinja", ".css", ".js"):
                said += [file.relative_to(root).as_posix(), file.read_bytes()]
    return _digest(said)


def _digest(parts: Iterable[bytes | str]) -> str:
    """Of parts, each told from the next."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()


def _pages(site: Site) -> set[str]:
    return {*site.runs, *site.histories}


def _state(out: Path) -> Site:
    """What the folder holds; empty if there is no such folder. BenchError: it is another's."""
    file = out / STATE
    if not file.exists():
        if (out / INDEX).exists():
            raise BenchError(
                f"has an {INDEX} that this command did not make",
                place=str(out),
                fix="name another folder with -o",
            )
        return Site()
    try:
        content = json.loads(file.read_bytes())
        if content["format"] != FORMAT:
            return Site()
        return Site(
            {entry["page"]: Entry(**entry) for entry in content["runs"]},
            {entry["page"]: HistoryEntry(**entry) for entry in content["histories"]},
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Site()  # damaged: everything is made anew


def _write_state(out: Path, site: Site, before: Site | None) -> None:
    """`before`: what was there and is not looked at yet, which stays known."""
    runs = {**(before.runs if before else {}), **site.runs}
    histories = {**(before.histories if before else {}), **site.histories}
    content = {
        "format": FORMAT,
        "runs": [asdict(entry) for entry in runs.values()],
        "histories": [asdict(entry) for entry in histories.values()],
        "set_aside": site.problems,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / STATE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}",
            place=str(out),
            fix="name another folder with -o",
        ) from None
