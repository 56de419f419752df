"""Takes the README's pictures from the demo as of a fixed day, so that they show what the code draws.

`make pictures` runs it. What stays out: judging them; look at the files before committing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from pipelines.demo import running
from pipelines.settings import PROJECT

PORT = 8573
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
PICTURES = (  # file, page, colours, height
    ("overview.png", "", "light", 1138),
    ("billing-dark.png", "billing", "dark", 1120),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as data:
        environ = {**os.environ, "MILEPOST_DATA": data}
        told = ["demo", "--no-hold", "--port", str(PORT), "--as-of", "2026-06-30T12:00:00Z"]
        subprocess.run([sys.executable, "-m", "pipelines.cli", *told], check=True, env=environ, cwd=PROJECT)
        address = f"http://{running.HOST}:{PORT}"
        with running.server(running.dashboard_command(PORT), environ, Path(data) / "pictures.log") as served:
            running.await_answer(f"{address}/_stcore/health", served, "the dashboard")
            _shoot(f"{address}/")


def _shoot(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for file, page, colours, height in PICTURES:
            opened = browser.new_page(
                viewport={"width": 1440, "height": height},
                color_scheme="dark" if colours == "dark" else "light",
            )
            opened.goto(address + page)
            opened.wait_for_selector(".js-plotly-plot .main-svg")
            opened.wait_for_load_state("networkidle")
            opened.wait_for_timeout(1500)  # charts fade in
            opened.screenshot(path=Path(__file__).parent / file)
            opened.close()
        browser.close()


if __name__ == "__main__":
    main()
