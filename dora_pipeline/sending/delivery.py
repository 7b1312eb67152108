"""Events on their way: to the intake, or into a spool and from there to the intake."""

from collections.abc import Sequence
from shlex import quote

from dora_pipeline.sending.intake import EventRefused, IntakeClient, NotAllowed, NotStored
from dora_pipeline.sending.sent_events import Event
from dora_pipeline.sending.spool import Spool, SpoolError

# What is sent a second time after a kill.
_BATCH = 100
_MOST_REASONS = 20


def deliver(event: Event, intake: IntakeClient, spool: Spool | None) -> str:
    """Send an event, and put it into the spool where it cannot be stored now; the id under which it is stored.

    An event that the server refuses, or that comes with a wrong key, does not go into the spool: it would only look
    safe there. Raises NotStored whenever the server has not stored it.
    """
    try:
        return intake.send(event)
    except (EventRefused, NotAllowed):
        raise
    except NotStored as error:
        if spool is None:
            raise
        reason = str(error)
    try:
        spool.add(event)
    except SpoolError as error:
        raise NotStored(f"{reason}; nor could it be kept: {error}") from None
    raise NotStored(f"{reason}; it is kept: `dora resend {quote(spool.name)}` sends it")


def resend(spool: Spool, intake: IntakeClient) -> int:
    """Send the events of a spool in their order, and take out those that are stored; how many these are.

    Events that the server refuses, and lines that hold none, stay and do not keep back others; all else that goes wrong
    ends it. After a kill at most 100 events are sent again; an event that is sent twice is still one.
    Raises NotStored, which says how many were sent and why others were not, where any is left; and SpoolError.
    """
    lines = list(dict.fromkeys(spool.lines()))
    stored = 0
    reasons: list[str] = []
    for first in range(0, len(lines), _BATCH):
        sent: set[bytes] = set()
        try:
            for line in lines[first : first + _BATCH]:
                refusal = _refusal(line, intake)
                if refusal is None:
                    sent.add(line)
                else:
                    # What is before it stays too, or is taken out: this is its number in the file that is left.
                    reasons.append(f"line {len(reasons) + 1}: {refusal}")
        except NotStored as error:
            reasons.append(str(error))
            break
        finally:
            stored += len(sent)
            spool.remove(sent)
    if reasons:
        head = f"{stored} of {len(lines)} events are sent, the others stay in {spool.name}:"
        raise NotStored("\n".join([head, *_shortened(reasons)]))
    return stored


def _refusal(line: bytes, intake: IntakeClient) -> str | None:
    """Why an event can never be stored as it is; None where it is stored."""
    try:
        intake.send(Event.from_line(line))
    except EventRefused as error:
        return str(error)
    except ValueError as error:
        return f"holds no event ({error}); correct it or take it out"
    return None


def _shortened(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - _MOST_REASONS
    return [*reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]
