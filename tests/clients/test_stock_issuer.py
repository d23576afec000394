"""Today's client, unmodified, with a JWT of an OpenID Connect issuer for its token."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.environments import environment, output, today
from tests.support.issuer import both

SCRIPT = Path(__file__).with_name("stock_issuer.py")


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_jwt_of_an_issuer_is_a_token_to_todays_client() -> None:
    python = await asyncio.to_thread(environment, "runtime", "qiskit-ibm-runtime==0.51.0")
    async with both() as (served, issuer):
        await served.ledger.queue("mine", tenant="chem")
        await served.ledger.queue("another", tenant="other")
        variables = today(served.url, issuer.token())
        found = json.loads(await asyncio.to_thread(output, python, SCRIPT, **variables))

    assert found == {"instances": ["chem"], "jobs": ["mine"]}
