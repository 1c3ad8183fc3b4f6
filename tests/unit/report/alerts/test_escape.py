"""Whatever a name holds is shown and never acts: Markdown, workflow commands, Slack, mail headers,
logs.
"""

from __future__ import annotations

import json
import re
from email import message_from_bytes, policy
from typing import Any

import pytest
from alerts_support import finding, verdict
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.errors import BenchError
from report.alerts.channels.annotations import Annotations
from report.alerts.channels.base import Context
from report.alerts.channels.email import Email
from report.alerts.delivery import Patience
from report.alerts.escape import (
    fenced,
    markdown,
    one_line,
    terminal,
    workflow_data,
    workflow_property,
)
from report.alerts.events import new_events
from report.alerts.message import Message, compose
from report.alerts.render_json import message_json
from report.alerts.render_markdown import message_markdown, overview_markdown
from report.alerts.render_slack import MOST_HEADER, MOST_SECTION, message_slack
from report.alerts.render_text import message_email
from report.alerts.secrets import Secrets

NASTY = [
    "<script>alert(1)</script>",
    "a|b",
    "`code` ``two``",
    "@here @org/team <!here> <!channel>",
    "::error::not ours\n::error file=x::nor this",
    "##[add-matcher]/tmp/x",
    "line\r\nBcc: all@example.org\r\n\r\nbody",
    "**bold** _em_ ~~gone~~ [l](http://example.org) ![i](http://example.org/p.png)",
    "fixes #12",
    "&amp; &lt;b&gt; --> <!-- bench-alert 0123456789abcdef -->",
    "\x1b[31mred\x07 \u202eright to left",
    "# heading\n\n- list\n\n```\nfence",
    "100% 5$ $x$",
]


def nasty(text: str) -> dict[str, Any]:
    names = dict.fromkeys(
        ("workload", "baseline", "candidate", "host", "reason", "reproduce", "last_good"), text
    )
    return {**names, "different": [text], "run": text, "since": text}


def told(text: str) -> Message:
    return compose(new_events(verdict(finding(**nasty(text))), {})[0][0])


def channel_context(**environ: str) -> Context:
    return Context(environ, Secrets(environ), Patience(5))


@pytest.mark.parametrize("text", NASTY)
def test_markdown_holds_a_name_as_text_alone(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
    inline = [
        child
        for token in parser.parse(markdown(text))
        for child in (token.children or [])
        if child.type != "text" and child.content != "<!-- -->"
    ]
    assert inline == []
    shown = "".join(
        child.content
        for token in parser.parse(markdown(text))
        for child in (token.children or [])
        if child.type == "text"
    )
    assert shown == one_line(text)


@pytest.mark.parametrize("text", NASTY)
def test_a_whole_message_and_overview_hold_only_our_own_markup(text: str) -> None:
    def parsed(name: str) -> list[Token]:
        overview = overview_markdown(verdict(finding(**nasty(name)), problems=[name]))
        tokens = (
            MarkdownIt("commonmark", {"html": True})
            .enable("table")
            .parse(f"{message_markdown(told(name))}\n{overview}")
        )
        return [one for token in tokens for one in [token, *(token.children or [])]]

    html = {token.content for token in parsed(text) if token.type in ("html_block", "html_inline")}
    assert html <= {"<!-- -->", "<sub>", "</sub>"}
    skipped = ("text", "html_inline")  # a name may be in several pieces of text
    kinds = [
        [token.type for token in parsed(name) if token.type not in skipped]
        for name in (text, "plain")
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("mention", ["@here", "@org/team", "#12"])
def test_no_mention_or_reference_is_left_for_github_to_find(mention: str) -> None:
    outside_code = re.sub(r"(?s)```.*?```", "", message_markdown(told(f"see {mention} there")))
    rendered = MarkdownIt("commonmark", {"html": True}).render(outside_code)
    assert mention not in rendered
    assert mention[0] + "<!-- -->" + mention[1:] in rendered


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("a ```` b").startswith("`````\n")


@pytest.mark.parametrize("text", NASTY)
def test_an_annotation_is_one_command_that_reads_back(text: str) -> None:
    line = Annotations("", channel_context()).shown(told(text))
    assert line.count("\n") == 1
    command = re.fullmatch(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)\n", line)
    assert command
    title = (
        command[2].replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n").replace("%0D", "\r")
    )
    assert title.replace("%25", "%") == told(text).title


def test_workflow_escapes_are_those_of_the_toolkit() -> None:
    assert workflow_data("50% a:b,c\r\n") == "50%25 a:b,c%0D%0A"
    assert workflow_property("50% a:b,c\r\n") == "50%25 a%3Ab%2Cc%0D%0A"


@pytest.mark.parametrize("text", NASTY)
def test_what_is_printed_is_no_command_to_the_runner(text: str) -> None:
    printed = Email("", channel_context()).shown(told(text))
    assert not [line for line in printed.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in printed
    assert "\x1b" not in printed
    assert not [line for line in terminal(text).splitlines() if line.lstrip().startswith("::")]


@pytest.mark.parametrize("text", NASTY)
def test_slack_gets_entities_no_mention_and_its_limits_kept(text: str) -> None:
    content = message_slack(told(text * 60))
    assert len(content["blocks"]) <= 50
    for block in content["blocks"]:
        objects = [block["text"]] if "text" in block else block["elements"]
        for one in objects:
            assert len(one["text"]) <= (MOST_HEADER if block["type"] == "header" else MOST_SECTION)
            if one["type"] == "mrkdwn":
                assert one["verbatim"] is True
                assert not re.search(r"<|>|&(?!amp;|lt;|gt;)|@\w", one["text"])
    assert not re.search(r"<|>|@\w", content["text"])
    json.dumps(content)


@pytest.mark.parametrize("text", NASTY)
def test_a_mail_has_our_headers_and_the_picture(text: str) -> None:
    message = told(text)
    content = message_email(message, {"BENCH_EMAIL_TO": "team@example.org"}).as_bytes()
    assert content == message_email(message, {"BENCH_EMAIL_TO": "team@example.org"}).as_bytes()
    mail = message_from_bytes(content, policy=policy.default)
    assert set(mail.keys()) == {
        "Subject",
        "From",
        "To",
        "Date",
        "Message-ID",
        "References",
        "Auto-Submitted",
        "X-Bench-Alert",
        "MIME-Version",
        "Content-Type",
    }
    # The standard library may fold a long line with a blank more.
    assert " ".join(mail["Subject"].split()) == f"[bench] {message.title}"
    (picture,) = mail.iter_attachments()
    assert picture.get_content().startswith(b"\x89PNG")
    body = mail.get_body()
    assert body is not None
    assert message.identity in body.get_content()


def test_an_address_that_would_add_a_header_is_refused() -> None:
    with pytest.raises(BenchError, match="BENCH_EMAIL_TO"):
        message_email(told("x"), {"BENCH_EMAIL_TO": "a@example.org\nBcc: b@example.org"})


@pytest.mark.parametrize("text", NASTY)
def test_json_keeps_names_as_they_are(text: str) -> None:
    content = json.loads(json.dumps(message_json(told(text)), allow_nan=False))
    assert content["finding"]["workload"] == text
    assert content["id"] == told(text).identity
    assert "<script" not in content["svg"]
