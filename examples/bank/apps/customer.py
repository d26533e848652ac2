"""customer: the bank's web page. Balance and statement, asked of `summary` on every request.

Self-contained: one page, one style sheet, drawings in SVG, no script, nothing from elsewhere.
"""

import datetime
import http.client
import json
import os
import pathlib
import string
import sys
import urllib.parse
from html import escape

from serve import Handler, reference, run

SUMMARY = urllib.parse.urlsplit(os.environ.get("SUMMARY_URL", "http://summary:8080"))
ACCOUNT = os.environ.get("ACCOUNT", "1042")
PORT = int(os.environ.get("PORT", "8080"))
SECONDS = 6.0  # patience with summary
HERE = pathlib.Path(__file__).parent
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
MINUS = "\u2212"
NARROW = "\u202f"  # narrow no-break space between thousands

LAYOUT = string.Template((HERE / "layout.html").read_text(encoding="utf-8"))
STYLE = (HERE / "style.css").read_bytes()


class Unavailable(Exception):
    """summary did not answer with an account."""


def ask(path):
    """GET from summary; the decoded JSON."""
    connection = http.client.HTTPConnection(SUMMARY.hostname, SUMMARY.port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"summary: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Unavailable(f"summary answered {answer.status}")
    return json.loads(content)


def amount(minor, currency, signed=False):
    """`-4815` in EUR is €48.15 with a minus; with `signed`, a gain has a plus."""
    sign = MINUS if minor < 0 else "+" if signed else ""
    whole, cents = divmod(abs(minor), 100)
    return f"{sign}{SYMBOLS.get(currency, currency + ' ')}{whole:,}".replace(",", NARROW) + f".{cents:02}"


def balance_figure(minor, currency):
    """The large figure, its cents smaller."""
    whole, cents = amount(minor, currency).rsplit(".", 1)
    return f'{whole}<span class="cents">.{cents}</span>'


def running(entries, balance):
    """Balance after each entry, oldest first (`entries` are newest first)."""
    points = [balance]
    for entry in entries:
        points.append(points[-1] - entry["amount"])
    return points[:-1][::-1]


def chart(points):
    """The balance over the statement, as a stepped line; a drawing with a spoken summary."""
    if len(points) < 2:
        return ""
    low, high = min(points), max(points)
    span = (high - low) or 1
    width, height = 640, 120
    step = width / (len(points) - 1)

    def spot(index):
        return f"{index * step:.1f},{height - 10 - (points[index] - low) / span * (height - 24):.1f}"

    line = " ".join(spot(index) for index in range(len(points)))
    last = spot(len(points) - 1)
    trend = "risen" if points[-1] >= points[0] else "fallen"
    return (
        f'<svg class="chart" viewBox="-2 0 {width + 14} {height}" role="img" preserveAspectRatio="none" '
        f'aria-label="The balance has {trend} over this statement.">'
        '<defs><linearGradient id="fade" x1="0" y1="0" x2="0" y2="1">'
        '<stop offset="0" stop-color="currentColor" stop-opacity=".28"/>'
        '<stop offset="1" stop-color="currentColor" stop-opacity="0"/></linearGradient></defs>'
        f'<polygon points="0,{height} {line} {width},{height}" fill="url(#fade)"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2.5" '
        'stroke-linejoin="round" stroke-linecap="round" vector-effect="non-scaling-stroke"/>'
        f'<path d="M{last} h.01" stroke="currentColor" stroke-width="9" stroke-linecap="round" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def row(entry, currency):
    """One line of the statement."""
    day = datetime.date.fromisoformat(entry["date"])
    gain = entry["amount"] > 0
    text, category = escape(entry["text"]), escape(entry["category"])
    return (
        f'<tr><td class="when"><time datetime="{day.isoformat()}"><b>{day.day}</b> {day:%b}</time></td>'
        f'<th scope="row"><div class="entry"><span class="badge {"in" if gain else "out"}" aria-hidden="true">{text[:1]}</span>'
        f'<span class="what">{text}<small>{category}</small></span></div></th>'
        f'<td class="amount {"in" if gain else "out"}">{amount(entry["amount"], currency, signed=True)}</td></tr>'
    )


def account_page(account, entries):
    """The page of a healthy day."""
    currency = str(account["currency"])
    holder = escape(account["holder"])
    rows = "\n".join(row(entry, currency) for entry in entries)
    gains = sum(entry["amount"] for entry in entries[:-1] if entry["amount"] > 0)
    spent = sum(entry["amount"] for entry in entries if entry["amount"] < 0)
    body = f"""
<section class="card" aria-labelledby="balance-title">
  <div class="card-head"><p class="holder">{holder}</p><p class="iban">{escape(account["iban"])}</p></div>
  <h1 id="balance-title">Balance</h1>
  <p class="balance" id="balance" data-minor="{int(account["balance"])}">{balance_figure(account["balance"], currency)}</p>
  {chart(running(entries, account["balance"]))}
</section>
<section class="sums" aria-label="This statement">
  <p><span>Money in</span><b class="in">{amount(gains, currency, signed=True)}</b></p>
  <p><span>Money out</span><b>{amount(spent, currency)}</b></p>
</section>
<section class="statement" aria-labelledby="statement-title">
  <h2 id="statement-title">Statement</h2>
  <table>
    <caption class="hidden">Entries of account {escape(account["id"])}, newest first</caption>
    <thead class="hidden"><tr><th scope="col">Date</th><th scope="col">Entry</th><th scope="col">Amount</th></tr></thead>
    <tbody>
{rows}
    </tbody>
  </table>
</section>"""
    return LAYOUT.substitute(title=f"{holder} · Crossroads Bank", body=body)


def apology(heading, text, ticket):
    """The page of a bad day: what happened, what it means, what to do."""
    note = f'<p class="ticket">Reference <b>{ticket}</b></p>' if ticket else ""
    body = f"""
<section class="apology" role="alert">
  <svg viewBox="0 0 48 48" width="56" height="56" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.5"
       stroke-linecap="round"><circle cx="24" cy="24" r="20"/><path d="M24 14v13M24 33.5v.5"/></svg>
  <h1>{heading}</h1>
  <p>{text}</p>
  {note}
  <p><a class="button" href="/">Try again</a></p>
</section>"""
    return LAYOUT.substitute(title=f"{heading} · Crossroads Bank", body=body)


class Customer(Handler):
    """The page, and its style sheet."""

    def respond(self, path):
        if path == "/style.css":
            return 200, "text/css; charset=utf-8", STYLE
        if path != "/":
            page = apology("There is no such page", "The address may have been mistyped.", "")
            return 404, "text/html; charset=utf-8", page.encode()
        try:
            account = ask(f"/accounts/{ACCOUNT}")
            entries = ask(f"/accounts/{ACCOUNT}/statement")["entries"]
        except Unavailable as error:
            ticket = reference()
            sys.stderr.write(f"{ticket} {error}\n")
            page = apology(
                "Your account cannot be shown right now",
                "Your money is safe. We cannot reach your account at the moment; it is usually back within a minute.",
                ticket,
            )
            return 503, "text/html; charset=utf-8", page.encode()
        return 200, "text/html; charset=utf-8", account_page(account, entries).encode()


if __name__ == "__main__":
    run(Customer, PORT)
