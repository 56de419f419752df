"""Harvest and GitHub on the loopback stage, as far as the examples of docs/sources/rest.md ask them.

They page, filter, count requests and refuse as their vendors' documents say, and hold every answer against the vendor's
own shapes. What stays out: records, which the tests write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loopback import Reply, Request
from vendor_schemas import complaints

Row = dict[str, Any]


@dataclass
class HarvestFake:
    """Invoices of one account: pages by number, at most `most` records each; changes by `updated_since`."""

    records: dict[str, list[Row]] = field(default_factory=dict)  # clients, projects, invoices; payments/<invoice>
    token: str = "harvest-token"
    account: str = "123456"
    most: int = 2

    def answer(self, request: Request) -> Reply:
        path = request.path.removeprefix("/v2/")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _held(
                "harvest",
                "error",
                Reply({"error": "invalid_token", "error_description": "The access token is invalid"}, 401),
            )
        if request.headers.get("harvest-account-id") != self.account or "@" not in request.headers.get(
            "user-agent", ""
        ):
            return _held("harvest", "error", Reply({"error": "bad_request"}, 400))
        payments = re.fullmatch(r"invoices/(\d+)/payments", path)
        rows = self.records.get(f"payments/{payments[1]}", []) if payments else self.records[path]
        since = request.query.get("updated_since", "")
        chosen = [row for row in rows if row["updated_at"] >= since]
        page = self._page(request, "invoice_payments" if payments else path, chosen)
        return _held("harvest", "GET /invoices/{id}/payments" if payments else f"GET /{path}", Reply(page))

    def _page(self, request: Request, name: str, rows: Sequence[Row]) -> Row:
        number, size = int(request.query.get("page", 1)), min(int(request.query["per_page"]), self.most)
        pages = max(1, -(-len(rows) // size))
        following, previous = number + 1 if number < pages else None, number - 1 if number > 1 else None
        return {
            name: rows[(number - 1) * size : number * size], "page": number, "per_page": size, "total_pages": pages,
            "total_entries": len(rows), "next_page": following, "previous_page": previous,
            "links": {"first": "…", "next": following and "…", "previous": previous and "…", "last": "…"},
        }  # fmt: skip


@dataclass
class GitHubFake:
    """Repositories of one organisation and their milestones: pages by Link, whose urls name repositories by number."""

    url: str = ""
    repos: list[Row] = field(default_factory=list)
    milestones: dict[str, list[Row]] = field(default_factory=dict)  # by the repository's full name
    token: str = "github-token"
    most: int = 2
    left: int = 5000

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self._refused(401, "Bad credentials")
        if self.left == 0:
            return self._refused(403, "API rate limit exceeded for user ID 1.")
        self.left -= 1
        if request.path == "/orgs/acme/repos":
            return self._page(request, "GET /orgs/{org}/repos", request.path, self.repos)
        told = re.fullmatch(r"/(?:repos|repositories)/(.+)/milestones", request.path)
        repo = next((one for one in self.repos if told and told[1] in (one["full_name"], str(one["id"]))), None)
        if repo is None:
            return self._refused(404, "Not Found")
        rows = [
            row
            for row in self.milestones.get(repo["full_name"], [])
            if request.query.get("state") in ("all", row["state"])
        ]
        return self._page(
            request, "GET /repos/{owner}/{repo}/milestones", f"/repositories/{repo['id']}/milestones", rows
        )

    def _page(self, request: Request, answer: str, path: str, rows: Sequence[Row]) -> Reply:
        number, size = int(request.query.get("page", 1)), min(int(request.query.get("per_page", 30)), self.most)
        rest = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "page")
        link = f'<{self.url}{path}?{rest}&page={number + 1}>; rel="next", <{self.url}{path}?{rest}&page=9>; rel="last"'
        headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": str(self.left), "X-RateLimit-Reset": "1"}
        page = rows[(number - 1) * size : number * size]
        return _held(
            "github", answer, Reply(page, headers={**headers, **({"Link": link} if number * size < len(rows) else {})})
        )

    def _refused(self, status: int, message: str) -> Reply:
        body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
        return _held("github", "error", Reply(body, status))


def _held(tool: str, answer: str, reply: Reply) -> Reply:
    assert complaints(tool, answer, reply.body) == []
    return reply
