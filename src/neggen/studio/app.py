"""The review app: its pages, put together and served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastapi
import gradio as gr
import uvicorn
from starlette.types import ASGIApp

from neggen.errors import NegGenError
from neggen.generation.journal.reviews import Key
from neggen.serving.access import SHORTEST_TOKEN, bind, check_host
from neggen.studio.browse_page import BrowsePage
from neggen.studio.compare_page import ComparePage
from neggen.studio.desk import Desk
from neggen.studio.guard import Guard
from neggen.studio.looks import theme
from neggen.studio.pages import QUICK, asset, page
from neggen.studio.review_page import ReviewPage
from neggen.studio.trail_page import TrailPage


def make_app(desk: Desk, reviewer: str, token: str | None) -> ASGIApp:
    """Return the app as an ASGI application with its guard before it.

    Args:
        desk: what is reviewed.
        reviewer: the name that stands in a new page.
        token: who knows it is let in; None to let in this machine alone.
    """
    app = fastapi.FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        app,
        _blocks(desk, reviewer),
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=asset("studio.css"),
        head=asset("keys.html"),
    )  # fmt: skip
    return Guard(app, token)


def check_access(host: str, token: str | None) -> None:
    """Check that nobody is let in by mistake.

    Raises:
        NegGenError: If the address is open to others without a token, or with one to be guessed.
    """
    if token is None:
        check_host(host, "NEGGEN_STUDIO_TOKEN")
    elif len(token) < SHORTEST_TOKEN:
        raise NegGenError(
            f"The token has {len(token)} characters and could be guessed; take {SHORTEST_TOKEN} or "
            "more, such as those of: openssl rand -hex 32"
        )


def serve_studio(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    reviewer: str = "",
    token: str | None = None,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Serve the app until it is interrupted.

    Args:
        desk: what is reviewed.
        host: where to listen; other than the loopback needs a token.
        port: 0 for one that is free.
        reviewer: the name that stands in a new page.
        token: who knows it is let in.
        on_ready: called with the address when it can be opened.

    Raises:
        NegGenError: If the address cannot be taken, or is open to others without a token.
    """
    check_access(host, token)
    with bind(host, port) as listening:
        listening.listen()
        config = uvicorn.Config(
            make_app(desk, reviewer, token), log_level="warning", access_log=False, ws="none",
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        place = f"[{host}]" if ":" in host else host
        on_ready(f"http://{place}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def _blocks(desk: Desk, reviewer: str) -> gr.Blocks:
    """Lay out all pages; opening an entry anywhere leads to the page of reviews."""
    name = desk.workspace.path.resolve().name
    blocks = gr.Blocks(title=f"{name} · neggen studio", analytics_enabled=False)
    with blocks:
        with gr.Row(elem_id="top"):
            brand = gr.HTML(elem_id="brand")
            who = gr.Textbox(
                reviewer, label="You are", placeholder="your name, for the audit trail",
                elem_id="reviewer", scale=0, min_width=260, max_length=80,
            )  # fmt: skip
        with gr.Tabs(elem_id="pages") as pages:
            with gr.Tab("Review", id="review"):
                review = ReviewPage(desk, who)
            with gr.Tab("Browse", id="browse") as browse_tab:
                browse = BrowsePage(desk)
            with gr.Tab("Compare runs", id="compare") as compare_tab:
                compare = ComparePage(desk)
            with gr.Tab("Audit trail", id="trail") as trail_tab:
                trail = TrailPage(desk)

        def open_entry(key: Key | None, status: str, side: str) -> list[Any]:
            return [gr.Tabs(selected="review"), *review.show(key, status, side)]

        def from_browse(keys: list[Key], status: str, side: str, event: gr.EventData) -> list[Any]:
            number = str(event._data.get("open", ""))
            place = int(number) if number.isdecimal() else len(keys)
            return open_entry(keys[place] if place < len(keys) else None, status, side)

        def from_trail(status: str, side: str, event: gr.EventData) -> list[Any]:
            return open_entry(trail.key(event._data), status, side)

        def title() -> str:
            entries = desk.entries
            return page(
                "brand.html",
                name=name,
                items=len(desk.data.item_ids),
                negatives=int(entries.table["negative"].sum()),
                decided=len({entry.key for entry in entries.reviews}),
                measured=entries.measured,
            )

        filters = [review.status, review.side]
        shown = [pages, *review.outputs]
        browse.list.click(from_browse, [browse.keys, *filters], shown, **QUICK)
        trail.list.click(from_trail, filters, shown, **QUICK)
        blocks.load(title, None, brand, **QUICK)
        blocks.load(review.first, filters, review.outputs, **QUICK)
        browse_tab.select(browse.show, browse.inputs, browse.outputs, **QUICK)
        trail_tab.select(trail.show, None, trail.list, **QUICK)
        chosen = [compare.first, compare.second, compare.part, compare.metric]
        compare_tab.select(compare.open, chosen, compare.outputs, **QUICK)
        review.seen.change(title, None, brand, **QUICK)
    return blocks
