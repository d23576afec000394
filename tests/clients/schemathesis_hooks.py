"""What Schemathesis takes for invalid and is not, once it is sent; loaded by that tool alone.

A query is text: `tags=false` is a list of one tag, whatever it was made of. Schemathesis knows
of values that become valid so where they are all that it broke, not beside another that is not
sent at all, such as an empty list.
"""

from urllib.parse import parse_qs, urlsplit

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.utils import parameter_types, sent_text_is_valid


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Whether *case* is worth sending: not where only its query is to be wrong, and is right."""
    if case.meta is None or not case.meta.is_negative_at(ParameterLocation.QUERY):
        return True
    others = (where for where in ParameterLocation if where is not ParameterLocation.QUERY)
    return any(case.meta.is_negative_at(where) for where in others) or not _is_valid(case)


def _is_valid(case: schemathesis.Case) -> bool:
    """Whether the query of *case* is, as it is read from what is sent."""
    params = case.as_transport_kwargs()["params"]
    url = requests.Request("GET", "http://service", params=params).prepare().url
    sent = parse_qs(urlsplit(str(url)).query, keep_blank_values=True)
    return all(_takes(case, name, texts) for name, texts in sent.items())


def _takes(case: schemathesis.Case, name: str, texts: list[str]) -> bool:
    """Whether the parameter of that *name* takes *texts*; what nobody declared says nothing."""
    parameter = case.operation.query.get(name)
    if parameter is None:
        return True
    is_valid, types = (
        parameter.get_validator().is_valid,
        parameter_types(parameter.validation_schema),
    )
    numbers = [*types, "number"]  # 0.0 is an integer, too
    is_one = len(texts) == 1 and sent_text_is_valid(texts[0], is_valid, numbers)
    return bool(is_valid(texts) or is_one)
